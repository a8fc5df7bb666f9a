//! A row of addresses to permute: in place, or as items of a new reply.

use std::net::IpAddr;

use wire::reply::Item;
use wire::{NameBuf, Record, Reply, Rtype};

use super::weights::{DEFAULT_WEIGHT, Weights};

/// Records that can be swapped with each other.
pub(super) trait Row {
    /// The number of records.
    fn len(&self) -> usize;
    /// The address in a record.
    fn address(&self, at: usize) -> Option<IpAddr>;
    /// The weight of that address for the record's owner.
    fn weight(&self, at: usize, weights: &Weights) -> u8;
    /// Swaps two records.
    fn swap(&mut self, a: usize, b: usize);
}

/// Consecutive address records of one owner and type, which are equally long.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// Offset of the first record.
    start: usize,
    /// The octets before the TTL of a record.
    head: usize,
    /// The octets of a record.
    stride: usize,
    /// The number of records.
    pub(super) count: usize,
}

impl Run {
    pub(super) fn new(record: &Record<'_>) -> Self {
        Self {
            start: record.start,
            head: record.ttl_at - record.start,
            stride: record.end - record.start,
            count: 1,
        }
    }

    /// Whether `record` follows this run and has the same owner, type and class.
    #[inline]
    pub(super) fn goes_on_with(&self, message: &[u8], record: &Record<'_>) -> bool {
        // Compared octet by octet: two spellings of one name only miss this shortcut.
        record.start == self.start + self.count * self.stride
            && record.end - record.start == self.stride
            && message[record.start..record.ttl_at] == message[self.start..self.start + self.head]
    }

    fn ttl_at(&self, at: usize) -> usize {
        self.start + at * self.stride + self.head
    }
}

/// A run and its reply.
pub(super) struct InPlace<'a> {
    pub(super) reply: &'a mut Reply,
    pub(super) run: Run,
}

/// The octets of TTL and RDLENGTH.
const BEFORE_RDATA: usize = 6;

impl Row for InPlace<'_> {
    fn len(&self) -> usize {
        self.run.count
    }

    fn address(&self, at: usize) -> Option<IpAddr> {
        let start = self.run.ttl_at(at) + BEFORE_RDATA;
        let end = self.run.start + (at + 1) * self.run.stride;
        address(&self.reply.bytes()[start..end])
    }

    fn weight(&self, at: usize, weights: &Weights) -> u8 {
        weight(self.reply.bytes(), self.run.start, self.address(at), weights)
    }

    fn swap(&mut self, a: usize, b: usize) {
        let rdata_len = self.run.stride - self.run.head - BEFORE_RDATA;
        if a != b {
            self.reply.swap_values(self.run.ttl_at(a), self.run.ttl_at(b), rdata_len);
        }
    }
}

/// The items of one section, and the reply that they were read from.
pub(super) struct Items<'a> {
    pub(super) items: &'a mut [Item],
    pub(super) before: &'a [u8],
}

impl Row for Items<'_> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn address(&self, at: usize) -> Option<IpAddr> {
        let item = &self.items[at];
        matches!(item.rtype, Rtype::A | Rtype::AAAA)
            .then(|| address(self.before.get(item.rdata_at..item.end)?))?
    }

    fn weight(&self, at: usize, weights: &Weights) -> u8 {
        weight(self.before, self.items[at].start, self.address(at), weights)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.items.swap(a, b);
    }
}

fn weight(message: &[u8], start: usize, address: Option<IpAddr>, weights: &Weights) -> u8 {
    let mut owner = NameBuf::new();
    match (wire::name::read(message, start, &mut owner), address) {
        (Ok(_), Some(address)) => weights.of(owner.as_wire(), address),
        _ => DEFAULT_WEIGHT,
    }
}

/// The address in the RDATA of an A or AAAA record. An IPv4-mapped address is IPv4.
fn address(rdata: &[u8]) -> Option<IpAddr> {
    let address = match rdata.len() {
        4 => IpAddr::from(*rdata.first_chunk::<4>()?),
        _ => IpAddr::from(*rdata.first_chunk::<16>()?),
    };
    Some(address.to_canonical())
}
