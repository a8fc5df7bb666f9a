//! The client of a query, and how its message arrived.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use wire::{Family, Moment, Transport};

/// The client of a query, as the transport saw it.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The address of the client.
    pub peer: SocketAddr,
    /// The address the query was sent to.
    pub local: SocketAddr,
    /// The transport of the query and of its reply.
    pub transport: Transport,
    /// How long the connection may be idle, in units of 100 ms (RFC 7828 section 3.1); without meaning
    /// for a datagram.
    pub keepalive: u16,
    /// The worker that handles the query: the index of its counters.
    pub worker: usize,
    /// The time of arrival.
    pub received: Moment,
    /// The latest known time: that of the batch, or that at which a waiting query continued.
    pub now: Moment,
    /// Whether the transport is TLS 1.3 or newer.
    pub tls13: bool,
    /// The listener it arrived at: selects the router, also for lookups of our own.
    pub listener: u16,
}

impl Client {
    /// Nobody: for a query that has not been received yet.
    pub const fn none() -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Self {
            peer: nowhere,
            local: nowhere,
            transport: Transport::Udp,
            keepalive: 0,
            worker: 0,
            received: Moment(0),
            now: Moment(0),
            tls13: false,
            listener: 0,
        }
    }

    /// The family of the client's address; IPv4 inside IPv6 counts as IPv4.
    pub const fn family(&self) -> Family {
        Family::of(self.peer.ip())
    }
}
