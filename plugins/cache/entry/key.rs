//! The key of a cached answer: everything that the answer depends on.

use std::hash::Hasher;

use exchange::Query;
use wire::edns::Subnet;
use wire::{Class, Rtype, hash};

/// Everything that an answer depends on, borrowed from the query. Keys are compared in full, never by
/// hash alone.
#[derive(Clone, Copy, Debug)]
pub(in crate::cache) struct Key<'a> {
    pub(in crate::cache) hash: u64,
    /// Lower case.
    pub(in crate::cache) name: &'a [u8],
    pub(in crate::cache) qtype: Rtype,
    pub(in crate::cache) class: Class,
    /// [`Key::DO`] and [`Key::CD`].
    pub(in crate::cache) bits: u8,
    /// The network that the answer is for, if it is not for all clients.
    pub(in crate::cache) subnet: Option<Subnet>,
}

impl<'a> Key<'a> {
    /// The client wants DNSSEC records.
    pub(in crate::cache) const DO: u8 = 1;
    /// The client does its own validation (RFC 4035 section 4.7).
    pub(in crate::cache) const CD: u8 = 2;
    /// The entry is no answer: it counts the networks that have one.
    pub(super) const COUNT: u8 = 4;

    /// The key of a query, without its network.
    #[inline]
    pub(in crate::cache) fn of(query: &'a Query) -> Self {
        let dnssec = if query.wants_dnssec() { Self::DO } else { 0 };
        let bits = dnssec | if query.checking_disabled() { Self::CD } else { 0 };
        let (qtype, class) = (query.qtype(), query.qclass());
        let rest = (u64::from(qtype.0) << 32) | (u64::from(class.0) << 16) | u64::from(bits);
        let hash = hash::mix(query.suffix_hash(0), rest);
        Self { hash, name: query.name(), qtype, class, bits, subnet: None }
    }

    /// The key of these values, equal to [`Key::of`] a query with them.
    pub(in crate::cache) fn new(name: &'a [u8], qtype: Rtype, class: Class, bits: u8) -> Self {
        let rest = (u64::from(qtype.0) << 32) | (u64::from(class.0) << 16) | u64::from(bits);
        let hash = hash::mix(hash::name(name), rest);
        Self { hash, name, qtype, class, bits, subnet: None }
    }

    /// The key of the same query from this network.
    pub(in crate::cache) fn within(self, subnet: Subnet) -> Self {
        let octets = subnet
            .octets()
            .iter()
            .fold(u64::from(subnet.bits) << 8, |hash, &octet| hash::mix(hash, u64::from(octet)));
        let hash = hash::mix(self.hash, octets | subnet.family as u64);
        Self { hash, subnet: Some(subnet), ..self }
    }

    /// The key of the entry that counts the networks of the same query.
    pub(in crate::cache) fn counting(self) -> Self {
        Self { hash: hash::mix(self.hash, 1), bits: self.bits | Self::COUNT, ..self }
    }
}

/// A hasher for values that are hashes already.
#[derive(Clone, Copy, Default)]
pub(in crate::cache) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = hash::mix(self.0, u64::from(byte));
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
    fn write_u32(&mut self, number: u32) {
        self.0 = hash::mix(u64::from(number), 0);
    }
}

/// The number of a tenant of the store, which is part of the key of all its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::cache) struct TenantId(pub(in crate::cache) u32);

impl TenantId {
    /// The tenant of an entry that is not stored.
    pub(in crate::cache) const NONE: Self = Self(0);
}
