//! A compact table of names and addresses: a blocklist of a million names needs some 60 MB.
//!
//! All names are in one buffer. A pair of a name and an address is a link in two lists: the addresses of
//! the name, and the names of the address.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;

use wire::prefetch::fetch;
use wire::{HashIndex, hash, name};

/// No link.
const NONE: u32 = u32::MAX;

/// The content of a hosts file.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Lower-case wire names.
    names: Vec<u8>,
    entries: Vec<NameEntry>,
    by_name: HashIndex,
    addresses: Vec<Address>,
    by_address: HashIndex,
    links: Vec<Link>,
    /// The hashes of names that have other names below them.
    ancestors: HashSet<u64, BuildHasherDefault<Identity>>,
    /// The number of links that are in the list of their address.
    reversed: usize,
}

/// A name.
#[derive(Debug)]
struct NameEntry {
    /// Its offset in the buffer.
    name_at: u32,
    /// Its first link.
    first: u32,
}

/// An address.
#[derive(Debug)]
struct Address {
    address: IpAddr,
    first: u32,
    last: u32,
}

/// A pair of a name and an address.
#[derive(Debug)]
struct Link {
    entry: u32,
    address: u32,
    /// The next link of the same name.
    next_of_entry: u32,
    /// The next link of the same address.
    next_of_address: u32,
}

impl Table {
    /// The entry of `name` (lower case) with this hash.
    #[inline]
    pub(super) fn find(&self, hash: u64, name: &[u8]) -> Option<u32> {
        self.by_name.find(hash, |entry| self.name(entry) == name)
    }

    /// The entry of the wildcard under `parent`, whose hash is given.
    #[inline]
    pub(super) fn find_wildcard(&self, parent_hash: u64, parent: &[u8]) -> Option<u32> {
        if self.entries.is_empty() {
            return None;
        }
        let hash = hash::child(parent_hash, b"*");
        self.by_name.find(hash, |entry| self.name(entry).strip_prefix(b"\x01*") == Some(parent))
    }

    /// The addresses of an entry, in the order of the file.
    #[inline]
    pub(super) fn addresses(&self, entry: u32) -> impl Iterator<Item = IpAddr> + '_ {
        let mut next = self.entries.get(entry as usize).map_or(NONE, |entry| entry.first);
        std::iter::from_fn(move || {
            let link = self.links.get(next as usize)?;
            next = link.next_of_entry;
            Some(self.addresses.get(link.address as usize)?.address)
        })
    }

    /// The names of an address, in the order of the file.
    pub(super) fn names(&self, address: IpAddr) -> impl Iterator<Item = &[u8]> {
        let found = self.find_address(address);
        let mut next = found.map_or(NONE, |found| self.addresses[found as usize].first);
        std::iter::from_fn(move || {
            let link = self.links.get(next as usize)?;
            next = link.next_of_address;
            Some(self.name(link.entry))
        })
    }

    /// Whether there are names below the one with this hash. It is known only if the table was filled
    /// with `zone_labels`.
    pub(super) fn is_ancestor(&self, hash: u64) -> bool {
        self.ancestors.contains(&hash)
    }

    /// Names with their addresses plus addresses with their names, as CoreDNS counts entries.
    pub(super) fn entries(&self) -> usize {
        self.links.len() + self.reversed
    }

    /// Whether the table is larger than the processor's cache.
    pub(super) fn is_large(&self) -> bool {
        self.entries.len() > 4096
    }

    /// Prefetches what [`Table::find`] will read: first the index, then the entry.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64, stage: u8) {
        match stage {
            0 => self.by_name.prefetch(hash),
            1 => {
                if let Some(entry) = self.by_name.first(hash) {
                    fetch(&self.entries[entry as usize]);
                }
            }
            _ => {}
        }
    }

    /// Adds a name with an address, unless the table has the pair. With `reverse` the address maps to
    /// the name, too. With `zone_labels` the names above it exist, down to a zone with that many labels.
    ///
    /// Returns `false` if the table is full.
    pub(super) fn add(
        &mut self,
        name: &[u8],
        address: IpAddr,
        reverse: bool,
        zone_labels: Option<usize>,
    ) -> bool {
        let hash = hash::name(name);
        let entry = match self.find(hash, name) {
            Some(entry) => entry,
            None => {
                let (Ok(name_at), Ok(entry)) =
                    (u32::try_from(self.names.len()), u32::try_from(self.entries.len()))
                else {
                    return false;
                };
                self.names.extend_from_slice(name);
                self.entries.push(NameEntry { name_at, first: NONE });
                self.by_name.insert(hash, entry);
                if let Some(labels) = zone_labels {
                    self.add_ancestors(name, labels);
                }
                entry
            }
        };
        let address = self.address(address);
        let mut last = NONE;
        let mut next = self.entries[entry as usize].first;
        while let Some(link) = self.links.get(next as usize) {
            if link.address == address {
                // RFC 2181 section 5: an RRset has no duplicates.
                return true;
            }
            last = next;
            next = link.next_of_entry;
        }
        let Some(number) = u32::try_from(self.links.len()).ok().filter(|&number| number != NONE)
        else {
            return false;
        };
        self.links.push(Link { entry, address, next_of_entry: NONE, next_of_address: NONE });
        match self.links.get_mut(last as usize) {
            Some(link) => link.next_of_entry = number,
            None => self.entries[entry as usize].first = number,
        }
        if reverse {
            self.reversed += 1;
            let known = &mut self.addresses[address as usize];
            let last = std::mem::replace(&mut known.last, number);
            match self.links.get_mut(last as usize) {
                Some(link) => link.next_of_address = number,
                None => known.first = number,
            }
        }
        true
    }

    /// Releases unused capacity.
    pub(super) fn shrink_to_fit(&mut self) {
        self.names.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.addresses.shrink_to_fit();
        self.links.shrink_to_fit();
        self.ancestors.shrink_to_fit();
        self.by_name.shrink_to_fit();
        self.by_address.shrink_to_fit();
    }

    #[inline]
    fn name(&self, entry: u32) -> &[u8] {
        let at = self.entries[entry as usize].name_at as usize;
        let rest = &self.names[at..];
        &rest[..name::wire_len(rest).unwrap_or(0)]
    }

    fn add_ancestors(&mut self, name: &[u8], zone_labels: usize) {
        let mut here = name;
        let mut labels = name::label_count(name);
        while labels > zone_labels + 1
            && let Some(parent) = name::parent(here)
        {
            // The ancestors of a known ancestor are known.
            if !self.ancestors.insert(hash::name(parent)) {
                return;
            }
            here = parent;
            labels -= 1;
        }
    }

    fn address(&mut self, address: IpAddr) -> u32 {
        if let Some(known) = self.find_address(address) {
            return known;
        }
        // There are at most as many addresses as links, whose number is checked.
        let number = self.addresses.len() as u32;
        self.addresses.push(Address { address, first: NONE, last: NONE });
        self.by_address.insert(address_hash(address), number);
        number
    }

    fn find_address(&self, address: IpAddr) -> Option<u32> {
        self.by_address
            .find(address_hash(address), |known| self.addresses[known as usize].address == address)
    }
}

fn address_hash(address: IpAddr) -> u64 {
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    hash::mix(hash::mix(hash::root(), bits as u64), (bits >> 64) as u64)
}

/// A hasher for values that are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = hash::mix(self.0, u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
