//! The guard of the admin endpoint: which requests are answered, and options that contradict each other.
//!
//! It must never know: where a token comes from.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use corefile::{Diagnostic, Span};

use crate::http::{HttpReply, HttpRequest};

/// Decides which requests are answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Guard {
    /// The digest of the token. Comparing digests reveals nothing by its timing.
    token: Option<[u8; 32]>,
}

/// JSON, or the HTTP status and the problem.
pub type AdminAnswer = Result<String, (u16, String)>;

/// Never shows the digest: a weak token could be found by it.
impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.token.is_some() { "Guard(token)" } else { "Guard(no token)" })
    }
}

impl Guard {
    /// A guard that asks for this token, or for requests from this machine.
    pub fn new(token: Option<&str>) -> Self {
        Self { token: token.map(digest) }
    }

    pub(crate) fn answer(
        &self,
        request: &HttpRequest,
        method: &str,
        answer: &dyn Fn(&str) -> AdminAnswer,
    ) -> HttpReply {
        if let Some((status, problem)) = self.reject(request) {
            let reply = failure(status, problem);
            return if status == 401 { reply.with("WWW-Authenticate", "Bearer") } else { reply };
        }
        if request.method != method {
            return failure(405, &format!("this path accepts only {method}"));
        }
        match answer(&request.query) {
            Ok(body) => json(200, &body),
            Err((status, problem)) => failure(status, &problem),
        }
    }

    /// The status and the problem of a request that is not allowed.
    pub fn reject(&self, request: &HttpRequest) -> Option<(u16, &'static str)> {
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
}

/// An option and what it asks of requests to its address.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The address.
    pub(crate) address: SocketAddr,
    /// The place of the option.
    pub(crate) span: Span,
    /// What it asks.
    pub(crate) guard: Guard,
}

/// The options that contradict an earlier one: on one address all paths have one token, or none has one. A path
/// would otherwise be guarded by the token of whichever option comes last.
pub fn conflicts(claims: &[Claim]) -> Vec<Diagnostic> {
    let mut first: HashMap<SocketAddr, &Claim> = HashMap::new();
    let mut found = Vec::new();
    for claim in claims {
        let earlier = *first.entry(claim.address).or_insert(claim);
        if earlier.guard != claim.guard {
            let word = |claim: &Claim| match claim.guard.token {
                Some(_) => "with this token",
                None => "without a token",
            };
            let message = format!("two tokens for the admin endpoint on {}", claim.address);
            found.push(
                Diagnostic::error(claim.span, message)
                    .label(format!("{} here", word(claim)))
                    .also(earlier.span, format!("{} here", word(earlier)))
                    .help("use one token file for both, or another address"),
            );
        }
    }
    found
}

fn digest(text: &str) -> [u8; 32] {
    let mut octets = [0; 32];
    octets.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
    octets
}

fn json(status: u16, body: &str) -> HttpReply {
    HttpReply::new(status, "application/json", format!("{body}\n"))
        .with("X-Content-Type-Options", "nosniff")
}

fn failure(status: u16, problem: &str) -> HttpReply {
    json(status, &serde_json::json!({ "error": problem }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_let_in() {
        let request = |host: &str, origin: &str, authorization: &str| HttpRequest {
            host: host.into(),
            origin: origin.into(),
            authorization: authorization.into(),
            method: "GET".into(),
            ..HttpRequest::default()
        };
        let open = Guard::new(None);
        for host in ["127.0.0.1:8953", "localhost", "[::1]:8953", "[::1]"] {
            assert_eq!(open.reject(&request(host, "", "")), None, "{host}");
        }
        for (host, origin) in [("evil.example", ""), ("", ""), ("127.0.0.1", "http://evil.example")]
        {
            assert_eq!(open.reject(&request(host, origin, "")).unwrap().0, 403, "{host}");
        }
        let locked = Guard::new(Some("0123456789abcdef"));
        assert_eq!(format!("{locked:?} {open:?}"), "Guard(token) Guard(no token)");
        assert_eq!(locked.reject(&request("x", "", "Bearer 0123456789abcdef")), None);
        for wrong in ["", "Bearer", "Bearer 0123456789abcdeg", "0123456789abcdef"] {
            assert_eq!(locked.reject(&request("localhost", "", wrong)).unwrap().0, 401, "{wrong}");
        }
        let answer = |query: &str| match query {
            "" => Ok("{}".to_owned()),
            other => Err((400, format!("`{other}`"))),
        };
        let status =
            |method: &str| open.answer(&request("localhost", "", ""), method, &answer).status;
        assert_eq!((status("GET"), status("POST")), (200, 405));
        let refused = locked.answer(&request("localhost", "", ""), "GET", &answer);
        assert_eq!(refused.status, 401);
        assert!(refused.headers.contains(&("WWW-Authenticate", "Bearer")));
    }
}
