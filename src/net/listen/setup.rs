//! What the transport of a connection decides: where it comes from, and its place among the others.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;

use exchange::Query;
use wire::Transport;

use super::handler::Handler;
use super::spec::TcpTimeouts;
use crate::workers::{OpenConnection, Worker};

/// What the transport of a connection decides.
pub(super) struct Setup {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) transport: Transport,
    /// Whether the transport is TLS 1.3.
    pub(super) tls13: bool,
    pub(super) timeouts: TcpTimeouts,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) place: Place,
}

/// The place of a connection in the registry of its worker, which it leaves when this is dropped.
pub(super) struct Place {
    pub(super) worker: Arc<Worker>,
    pub(super) entry: Arc<OpenConnection>,
}

impl Place {
    pub(super) fn new(worker: &Arc<Worker>, entry: &Arc<OpenConnection>) -> Self {
        worker.connections.insert(entry);
        Self { worker: Arc::clone(worker), entry: Arc::clone(entry) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.connections.remove(&self.entry);
    }
}

impl Setup {
    /// Says where a query over HTTP came from.
    pub(super) fn fill(&self, query: &mut Query, peer: SocketAddr, now: wire::Moment) {
        query.client.peer = peer;
        query.client.local = self.local;
        query.client.transport = self.transport;
        query.client.tls13 = self.tls13;
        query.client.keepalive = 0;
        query.client.worker = self.worker.index;
        query.client.received = now;
    }
}

impl Deref for Setup {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

/// The address, as IPv4 if it is one inside IPv6.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
}
