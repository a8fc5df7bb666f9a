//! All records of a file or a zone in canonical order (RFC 4034 section 6): what is written, digested and checked.
//!
//! A listing takes the bytes of its records, the sort key of each name, and 24 bytes for each record and each
//! name. It keeps what a [`Zone`] does not: duplicates, the case of names, and records that are no zone.

use std::cmp::Ordering;

use wire::name::{self, MAX_NAME};
use wire::{Class, Name, Rtype, rdata};

use crate::RecordRef;
use crate::store::Zone;

/// The most records.
const MAX_RECORDS: usize = u32::MAX as usize - 1;

/// Collects records in any order.
#[derive(Default)]
pub struct Lister {
    bytes: Vec<u8>,
    keys: Vec<u8>,
    owners: Vec<Owner>,
    entries: Vec<Entry>,
}

/// Records in canonical order, by name, type and RDATA.
pub struct Listing {
    bytes: Vec<u8>,
    keys: Vec<u8>,
    owners: Vec<Owner>,
    entries: Vec<Entry>,
    /// For each name its first entry, and the number of entries at the end.
    starts: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Owner {
    /// Offset of the name in `bytes`.
    at: usize,
    /// Offset of the sort key in `keys`.
    key_at: usize,
    key_len: u16,
    len: u8,
}

#[derive(Clone, Copy)]
struct Entry {
    /// Offset of the RDATA in `bytes`.
    at: usize,
    owner: u32,
    ttl: u32,
    rtype: Rtype,
    class: Class,
    len: u16,
    /// Whether the canonical form follows the RDATA, because it differs.
    folded: bool,
}

/// A record of a listing.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The record as it was added.
    pub record: RecordRef<'a>,
    /// Its RDATA in canonical form (RFC 4034 section 6.2, RFC 6840 section 5.1).
    pub canonical: &'a [u8],
}

/// The records of one name.
#[derive(Clone, Copy)]
pub struct ListedName<'a> {
    listing: &'a Listing,
    index: usize,
}

impl Lister {
    /// Starts an empty listing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record. The names of it are uncompressed.
    ///
    /// # Errors
    /// There are 2^32 records, which is more than a listing can number.
    pub fn add(&mut self, record: RecordRef<'_>) -> Result<(), String> {
        if self.entries.len() >= MAX_RECORDS {
            return Err(format!("more than {MAX_RECORDS} records cannot be sorted"));
        }
        let known = self.owners.last().is_some_and(|last| {
            self.bytes.get(last.at..last.at + usize::from(last.len)) == Some(record.owner)
        });
        if !known {
            let (at, key_at) = (self.bytes.len(), self.keys.len());
            self.bytes.extend_from_slice(record.owner);
            push_key(record.owner, &mut self.keys);
            let key_len = (self.keys.len() - key_at) as u16;
            self.owners.push(Owner { at, key_at, key_len, len: record.owner.len() as u8 });
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(record.rdata);
        let folded = push_canonical(record.rtype, record.rdata, &mut self.bytes);
        self.entries.push(Entry {
            at,
            owner: (self.owners.len() - 1) as u32,
            ttl: record.ttl,
            rtype: record.rtype,
            class: record.class,
            len: record.rdata.len() as u16,
            folded,
        });
        Ok(())
    }

    /// Sorts the records.
    pub fn list(self) -> Listing {
        let Self { bytes, keys, owners, mut entries } = self;
        let mut order: Vec<u32> = (0..owners.len() as u32).collect();
        let key = |at: u32| owners[at as usize].key(&keys);
        order.sort_by(|&a, &b| key(a).cmp(key(b)));
        // A name that came several times becomes one, in the spelling that came first.
        let mut ranks = vec![0u32; owners.len()];
        let mut sorted: Vec<Owner> = Vec::with_capacity(owners.len());
        for &at in &order {
            let owner = owners[at as usize];
            if sorted.last().is_none_or(|last| last.key(&keys) != owner.key(&keys)) {
                sorted.push(owner);
            }
            ranks[at as usize] = sorted.len() as u32 - 1;
        }
        for entry in &mut entries {
            entry.owner = ranks[entry.owner as usize];
        }
        entries.sort_by(|a, b| {
            let head = |entry: &Entry| (entry.owner, entry.rtype, entry.class);
            head(a)
                .cmp(&head(b))
                .then_with(|| a.canonical(&bytes).cmp(b.canonical(&bytes)))
                .then(a.ttl.cmp(&b.ttl))
        });
        let mut starts = Vec::with_capacity(sorted.len() + 1);
        for (at, entry) in entries.iter().enumerate() {
            if starts.len() <= entry.owner as usize {
                starts.push(at as u32);
            }
        }
        starts.push(entries.len() as u32);
        Listing { bytes, keys, owners: sorted, entries, starts }
    }
}

impl Owner {
    fn key(self, keys: &[u8]) -> &[u8] {
        &keys[self.key_at..self.key_at + usize::from(self.key_len)]
    }
}

impl Entry {
    fn canonical(self, bytes: &[u8]) -> &[u8] {
        let len = usize::from(self.len);
        let at = if self.folded { self.at + len } else { self.at };
        &bytes[at..at + len]
    }
}

impl Listing {
    /// The records of a zone.
    pub fn of(zone: &Zone) -> Self {
        let mut lister = Lister::new();
        let mut records = zone.records();
        while let Some(record) = records.next_record() {
            let added = lister.add(record);
            debug_assert!(added.is_ok(), "a zone has fewer records");
        }
        lister.list()
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All names that have records, in canonical order.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = ListedName<'_>> + ExactSizeIterator {
        (0..self.owners.len()).map(|index| ListedName { listing: self, index })
    }

    /// All records in canonical order.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = Listed<'_>> + ExactSizeIterator {
        self.entries.iter().map(|entry| self.listed(entry))
    }

    /// The records at exactly this name, in any case.
    pub fn name(&self, owner: &[u8]) -> Option<ListedName<'_>> {
        let index = self.search(owner).ok()?;
        Some(ListedName { listing: self, index })
    }

    /// Whether the name exists, perhaps as an empty non-terminal: it has records, or a name below it has.
    pub fn has_name(&self, owner: &[u8]) -> bool {
        match self.search(owner) {
            Ok(_) => true,
            Err(next) => self.owners.get(next).is_some_and(|next| {
                name::is_under(&self.bytes[next.at..next.at + usize::from(next.len)], owner)
            }),
        }
    }

    fn search(&self, owner: &[u8]) -> Result<usize, usize> {
        let mut key = Vec::with_capacity(2 * MAX_NAME);
        push_key(owner, &mut key);
        self.owners.binary_search_by(|other| other.key(&self.keys).cmp(&key))
    }

    fn listed(&self, entry: &Entry) -> Listed<'_> {
        let owner = self.owners[entry.owner as usize];
        let record = RecordRef {
            owner: &self.bytes[owner.at..owner.at + usize::from(owner.len)],
            rtype: entry.rtype,
            class: entry.class,
            ttl: entry.ttl,
            rdata: &self.bytes[entry.at..entry.at + usize::from(entry.len)],
        };
        Listed { record, canonical: entry.canonical(&self.bytes) }
    }
}

impl<'a> ListedName<'a> {
    /// The name, as it was spelled first.
    pub fn owner(&self) -> &'a [u8] {
        let owner = self.listing.owners[self.index];
        &self.listing.bytes[owner.at..owner.at + usize::from(owner.len)]
    }

    /// All records in canonical order.
    pub fn records(&self) -> impl Iterator<Item = Listed<'a>> + Clone + use<'a> {
        let listing = self.listing;
        self.entries().iter().map(move |entry| listing.listed(entry))
    }

    /// The records of one type.
    pub fn of(&self, rtype: Rtype) -> impl Iterator<Item = Listed<'a>> + Clone + use<'a> {
        self.records().filter(move |listed| listed.record.rtype == rtype)
    }

    /// Whether there is a record of the type.
    pub fn has(&self, rtype: Rtype) -> bool {
        self.entries().iter().any(|entry| entry.rtype == rtype)
    }

    /// The types of the records, ascending, each once.
    pub fn types(&self) -> impl Iterator<Item = Rtype> + use<'a> {
        let mut last = None;
        self.entries().iter().filter_map(move |entry| {
            let new = last != Some(entry.rtype);
            last = Some(entry.rtype);
            new.then_some(entry.rtype)
        })
    }

    fn entries(&self) -> &'a [Entry] {
        let (from, to) = (self.listing.starts[self.index], self.listing.starts[self.index + 1]);
        &self.listing.entries[from as usize..to as usize]
    }
}

impl Listed<'_> {
    /// Whether this is the same record, whatever its TTL.
    pub fn same(&self, other: &Self) -> bool {
        let (a, b) = (self.record, other.record);
        a.rtype == b.rtype
            && a.class == b.class
            && self.canonical == other.canonical
            && name::eq(a.owner, b.owner)
    }

    /// The type that this signature covers, if it is one.
    pub fn covers(&self) -> Option<Rtype> {
        match (self.record.rtype, self.record.rdata) {
            (Rtype::RRSIG, [high, low, ..]) => Some(Rtype(u16::from_be_bytes([*high, *low]))),
            _ => None,
        }
    }
}

/// Appends the sort key of a name: keys compare byte by byte as names do in canonical order, and the key of a
/// name is the start of the keys below it. A label ends in two zero octets; a zero octet inside is followed by
/// a one.
fn push_key(owner: &[u8], keys: &mut Vec<u8>) {
    let mut starts = [(0u8, 0u8); 128];
    let mut count = 0;
    for (at, len) in name::label_starts(owner) {
        starts[count] = (at as u8, len as u8);
        count += 1;
    }
    for &(at, len) in starts[..count].iter().rev() {
        let at = usize::from(at) + 1;
        for byte in &owner[at..at + usize::from(len)] {
            keys.push(byte.to_ascii_lowercase());
            if *byte == 0 {
                keys.push(1);
            }
        }
        keys.extend_from_slice(&[0, 0]);
    }
}

/// Appends the canonical form of RDATA, if it differs from the RDATA.
fn push_canonical(rtype: Rtype, rdata: &[u8], bytes: &mut Vec<u8>) -> bool {
    // RFC 4034 section 6.2 lists the types; NSEC is no longer one of them (RFC 6840 section 5.1).
    let folds = !matches!(
        rtype,
        Rtype::NSEC | Rtype::SVCB | Rtype::HTTPS | Rtype::LP | Rtype::TALINK | Rtype::NSAPPTR
    );
    let Some(layout) = rdata::layout(rtype).filter(|_| folds) else { return false };
    let Ok(first) = layout.first_name(rdata, 0, rdata.len()) else { return false };
    let mut end = first;
    for _ in 0..layout.names {
        let Some(len) = rdata.get(end..).and_then(name::wire_len) else { return false };
        end += len;
    }
    if !rdata[first..end].iter().any(u8::is_ascii_uppercase) {
        return false;
    }
    let start = bytes.len();
    bytes.extend_from_slice(rdata);
    bytes[start + first..start + end].make_ascii_lowercase();
    true
}

/// The order of two records: name, type, RDATA.
pub fn canonical_order(a: RecordRef<'_>, b: RecordRef<'_>) -> Ordering {
    name::canonical_cmp(a.owner, b.owner)
        .then_with(|| a.rtype.cmp(&b.rtype))
        .then_with(|| a.rdata.cmp(b.rdata))
}

/// The owner of the first SOA record in a listing.
pub fn apex(listing: &Listing) -> Option<Name> {
    let found = listing.records().find(|listed| listed.record.rtype == Rtype::SOA)?;
    Name::from_wire(found.record.owner).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> Vec<u8> {
        Name::from_text(text).unwrap().as_wire().to_vec()
    }

    #[test]
    fn keys_order_names_canonically() {
        // That `canonical_cmp` orders as RFC 4034 section 6.1 does is for its own tests.
        let all = [
            ".",
            "example.",
            "a.example.",
            "Z.a.example.",
            "z.a.example.",
            "aa.example.",
            "*.example.",
            "\\001.example.",
            "\\000.example.",
            "a\\000.example.",
            "a\\001.example.",
            "\\200.example.",
        ]
        .map(wire);
        for a in &all {
            for b in &all {
                let key = |name: &[u8]| {
                    let mut key = Vec::new();
                    push_key(name, &mut key);
                    key
                };
                assert_eq!(key(a).cmp(&key(b)), name::canonical_cmp(a, b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn records_of_a_name_come_together_whatever_its_case() {
        let mut lister = Lister::new();
        let rdata = |text: &str| wire(text);
        for (owner, target) in [("B.example.", "X."), ("a.example.", "y."), ("b.EXAMPLE.", "x.")] {
            lister
                .add(RecordRef {
                    owner: &wire(owner),
                    rtype: Rtype::PTR,
                    class: Class::IN,
                    ttl: 60,
                    rdata: &rdata(target),
                })
                .unwrap();
        }
        let listing = lister.list();
        let counts: Vec<usize> = listing.names().map(|name| name.records().count()).collect();
        assert_eq!(counts, [1, 2]);
        let b = listing.name(&wire("b.example.")).unwrap();
        assert_eq!(b.owner(), wire("B.example."));
        let both: Vec<Listed<'_>> = b.records().collect();
        assert!(both[0].same(&both[1]) && both[0].record.rdata != both[1].record.rdata);
        assert!(listing.has_name(&wire("example.")) && listing.has_name(&wire("A.example.")));
        assert!(!listing.has_name(&wire("c.example.")) && !listing.has_name(&wire("0.example.")));
        assert!(listing.name(&wire("example.")).is_none());
    }
}
