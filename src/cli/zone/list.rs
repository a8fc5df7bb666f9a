//! `catena zone list`: the zones of a running server.

use std::process::ExitCode;
use std::time::Duration;

use corefile::show_duration;
use serde_json::Value;

use super::super::admin::Endpoint;
use super::super::output::{self, complain};
use crate::cli::args::ZoneList;

/// Queries the server and prints its zones: exit 0 if there are any, 1 if there are none or the request fails.
pub(super) fn list(options: &ZoneList) -> ExitCode {
    let endpoint = Endpoint {
        server: &options.server,
        token_file: options.token_file.as_deref(),
        opened_by: "the option `admin` of `file` or `auto`",
    };
    match endpoint.ask("GET", &path(options)) {
        Ok(reply) => tell(options, &reply),
        Err(problem) => {
            complain(problem);
            ExitCode::FAILURE
        }
    }
}

/// What stays as it is in a query: the characters of most names.
const PLAIN: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'.').remove(b'-');

fn path(options: &ZoneList) -> String {
    let mut path = "/zones/list?".to_owned();
    if let Some(limit) = options.limit {
        path += &format!("limit={limit}&");
    }
    if let Some(suffix) = &options.suffix {
        let text = suffix.to_string();
        path += &format!("suffix={}", percent_encoding::utf8_percent_encode(&text, PLAIN));
    }
    path
}

fn tell(options: &ZoneList, reply: &Value) -> ExitCode {
    let none = Vec::new();
    let zones = reply["zones"].as_array().unwrap_or(&none);
    let code = if zones.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    let text = match options.json {
        true => format!("{reply}\n"),
        false => zones.iter().map(shown).collect(),
    };
    let code = output::print(&text, code);
    if !options.json && reply["more"] == true {
        complain("there are more zones: name one to list those below it, or raise --limit");
    }
    if zones.is_empty() {
        complain("no zone matches");
    }
    code
}

/// A zone: `example.org. serial=7 records=12 age=5m3s source="file db" next=12s journal=0`.
fn shown(zone: &Value) -> String {
    let text = |key: &str| zone[key].as_str().unwrap_or_default();
    let serial =
        zone["serial"].as_u64().map_or_else(|| "none".to_owned(), |serial| serial.to_string());
    let mut line = format!("{} serial={serial} records={}", text("zone"), zone["records"]);
    if let Some(age) = between(zone, "changed", "now") {
        line += &format!(" age={age}");
    }
    line += &format!(" source={:?}", text("source"));
    if !text("view").is_empty() {
        line += &format!(" view={}", text("view"));
    }
    for (key, label) in [("next_check", "next"), ("expires", "expires")] {
        if let Some(left) = between(zone, "now", key) {
            line += &format!(" {label}={left}");
        }
    }
    line += &format!(" journal={}\n", zone["journal"]);
    if let Some(trouble) = zone["trouble"].as_str() {
        line += &format!("    trouble: {trouble}\n");
    }
    line
}

/// The time between two Unix times of a zone; 0 if the second one is over.
fn between(zone: &Value, from: &str, to: &str) -> Option<String> {
    let (from, to) = (zone[from].as_u64()?, zone[to].as_u64()?);
    Some(show_duration(Duration::from_secs(to.saturating_sub(from))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wire::Name;

    use super::*;

    #[test]
    fn a_zone_is_a_line_and_its_trouble_another() {
        let zone = json!({
            "zone": "example.org.", "plugin": "file", "view": "", "source": "file db",
            "serial": 7, "records": 12, "memory": 900, "history": 0, "journal": 0,
            "now": 1000, "changed": 697, "checked": 990, "next_check": 1012, "expires": null,
            "trouble": null,
        });
        let line =
            "example.org. serial=7 records=12 age=5m3s source=\"file db\" next=12s journal=0\n";
        assert_eq!(shown(&zone), line);
        let mut waiting = zone;
        waiting["serial"] = Value::Null;
        waiting["changed"] = Value::Null;
        waiting["next_check"] = 900.into();
        waiting["expires"] = 1090.into();
        waiting["view"] = "inside".into();
        waiting["trouble"] = "cannot open `db`".into();
        assert_eq!(
            shown(&waiting),
            "example.org. serial=none records=12 source=\"file db\" view=inside next=0s expires=1m30s \
             journal=0\n    trouble: cannot open `db`\n"
        );
    }

    #[test]
    fn the_selection_is_in_the_path() {
        let mut options = ZoneList {
            server: String::new(),
            token_file: None,
            suffix: None,
            limit: None,
            json: false,
        };
        assert_eq!(path(&options), "/zones/list?");
        options.limit = Some(7);
        options.suffix = Name::from_text("0/25.2.0.192.in-addr.arpa.").ok();
        assert_eq!(path(&options), "/zones/list?limit=7&suffix=0%2F25.2.0.192.in-addr.arpa.");
    }
}
