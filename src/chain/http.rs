//! The HTTP endpoints that plugins request: a handler of requests to one path on one address.

use std::sync::Arc;

use corefile::Span;

use crate::BoxFuture;

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
    /// Address to listen on, as written (`:8080` means all addresses).
    pub address: String,
    /// Where the address was written, if it was.
    pub span: Option<Span>,
    /// Path, such as `/health`. A later endpoint for the same address and path replaces this one.
    pub path: &'static str,
    /// The handler of its requests.
    pub handler: HttpHandler,
}
