//! The admin endpoint: `/cache/list`, `/cache/show` and `/cache/flush` over HTTP.
//!
//! The responses are JSON and cover the caches of all blocks. `catena cache` is the client.

mod filter;

use std::sync::Arc;

use chain::admin::{Admin, AdminConfig};
use chain::{Clock, Setup};
use corefile::Diagnostic;
use serde_json::{Value, json};
use wire::name;

use super::entry::Entry;
use super::store::SharedStore;
use filter::Filter;

/// The maximum and the default number of entries in a response.
const MAX_ENTRIES: usize = 100_000;
const DEFAULT_ENTRIES: usize = 1_000;

/// Opens the endpoint.
///
/// # Errors
/// Those of [`Admin::new`].
pub(super) fn open(
    config: &AdminConfig,
    shared: &Arc<SharedStore>,
    setup: &mut Setup<'_>,
) -> Result<(), Diagnostic> {
    let admin = Admin::new(config, setup)?;
    let endpoint = Endpoint { shared: Arc::clone(shared), clock: setup.clock() };
    type Action = fn(&Endpoint, &Filter) -> Value;
    let list: Action = |endpoint, filter| endpoint.list(filter, false);
    let show: Action = |endpoint, filter| endpoint.list(filter, true);
    for (path, action) in [("/cache/list", list), ("/cache/show", show)] {
        let endpoint = endpoint.clone();
        admin.serve(setup, path, "GET", move |query| {
            let filter = Filter::parse(query).map_err(|problem| (400_u16, problem))?;
            Ok(action(&endpoint, &filter).to_string())
        });
    }
    admin.serve(setup, "/cache/flush", "POST", move |query| {
        let filter = Filter::parse(query).map_err(|problem| (400_u16, problem))?;
        if filter.is_empty() {
            let problem = "select the entries to delete: name, suffix, type or all";
            return Err((400, problem.to_owned()));
        }
        Ok(endpoint.flush(&filter).to_string())
    });
    Ok(())
}

/// What the requests are about.
#[derive(Clone)]
struct Endpoint {
    shared: Arc<SharedStore>,
    clock: Clock,
}

impl Endpoint {
    fn list(&self, filter: &Filter, records: bool) -> Value {
        let now = (self.clock.now)();
        let limit = filter.limit.unwrap_or(DEFAULT_ENTRIES).min(MAX_ENTRIES);
        let mut found = Vec::new();
        let mut more = false;
        self.shared.for_each(|entry, info| {
            if !filter.matches(entry) || !entry.is_answer() {
                return true;
            }
            more = found.len() >= limit;
            if !more {
                let ttl = entry.ttl(now);
                let mut shown = json!({
                    "name": name::Text(entry.key().name).to_string(),
                    "type": entry.key().qtype.to_string(),
                    "class": entry.key().class.to_string(),
                    "do": entry.wants_dnssec(),
                    "cd": entry.checking_disabled(),
                    "kind": info.partition.label(),
                    "zones": info.zones,
                    "view": info.view,
                    "rcode": entry.facts().rcode.to_string(),
                    "ttl": ttl,
                    "stale": ttl <= 0,
                    "octets": entry.octets(),
                });
                if let Some(subnet) = entry.subnet() {
                    shown["network"] = subnet.to_string().into();
                }
                if records {
                    shown["records"] = lines(entry, ttl.max(0)).into();
                }
                found.push(shown);
            }
            !more
        });
        json!({ "entries": found, "more": more })
    }

    fn flush(&self, filter: &Filter) -> Value {
        json!({ "flushed": self.shared.remove_where(|entry| filter.matches(entry)) })
    }
}

/// The records of an entry as lines of a master file.
fn lines(entry: &Entry, ttl: i64) -> Vec<String> {
    let message = entry.message();
    let Ok(message) = wire::Message::new(&message) else { return Vec::new() };
    let line = |record: Result<wire::Record<'_>, wire::Malformed>| {
        let record = record.ok()?;
        let (mut owner, mut rdata) = (wire::NameBuf::new(), Vec::new());
        record.owner(&mut owner).ok()?;
        let (at, end) = (record.rdata_at, record.end);
        wire::rdata::expand(record.rtype, record.message, at, end, &mut rdata).ok()?;
        let text = zone::master::rdata_to_text(record.rtype, &rdata);
        let owner = name::Text(owner.as_wire());
        Some(format!("{owner} {ttl} {} {} {text}", record.class, record.rtype))
    };
    message.records().filter_map(line).collect()
}
