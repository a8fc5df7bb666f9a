//! Where and how to listen.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wire::{Endpoint, Scheme};

use super::http_settings::{Http, HttpSettings};
use crate::tls::Acceptor;

/// Whether this build can listen on endpoints with this scheme.
pub const fn is_supported(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::Dns | Scheme::Tls | Scheme::Https)
}

/// Whether streams on endpoints with this scheme may be encrypted.
pub const fn has_tls(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::Tls | Scheme::Https)
}

/// Whether streams on endpoints with this scheme have to be encrypted. Those of HTTP may come from a proxy.
pub const fn needs_tls(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::Tls)
}

/// Whether queries may come in datagrams.
pub(super) const fn has_datagrams(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::Dns)
}

/// What connections read when they are accepted.
#[derive(Clone, Debug)]
pub(crate) struct StreamSettings {
    pub(crate) timeouts: TcpTimeouts,
    pub(crate) tls: Option<Acceptor>,
    pub(super) http: Option<Arc<Http>>,
}

impl StreamSettings {
    /// Whether connections are to be as `spec` says.
    pub(crate) fn are_of(&self, spec: &ListenSpec) -> bool {
        let Self { timeouts, tls, http } = self;
        let http = http.as_ref().map(|http| &http.settings);
        *timeouts == spec.tcp && *tls == spec.tls && http == spec.http.as_ref()
    }
}

impl From<&ListenSpec> for StreamSettings {
    fn from(spec: &ListenSpec) -> Self {
        let http = spec.http.clone().map(|settings| Arc::new(Http::new(settings)));
        Self { timeouts: spec.tcp, tls: spec.tls.clone(), http }
    }
}

/// How long a client of a stream may take, and how much it may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpTimeouts {
    /// From the first byte of a message (or from connecting, for the first one) to its last; also for the
    /// handshake of TLS.
    pub read: Duration,
    /// Without taking a byte of what was sent.
    pub write: Duration,
    /// Without a question, after the first.
    pub idle: Duration,
    /// Queries on one connection; then it is closed.
    pub max_queries: Option<u32>,
}

impl TcpTimeouts {
    /// The idle timeout as clients are told it, in units of 100 ms (RFC 7828 section 3.1).
    pub(crate) fn keepalive(&self) -> u16 {
        u16::try_from(self.idle.as_millis() / 100).unwrap_or(u16::MAX)
    }
}

impl Default for TcpTimeouts {
    fn default() -> Self {
        Self {
            read: Duration::from_secs(3),
            write: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            max_queries: None,
        }
    }
}

/// Where and how to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSpec {
    /// The endpoint. Port 0 lets the system choose.
    pub endpoint: Endpoint,
    /// Sockets on this address; one per worker unless said.
    pub sockets: Option<usize>,
    /// Bounds on clients of streams.
    pub tcp: TcpTimeouts,
    /// The TLS of the streams.
    pub tls: Option<Acceptor>,
    /// How it speaks HTTP, if it does.
    pub http: Option<HttpSettings>,
}

impl ListenSpec {
    /// Listens on `endpoint` with the default settings.
    pub fn new(endpoint: Endpoint) -> Self {
        let http = matches!(endpoint.scheme, Scheme::Https).then(HttpSettings::default);
        Self { endpoint, sockets: None, tcp: TcpTimeouts::default(), tls: None, http }
    }

    /// Listens for plain DNS on `address` with the default settings.
    pub fn dns(address: SocketAddr) -> Self {
        Self::new(Endpoint::dns(address))
    }

    /// How many sockets it has, of whatever kind, on a server with so many workers.
    pub fn descriptors(&self, workers: usize) -> usize {
        let each = if has_datagrams(self.endpoint.scheme) { 2 } else { 1 };
        each * self.sockets.unwrap_or(workers).max(1)
    }
}

/// What an open listener needs to become what another [`ListenSpec`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// [`super::Listener::apply`], which closes no socket.
    Apply,
    /// Other sockets: a new listener has to replace it.
    Reopen,
}
