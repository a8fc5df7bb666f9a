//! The protocols of upstreams.

use wire::Transport;

use super::quic::QuicSession;
use super::{h3, https};
use crate::client::http::Resource;
use crate::tls::Session;

/// The protocol of an upstream, and the expected server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// DNS over TCP (RFC 7766), and over UDP.
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls(Session),
    /// DNS over HTTPS (RFC 8484) on HTTP/2.
    Https(Session, Resource),
    /// DNS over QUIC (RFC 9250).
    Quic(QuicSession),
    /// DNS over HTTPS on HTTP/3.
    H3(QuicSession, Resource),
}

impl Over {
    /// DNS over HTTPS on HTTP/2.
    pub fn https(session: &Session, resource: Resource) -> Self {
        Self::Https(session.speaking(https::ALPN), resource)
    }

    /// DNS over QUIC.
    ///
    /// # Errors
    /// TLS cannot do what QUIC needs.
    pub fn quic(session: &Session) -> Result<Self, String> {
        QuicSession::dns(session).map(Self::Quic)
    }

    /// DNS over HTTPS on HTTP/3.
    ///
    /// # Errors
    /// TLS cannot do what QUIC needs.
    pub fn h3(session: &Session, resource: Resource) -> Result<Self, String> {
        h3::session(session).map(|session| Self::H3(session, resource))
    }

    /// The transport, for plugins that record messages.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Tcp => Transport::Tcp,
            Self::Tls(_) => Transport::Tls,
            Self::Https(..) => Transport::Https,
            Self::Quic(_) => Transport::Quic,
            Self::H3(..) => Transport::Https3,
        }
    }
}
