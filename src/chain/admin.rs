//! The admin endpoint: HTTP paths on which an operator asks a running server, and who may ask.
//!
//! Without a token the endpoint accepts loopback addresses only, and never requests of a web page. It must
//! never know: what the paths answer.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use corefile::{Diagnostic, Directive, Span, Token};

use crate::Setup;
use crate::http::{HttpAddress, HttpReply, HttpRequest};

/// The address without an argument.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:8953";
/// The largest file with a token.
const MAX_TOKEN_FILE: u64 = 64 << 10;
/// A shorter token can be guessed.
const MIN_TOKEN_LENGTH: usize = 16;

/// The option `admin [ADDRESS [TOKEN_FILE]]` of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// The address to listen on.
    pub address: String,
    /// The place of the address, or of the option.
    pub span: Span,
    /// The file that contains the token.
    pub token: Option<Token>,
}

impl AdminConfig {
    /// Reads the option.
    ///
    /// # Errors
    /// It has too many arguments.
    pub fn parse(option: &Directive) -> Result<Self, Diagnostic> {
        let mut args = option.args();
        let (address, token) = (args.next(), args.next().cloned());
        args.end()?;
        let span = address.map_or(option.name.span, |address| address.span);
        let address = address.map_or(DEFAULT_ADDRESS, Token::as_str).to_owned();
        Ok(Self { address, span, token })
    }
}

/// The endpoint of one option, and who may ask it.
#[derive(Clone, Debug)]
pub struct Admin {
    address: HttpAddress,
    guard: Guard,
}

/// An option and what it asks of requests to its address.
#[derive(Clone, Debug)]
pub struct Claim {
    address: SocketAddr,
    span: Span,
    guard: Guard,
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

/// Decides which requests are answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Guard {
    /// The digest of the token. Comparing digests reveals nothing by its timing.
    token: Option<[u8; 32]>,
}

impl Admin {
    /// The endpoint of this option.
    ///
    /// # Errors
    /// The address is invalid, or it is not a loopback address and there is no token; the token's file
    /// cannot be read, or has no token.
    pub fn new(config: &AdminConfig, setup: &mut Setup<'_>) -> Result<Self, Diagnostic> {
        let AdminConfig { address, span, token } = config;
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
        setup.claim(Claim { address: bound, span: *span, guard: Guard { token } });
        let address = HttpAddress { text: address.clone(), span: Some(*span) };
        Ok(Self { address, guard: Guard { token } })
    }

    /// Serves `path` for requests with this method. `answer` gets the query, the part behind the `?`, and
    /// returns JSON, or the status and the problem.
    pub fn serve(
        &self,
        setup: &mut Setup<'_>,
        path: &'static str,
        method: &'static str,
        answer: impl Fn(&str) -> AdminAnswer + Send + Sync + 'static,
    ) {
        let guard = self.guard.clone();
        setup.http(&self.address, path, move |request| guard.answer(request, method, &answer));
    }
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

    fn answer(
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
