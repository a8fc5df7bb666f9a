//! `catena cache`: what a running server has cached, and makes it forget.

use std::process::ExitCode;

use corefile::counted;
use serde_json::Value;

use super::admin::Endpoint;
use super::args::{CacheAction, CacheOptions};
use super::output::{self, complain};

/// Queries the server and prints its answer: exit 0 if there are entries, 1 if there are none or the request
/// fails.
pub(crate) fn cache(options: &CacheOptions) -> ExitCode {
    let endpoint = Endpoint {
        server: &options.server,
        token_file: options.token_file.as_deref(),
        opened_by: "`cache { admin }`",
    };
    let method = if options.action == CacheAction::Flush { "POST" } else { "GET" };
    match endpoint.ask(method, &options.path()) {
        Ok(reply) => tell(options, &reply),
        Err(problem) => {
            complain(problem);
            ExitCode::FAILURE
        }
    }
}

fn tell(options: &CacheOptions, reply: &Value) -> ExitCode {
    if options.action == CacheAction::Flush {
        let count = reply["flushed"].as_u64().unwrap_or_default();
        let text = match options.json {
            true => format!("{reply}\n"),
            false => format!("flushed {}\n", counted(count, "entry", "entries")),
        };
        return output::print(&text, ExitCode::SUCCESS);
    }
    let none = Vec::new();
    let entries = reply["entries"].as_array().unwrap_or(&none);
    let code = if entries.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    let text = match options.json {
        true => format!("{reply}\n"),
        false => entries.iter().map(shown).collect(),
    };
    let code = output::print(&text, code);
    if !options.json && reply["more"] == true {
        complain("there are more entries: narrow the selection, or raise --limit");
    }
    if entries.is_empty() {
        complain("no cached entry matches");
    }
    code
}

/// An entry and its records, a line each.
fn shown(entry: &Value) -> String {
    let mut text = line(entry) + "\n";
    let records = entry["records"].as_array().into_iter().flatten();
    for record in records.filter_map(Value::as_str) {
        text += &format!("    {record}\n");
    }
    text
}

/// One entry: `www.example.org. A NOERROR ttl=290 success zones=.`.
fn line(entry: &Value) -> String {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let mut line = text("name");
    if text("class") != "IN" {
        line += &format!(" {}", text("class"));
    }
    line += &format!(" {} {} ttl={}", text("type"), text("rcode"), entry["ttl"]);
    for flag in ["stale", "do", "cd"] {
        if entry[flag] == true {
            line += &format!(" {flag}");
        }
    }
    if entry["network"].is_string() {
        line += &format!(" network={}", text("network"));
    }
    line += &format!(" {} zones={}", text("kind"), text("zones"));
    if !text("view").is_empty() {
        line += &format!(" view={}", text("view"));
    }
    line
}
