//! Whom to ask, how long and how much.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use net::client::Waits;
use net::tls::TransferSession;
use tsig::Key;

use crate::Tally;

/// A server and how to speak to it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The address to ask from; `None`: the system chooses.
    pub source: Option<IpAddr>,
    /// The TLS session of transfers over TLS (XoT); `None`: UDP and TCP.
    pub session: Option<TransferSession>,
    /// The key that requests are signed with, and replies must be.
    pub key: Option<Arc<Key>>,
}

impl Peer {
    /// A server that is asked over UDP and TCP, unsigned.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, source: None, session: None, key: None }
    }
}

/// The bounds of a request. Beyond them it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records of a transfer.
    pub records: u64,
    /// Octets of a transfer: the larger of what was received and the records without compression.
    pub octets: u64,
    /// The wait for a connection, the TLS handshake included.
    pub connect: Duration,
    /// The wait for each message of a reply.
    pub idle: Duration,
    /// The time of a whole reply.
    pub total: Duration,
    /// The first wait for a reply over UDP; each further one is twice as long.
    pub datagram: Duration,
    /// How many times a request is sent over UDP.
    pub attempts: u32,
}

impl Default for Limits {
    /// Bounds that any zone of the Internet keeps: 200,000,000 records and 16 GiB in two hours, ten seconds for
    /// a connection, thirty between two messages, and three datagrams that wait two seconds, four and eight.
    fn default() -> Self {
        Self {
            records: 200_000_000,
            octets: 16 << 30,
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(7200),
            datagram: Duration::from_secs(2),
            attempts: 3,
        }
    }
}

impl Limits {
    pub(crate) fn waits(&self) -> Waits {
        Waits { connect: self.connect, idle: self.idle, total: self.total }
    }
}

/// How far the transfer under way is, for whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    messages: AtomicU64,
    records: AtomicU64,
    octets: AtomicU64,
}

impl Progress {
    /// Messages, records and octets so far.
    pub fn tally(&self) -> Tally {
        let number = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Tally {
            messages: number(&self.messages),
            records: number(&self.records),
            received: number(&self.octets),
            ..Tally::default()
        }
    }

    pub(crate) fn set(&self, tally: &Tally) {
        self.messages.store(tally.messages, Ordering::Relaxed);
        self.records.store(tally.records, Ordering::Relaxed);
        self.octets.store(tally.received, Ordering::Relaxed);
    }
}
