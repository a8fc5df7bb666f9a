//! The zones of a running server for the operator: a path of the admin endpoint.

use std::time::{SystemTime, UNIX_EPOCH};

use chain::Setup;
use chain::admin::Admin;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use wire::Name;

use crate::roster::{Roster, Shown};

/// The maximum and the default number of zones in a response.
const MAX_ZONES: usize = 100_000;
const DEFAULT_ZONES: usize = 1_000;

/// Serves `/zones/list`: the zones of all plugins of this server, as JSON. `suffix=ZONE` selects the zones at
/// and below a name, `limit=N` bounds their number.
pub fn serve_list(admin: &Admin, setup: &mut Setup<'_>) {
    let roster = Roster::of(setup);
    admin.serve(setup, "/zones/list", "GET", move |query| {
        let filter = Filter::parse(query).map_err(|problem| (400_u16, problem))?;
        // One more than is listed tells whether there are more.
        let zones = roster.first(filter.limit() + 1, |zone| filter.takes(zone));
        Ok(filter.list(&zones).to_string())
    });
}

/// Which zones are listed.
#[derive(Debug, Default)]
struct Filter {
    suffix: Option<Name>,
    limit: Option<usize>,
}

impl Filter {
    fn parse(query: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| format!("`{value}` is not percent-encoded UTF-8"))?;
            match key {
                "suffix" => {
                    let name = Name::from_text(&value);
                    let name = name.map_err(|_| format!("`{value}` is not a domain name"))?;
                    filter.suffix = Some(name.to_lower());
                }
                "limit" => {
                    let limit = value.parse::<usize>();
                    filter.limit = Some(limit.map_err(|_| format!("`{value}` is not a number"))?);
                }
                _ => return Err(format!("unknown parameter `{key}`: expected suffix or limit")),
            }
        }
        Ok(filter)
    }

    fn takes(&self, zone: &Name) -> bool {
        self.suffix.as_ref().is_none_or(|suffix| zone.is_under(suffix))
    }

    fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_ZONES).min(MAX_ZONES)
    }

    fn list(&self, zones: &[Shown]) -> Value {
        let limit = self.limit();
        let more = zones.len() > limit;
        let zones: Vec<Value> = zones.iter().take(limit).map(shown).collect();
        json!({ "zones": zones, "more": more })
    }
}

/// A zone. Times are Unix times, in seconds.
fn shown(zone: &Shown) -> Value {
    let status = &zone.status;
    let unix = |time: Option<SystemTime>| {
        time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs())
    };
    json!({
        "zone": zone.zone.to_string(),
        "plugin": zone.plugin,
        "view": zone.view,
        "source": status.source,
        "serial": zone.serial,
        "records": zone.records,
        "memory": zone.memory,
        "history": zone.history,
        "journal": status.journal_bytes,
        "now": unix(Some(zone.now)),
        "changed": unix(status.changed),
        "checked": unix(status.checked),
        "next_check": unix(status.next_check),
        "expires": unix(status.expires),
        "trouble": status.trouble,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use zone::live::Status;

    fn zone(name: &str, serial: Option<u32>) -> Shown {
        let now = UNIX_EPOCH + Duration::from_secs(100);
        Shown {
            zone: Name::from_text(name).unwrap(),
            plugin: "file",
            view: String::new(),
            serial,
            records: 3,
            memory: 400,
            history: 0,
            status: Status {
                source: "file db".to_owned(),
                changed: serial.map(|_| now - Duration::from_secs(40)),
                next_check: Some(now + Duration::from_secs(20)),
                trouble: serial.is_none().then(|| "cannot open `db`".to_owned()),
                ..Status::default()
            },
            now,
        }
    }

    #[test]
    fn zones_are_listed() {
        let all = [zone("example.org.", Some(7)), zone("a.example.org.", None)];
        let list = |query: &str| {
            let filter = Filter::parse(query).unwrap();
            let taken = all.iter().filter(|zone| filter.takes(&zone.zone)).cloned();
            filter.list(&taken.collect::<Vec<_>>())
        };
        assert_eq!(
            list("suffix=A.example%2eorg")["zones"],
            json!([{
                "zone": "a.example.org.", "plugin": "file", "view": "", "source": "file db",
                "serial": null, "records": 3, "memory": 400, "history": 0, "journal": 0,
                "now": 100, "changed": null, "checked": null, "next_check": 120, "expires": null,
                "trouble": "cannot open `db`",
            }])
        );
        assert_eq!(list("")["zones"].as_array().unwrap().len(), 2);
        assert_eq!(list("")["zones"][0]["changed"], 60);
        assert_eq!(
            (&list("limit=1")["more"], &list("limit=2")["more"]),
            (&json!(true), &json!(false))
        );
        for wrong in ["suffix=a..b", "limit=x", "zone=a", "suffix=%ff"] {
            assert!(Filter::parse(wrong).is_err(), "{wrong}");
        }
    }
}
