//! From an address to the services that have it: pairs of hashes in shards, eight octets each.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use wire::hash;

const SHARDS: usize = 4096;

type Pairs = Box<[u64]>;

/// The index. It names candidates: an address that has the hash of another one is told apart by the entry.
pub(crate) struct AddressIndex(Box<[ArcSwapOption<Pairs>]>);

impl Default for AddressIndex {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| ArcSwapOption::const_empty()).collect())
    }
}

/// The hash of an address.
pub(crate) fn hash_of(address: IpAddr) -> u32 {
    let wide = match address {
        IpAddr::V4(address) => hash::mix(hash::root(), u64::from(u32::from(address))),
        IpAddr::V6(address) => {
            let bits = u128::from(address);
            hash::mix(hash::mix(hash::root(), bits as u64), (bits >> 64) as u64)
        }
    };
    (wide ^ wide >> 32) as u32
}

fn pair(address: u32, tag: u32) -> u64 {
    u64::from(address) << 32 | u64::from(tag)
}

impl AddressIndex {
    /// The tags of the services that may have the address.
    pub(crate) fn tags(&self, address: IpAddr, mut each: impl FnMut(u32)) {
        let address = hash_of(address);
        let shard = self.0[address as usize % SHARDS].load();
        let Some(pairs) = shard.as_deref() else { return };
        let from = pairs.partition_point(|&known| known < pair(address, 0));
        let found = pairs[from..].iter().take_while(|&&known| (known >> 32) as u32 == address);
        found.for_each(|&known| each(known as u32));
    }

    /// Adds and removes pairs; both lists are sorted. Writers take turns.
    pub(crate) fn change(&self, removed: &[u64], added: &[u64]) {
        for (list, is_added) in [(removed, false), (added, true)] {
            for &one in list {
                let place = &self.0[(one >> 32) as usize % SHARDS];
                let shard = place.load();
                let pairs: &[u64] = shard.as_deref().map_or(&[], |pairs| pairs);
                let next: Pairs = match (pairs.binary_search(&one), is_added) {
                    (Err(at), true) => {
                        let mut next = Vec::with_capacity(pairs.len() + 1);
                        next.extend_from_slice(&pairs[..at]);
                        next.push(one);
                        next.extend_from_slice(&pairs[at..]);
                        next.into()
                    }
                    (Ok(at), false) => [&pairs[..at], &pairs[at + 1..]].concat().into(),
                    _ => continue,
                };
                drop(shard);
                place.store((!next.is_empty()).then(|| Arc::new(next)));
            }
        }
    }

    /// Octets of memory.
    pub(crate) fn memory(&self) -> usize {
        let pairs = |shard: &ArcSwapOption<Pairs>| {
            shard.load().as_deref().map_or(0, |pairs| 32 + 8 * pairs.len())
        };
        SHARDS * 8 + self.0.iter().map(pairs).sum::<usize>()
    }
}

/// The pairs of a service's addresses, sorted, each once.
pub(crate) fn pairs_of(addresses: impl Iterator<Item = IpAddr>, tag: u32) -> Vec<u64> {
    let mut pairs: Vec<u64> = addresses.map(|address| pair(hash_of(address), tag)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// What of `a` is not in `b`; both are sorted.
pub(crate) fn minus(a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().copied().filter(|one| b.binary_search(one).is_err()).collect()
}
