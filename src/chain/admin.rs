//! The admin endpoint: HTTP paths on which an operator asks a running server, and who may ask.
//!
//! Without a token the endpoint accepts loopback addresses only, and never requests of a web page. It must
//! never know: what the paths answer.

use corefile::{Diagnostic, Directive, Span, Token};

use crate::Setup;
pub use crate::guard::{AdminAnswer, Claim, Guard, conflicts};
use crate::http::HttpAddress;

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

impl Admin {
    /// The endpoint of this option.
    ///
    /// # Errors
    /// The address is invalid, or it is not a loopback address and there is no token; the token's file
    /// cannot be read, or has no token.
    pub fn new(config: &AdminConfig, setup: &mut Setup<'_>) -> Result<Self, Diagnostic> {
        let AdminConfig { address, span, token } = config;
        let text = token.as_ref().map(|token| read_token(token, setup)).transpose()?;
        let guard = Guard::new(text.as_deref());
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
        setup.claim(Claim { address: bound, span: *span, guard: guard.clone() });
        let address = HttpAddress { text: address.clone(), span: Some(*span) };
        Ok(Self { address, guard })
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

/// The token in a file.
fn read_token(file: &Token, setup: &Setup<'_>) -> Result<String, Diagnostic> {
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
        token if token.len() >= MIN_TOKEN_LENGTH => Ok(token.to_owned()),
        _ => Err(wrong(format!("the token in {} is too short", path.display()))),
    }
}
