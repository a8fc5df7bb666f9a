//! The key of a flight: which queries may share an answer.

use exchange::Query;
use wire::{Class, Rtype, hash};

use super::super::entry::Key;
use super::super::subnet;

/// The key of the cache, and everything else that may change an upstream's answer.
pub(super) struct FlightKey {
    pub(super) hash: u64,
    pub(super) name: Box<[u8]>,
    pub(super) variant: Variant,
}

impl FlightKey {
    pub(super) fn matches(&self, key: &Key<'_>, variant: Variant) -> bool {
        self.variant == variant && *self.name == *key.name
    }
}

/// The key without the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    qtype: Rtype,
    class: Class,
    bits: u8,
    /// A truncated answer is no answer for a stream.
    datagram: bool,
    /// Without RD, an upstream may answer from its own data only.
    recursion: bool,
    /// Zero, or the lane of the client's network. An answer may be for one network only, but without a
    /// bound an attacker could have the same query in flight once for every network, which makes it
    /// easy to forge an answer (birthday attack).
    lane: u8,
}

/// The number of lanes: equal queries from different networks that are in flight at the same time.
const LANES: u64 = 16;

fn lane(query: &Query) -> u8 {
    subnet::source(query).map_or(0, |asked| {
        let octets = asked.source.octets().iter();
        let mixed = octets.fold(0, |mixed, &octet| hash::mix(mixed, u64::from(octet)));
        1 + (mixed % LANES) as u8
    })
}

impl Variant {
    pub(super) fn of(key: &Key<'_>, query: &Query) -> Self {
        Self {
            qtype: key.qtype,
            class: key.class,
            bits: key.bits,
            datagram: query.client.transport.is_datagram(),
            recursion: query.recursion_desired(),
            lane: lane(query),
        }
    }

    pub(super) fn hash(self, key: &Key<'_>) -> u64 {
        let flags = u64::from(self.datagram) << 1 | u64::from(self.recursion);
        hash::mix(key.hash, u64::from(self.lane) << 2 | flags)
    }
}
