//! What makes two questions one.

use wire::{Class, Query, Rtype, hash};

use super::super::entry::Key;
use super::super::subnet;

/// What makes two questions one: the cache's key, and what an upstream would answer differently.
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

/// All of it but the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    qtype: Rtype,
    class: Class,
    bits: u8,
    /// An answer cut to a datagram is no answer for a stream.
    datagram: bool,
    /// Without RD an upstream may know nothing.
    recursion: bool,
    /// Zero, or which of a few lanes the client's network is in. An answer may be meant for one
    /// network, but a question that anybody may multiply by as many networks as there are would be
    /// forged an answer to before long.
    lane: u8,
}

/// Questions for the same name and type, from different networks, that go upstream at the same time.
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
            datagram: query.transport.is_datagram(),
            recursion: query.recursion_desired(),
            lane: lane(query),
        }
    }

    pub(super) fn hash(self, key: &Key<'_>) -> u64 {
        let flags = u64::from(self.datagram) << 1 | u64::from(self.recursion);
        hash::mix(key.hash, u64::from(self.lane) << 2 | flags)
    }
}
