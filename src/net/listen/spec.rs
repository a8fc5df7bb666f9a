//! Where and how to listen.

use std::net::SocketAddr;
use std::time::Duration;

/// What is spoken on an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// Plain DNS: UDP and TCP on the same port.
    Dns,
}

/// How long a TCP client may take, and how much it may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpTimeouts {
    /// From the first byte of a message (or from connecting, for the first one) to its last.
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
    /// What is spoken there.
    pub protocol: Protocol,
    /// The address. Port 0 lets the system choose; `[::]` stands for IPv4 too.
    pub addr: SocketAddr,
    /// Sockets on this address; one per worker unless said.
    pub sockets: Option<usize>,
    /// Bounds on TCP clients.
    pub tcp: TcpTimeouts,
}

impl ListenSpec {
    /// Plain DNS on `addr`, all else as usual.
    pub fn dns(addr: SocketAddr) -> Self {
        Self { protocol: Protocol::Dns, addr, sockets: None, tcp: TcpTimeouts::default() }
    }
}
