//! The admin endpoint: `/cache/list`, `/cache/show` and `/cache/flush` over HTTP.
//!
//! The responses are JSON and cover the caches of all blocks. `catena cache` is the client. Without a
//! token the endpoint accepts loopback addresses only, and never requests of a web page.

mod filter;

use std::sync::Arc;

use chain::{Clock, HttpAddress, HttpReply, HttpRequest, Setup};
use corefile::{Diagnostic, Token};
use serde_json::{Value, json};
use wire::name;

use super::config::{AdminConfig, DEFAULT_ADDRESS};
use super::entry::Entry;
use super::store::SharedStore;
use filter::Filter;

/// The largest file with a token.
const MAX_TOKEN_FILE: u64 = 64 << 10;

/// The maximum and the default number of entries in a response.
const MAX_ENTRIES: usize = 100_000;
const DEFAULT_ENTRIES: usize = 1_000;
/// A shorter token can be guessed.
const MIN_TOKEN_LENGTH: usize = 16;

/// Opens the endpoint.
///
/// # Errors
/// The address is invalid, or it is not a loopback address and there is no token; the token's file
/// cannot be read, or has no token.
pub(super) fn open(
    admin: &AdminConfig,
    shared: &Arc<SharedStore>,
    setup: &mut Setup<'_>,
) -> Result<(), Diagnostic> {
    let AdminConfig { address, span, token } = admin;
    let token = token.as_ref().map(|token| read_token(token, setup)).transpose()?;
    let bound = HttpAddress::resolve(address)
        .map_err(|problem| Diagnostic::error(*span, format!("`{address}`: {problem}")))?;
    if token.is_none() && !bound.ip().is_loopback() {
        return Err(Diagnostic::error(
            *span,
            format!("`{address}` is reachable from other hosts and has no token"),
        )
        .label("expected a loopback address, or a token file after the address")
        .help(format!("write `admin {DEFAULT_ADDRESS}`, or `admin {address} TOKEN_FILE`")));
    }
    let at = HttpAddress { text: address.clone(), span: Some(*span) };
    let endpoint = Endpoint { token, shared: Arc::clone(shared), clock: setup.clock() };
    type Action = fn(&Endpoint, &Filter) -> Value;
    let list: Action = |endpoint, filter| endpoint.list(filter, false);
    let show: Action = |endpoint, filter| endpoint.list(filter, true);
    let paths = [("/cache/list", "GET", list), ("/cache/show", "GET", show)];
    for (path, method, action) in
        paths.into_iter().chain([("/cache/flush", "POST", Endpoint::flush as Action)])
    {
        let endpoint = endpoint.clone();
        setup.http(&at, path, move |request| endpoint.answer(request, method, action));
    }
    Ok(())
}

/// The digest of the token in a file.
fn read_token(file: &Token, setup: &Setup<'_>) -> Result<[u8; 32], Diagnostic> {
    let path = setup.path(file);
    let wrong = |problem: String| {
        Diagnostic::error(file.span, problem).help(format!(
            "write a token of at least {MIN_TOKEN_LENGTH} characters to the file, for example with \
             `head -c 24 /dev/urandom | base64`"
        ))
    };
    let text = files::read_text(&path, MAX_TOKEN_FILE)
        .map_err(|error| wrong(format!("cannot read {}: {error}", path.display())))?;
    match text.trim() {
        token if token.len() >= MIN_TOKEN_LENGTH => Ok(digest(token)),
        _ => Err(wrong(format!("the token in {} is too short", path.display()))),
    }
}

fn digest(text: &str) -> [u8; 32] {
    let mut octets = [0; 32];
    octets.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
    octets
}

/// The handler of requests.
#[derive(Clone)]
struct Endpoint {
    /// The digest of the token. Comparing digests reveals nothing by its timing.
    token: Option<[u8; 32]>,
    shared: Arc<SharedStore>,
    clock: Clock,
}

impl Endpoint {
    fn answer(
        &self,
        request: &HttpRequest,
        method: &str,
        action: fn(&Self, &Filter) -> Value,
    ) -> HttpReply {
        if let Some((status, problem)) = self.reject(request) {
            let reply = failure(status, problem);
            return if status == 401 { reply.with("WWW-Authenticate", "Bearer") } else { reply };
        }
        if request.method != method {
            return failure(405, &format!("this path accepts only {method}"));
        }
        match Filter::parse(&request.query) {
            Err(problem) => failure(400, &problem),
            Ok(filter) if method == "POST" && filter.is_empty() => {
                failure(400, "select the entries to delete: name, suffix, type or all")
            }
            Ok(filter) => json_reply(200, &action(self, &filter)),
        }
    }

    /// The status and the problem of a request that is not allowed.
    fn reject(&self, request: &HttpRequest) -> Option<(u16, &'static str)> {
        if let Some(token) = self.token {
            let given = request.authorization.strip_prefix("Bearer ").map(str::trim);
            return (given.map(digest) != Some(token))
                .then_some((401, "the token is missing or wrong"));
        }
        // A web page in a browser on this machine may send requests to loopback addresses: cross-origin,
        // or to a host name of its own that resolves to one (DNS rebinding).
        let host = request
            .host
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let host = host.map_or(&*request.host, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let direct = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok();
        (!direct || !request.origin.is_empty())
            .then_some((403, "requests from web pages are not accepted"))
    }

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

fn json_reply(status: u16, value: &Value) -> HttpReply {
    HttpReply::new(status, "application/json", format!("{value}\n"))
        .with("X-Content-Type-Options", "nosniff")
}

fn failure(status: u16, problem: &str) -> HttpReply {
    json_reply(status, &json!({ "error": problem }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_let_in() {
        let clock = Clock { now: || wire::Moment(0), unix: |_| 0 };
        let endpoint = |token: Option<&str>| Endpoint {
            token: token.map(digest),
            shared: SharedStore::new(None),
            clock,
        };
        let request = |host: &str, origin: &str, authorization: &str| HttpRequest {
            host: host.into(),
            origin: origin.into(),
            authorization: authorization.into(),
            ..HttpRequest::default()
        };
        let open = endpoint(None);
        for host in ["127.0.0.1:8953", "localhost", "[::1]:8953", "[::1]"] {
            assert_eq!(open.reject(&request(host, "", "")), None, "{host}");
        }
        for (host, origin) in [("evil.example", ""), ("", ""), ("127.0.0.1", "http://evil.example")]
        {
            assert_eq!(open.reject(&request(host, origin, "")).unwrap().0, 403, "{host}");
        }
        let locked = endpoint(Some("0123456789abcdef"));
        assert_eq!(locked.reject(&request("x", "", "Bearer 0123456789abcdef")), None);
        for wrong in ["", "Bearer", "Bearer 0123456789abcdeg", "0123456789abcdef"] {
            assert_eq!(locked.reject(&request("localhost", "", wrong)).unwrap().0, 401, "{wrong}");
        }
    }
}
