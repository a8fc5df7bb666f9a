//! The HTTP endpoints that plugins request: a handler of requests to one path on one address.

use std::net::SocketAddr;
use std::sync::Arc;

use corefile::{Diagnostic, Span, Token};

use crate::BoxFuture;

/// The address of an HTTP endpoint, `[HOST]:PORT`: as written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAddress {
    /// The address as written (`:8080` means all addresses).
    pub text: String,
    /// Where it was written, if it was.
    pub span: Option<Span>,
}

impl HttpAddress {
    /// The address of an endpoint whose directive names none.
    pub fn unwritten(text: &str) -> Self {
        Self { text: text.to_owned(), span: None }
    }

    /// Reads an argument. `served` is what the endpoint serves, `example` a correct directive.
    ///
    /// # Errors
    /// It is not an address with a port.
    pub fn read(token: &Token, served: &str, example: &str) -> Result<Self, Diagnostic> {
        let text = token.as_str();
        match Self::resolve(text) {
            Ok(_) => Ok(Self { text: text.to_owned(), span: Some(token.span) }),
            Err(problem) => {
                let message = format!("`{text}` is not an address to serve {served} on");
                let help = format!("write an address and a port, as in `{example}`");
                Err(Diagnostic::error(token.span, message).label(problem).help(help))
            }
        }
    }

    /// The socket address that `text` (`:8080`, `127.0.0.1:8080`, `[::1]:8080`) stands for.
    ///
    /// # Errors
    /// It is not an address with a port.
    pub fn resolve(text: &str) -> Result<SocketAddr, String> {
        let full = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
        let mut full = full.replace("localhost:", "127.0.0.1:");
        // As in Go the system chooses a port that is left out.
        if full.ends_with(':') {
            full.push('0');
        }
        full.parse().map_err(|_| "expected an address such as `:8080` or `127.0.0.1:8080`".into())
    }
}

/// A request to one of the server's HTTP endpoints.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// What follows the `?`.
    pub query: String,
    /// The `Host` header.
    pub host: String,
    /// The `Origin` header: set by browsers.
    pub origin: String,
    /// The `Authorization` header.
    pub authorization: String,
    /// The `Accept` header.
    pub accept: String,
    /// What the client sent; read only for an [`HttpHandler::Later`], and bounded.
    pub body: Vec<u8>,
}

/// The reply to it.
#[derive(Clone, Debug)]
pub struct HttpReply {
    /// Status code.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Body.
    pub body: Vec<u8>,
}

impl HttpReply {
    /// A reply of this type.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, headers: Vec::new(), body: body.into() }
    }

    /// A plain text.
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Answers requests to one path.
#[derive(Clone)]
pub enum HttpHandler {
    /// On the control thread, without waiting.
    Now(Arc<dyn Fn(&HttpRequest) -> HttpReply + Send + Sync>),
    /// After a while that the handler bounds itself. The future is dropped if the client leaves.
    Later(Arc<dyn Fn(HttpRequest) -> BoxFuture<'static, HttpReply> + Send + Sync>),
}

/// An endpoint that a plugin requested.
pub struct HttpEndpoint {
    /// The address to listen on.
    pub address: HttpAddress,
    /// Path, such as `/health`. A later endpoint for the same address and path replaces this one.
    pub path: &'static str,
    /// The handler of its requests.
    pub handler: HttpHandler,
}
