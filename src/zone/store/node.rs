//! The layout of a node: one name of the zone in the arena, as a header, the name, a directory of RRsets, and
//! the records in wire form.
//!
//! ```text
//! flags u8 | name length u8 | sets u16 | name relative to the apex, lower case, without root byte
//! per set: type u16, records u16, fix-ups u16, length u32
//! per set: the records, each `C0 0C type class ttl rdlength rdata`; then u16 fix-up positions
//! ```
//! Most names have one record. Its node ([`PLAIN`]) has no directory, as the record tells its type and length, and
//! the number of fix-ups in place of that of the sets.
//!
//! A record's owner is a pointer to offset 12, the name in the question. A name in RDATA that ends
//! in the apex ends in a pointer instead; the fix-up list says where those pointers are, because
//! where the apex lies in a message depends on the length of the question's name.

use wire::{Rtype, hash, name};

/// Bytes before the name.
pub(crate) const HEAD: usize = 4;
/// Bytes of a directory entry.
pub(crate) const ENTRY: usize = 10;
/// Bytes of a record before its RDATA.
pub(crate) const FIXED: usize = 12;

/// Not in use: the records were moved to another node.
pub(crate) const TOMBSTONE: u8 = 1;
/// A zone cut: NS records below the apex.
pub(crate) const CUT: u8 = 2;
/// Below a zone cut or a DNAME.
pub(crate) const OCCLUDED: u8 = 4;
/// Has a DNAME record.
pub(crate) const DNAME: u8 = 8;
/// `*` exists directly below.
pub(crate) const WILD_CHILD: u8 = 16;
/// Has NSEC3 records only, so it is no name of the zone (RFC 5155 section 7.2.8).
pub(crate) const NSEC3_ONLY: u8 = 32;
/// A name exists directly below, or once did. Not set at the apex, which exists in any case.
pub(crate) const CHILD: u8 = 64;
/// Has one record, and no directory.
pub(crate) const PLAIN: u8 = 128;

/// One name of the zone. Borrows the arena from the node's first byte on.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    bytes: &'a [u8],
}

/// The records of one type at one name.
#[derive(Clone, Copy)]
pub(crate) struct Set<'a> {
    pub(crate) rtype: Rtype,
    pub(crate) count: u16,
    pub(crate) bytes: &'a [u8],
    fixes: &'a [u8],
}

impl<'a> Node<'a> {
    #[inline]
    pub(crate) fn at(arena: &'a [u8], offset: u64) -> Self {
        Self { bytes: &arena[offset as usize..] }
    }

    /// A node with an empty name and no records: a placeholder.
    pub(crate) const EMPTY: Self = Self { bytes: &[0; HEAD] };

    /// Tells one node of a version from another.
    #[inline]
    pub(crate) fn id(self) -> usize {
        self.bytes.as_ptr().addr()
    }

    /// The bytes of the node.
    pub(crate) fn as_bytes(self) -> &'a [u8] {
        &self.bytes[..self.size()]
    }

    #[inline]
    pub(crate) fn flags(self) -> u8 {
        self.bytes[0]
    }

    #[inline]
    pub(crate) fn has(self, flags: u8) -> bool {
        self.flags() & flags != 0
    }

    /// The name without the apex and without a root byte.
    #[inline]
    pub(crate) fn name(self) -> &'a [u8] {
        &self.bytes[HEAD..HEAD + usize::from(self.bytes[1])]
    }

    /// The number of sets, or of fix-ups in a node with one record.
    #[inline]
    fn count(self) -> u16 {
        u16::from_le_bytes([self.bytes[2], self.bytes[3]])
    }

    /// Whether the name is an empty non-terminal.
    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.count() == 0 && !self.has(PLAIN)
    }

    #[inline]
    pub(crate) fn sets(self) -> Sets<'a> {
        let data = &self.bytes[HEAD + usize::from(self.bytes[1])..];
        if self.has(PLAIN) {
            return Sets { entries: &[], data, only: Some(self.count()) };
        }
        let (entries, data) = data.split_at(usize::from(self.count()) * ENTRY);
        Sets { entries, data, only: None }
    }

    /// The set of a type. Of RRSIG sets, of which there is one for each type covered, the first.
    #[inline]
    pub(crate) fn find(self, rtype: Rtype) -> Option<Set<'a>> {
        self.sets().find(|set| set.rtype == rtype)
    }

    /// The set of a type and its signatures.
    pub(crate) fn find_signed(self, rtype: Rtype) -> (Option<Set<'a>>, Option<Set<'a>>) {
        let mut sets = self.sets();
        let found = sets.by_ref().find(|set| set.rtype == rtype);
        let signatures = match found {
            Some(_) => sets.next().filter(|next| next.covers() == Some(rtype)),
            None => None,
        };
        (found, signatures)
    }

    /// Offset of a set in this node.
    pub(crate) fn offset_of(self, set: Set<'_>) -> u64 {
        (set.bytes.as_ptr().addr() - self.bytes.as_ptr().addr()) as u64
    }

    /// Number of records.
    pub(crate) fn record_count(self) -> usize {
        self.sets().map(|set| usize::from(set.count)).sum()
    }

    /// Whether two nodes have the same name and the same records, in the same order.
    pub(crate) fn equals(self, other: Node<'_>) -> bool {
        self.has(PLAIN) == other.has(PLAIN)
            && self.bytes[1..self.size()] == other.bytes[1..other.size()]
    }

    /// Bytes of the node in the arena.
    pub(crate) fn size(self) -> usize {
        let mut sets = self.sets();
        let all = sets.data.len();
        let head = HEAD + usize::from(self.bytes[1]) + sets.entries.len();
        for _ in sets.by_ref() {}
        head + all - sets.data.len()
    }
}

/// Iterates over the sets of a node in the order of their types; signatures follow the set they cover.
pub(crate) struct Sets<'a> {
    entries: &'a [u8],
    data: &'a [u8],
    /// The number of fix-ups of the only record, until it was there.
    only: Option<u16>,
}

impl<'a> Iterator for Sets<'a> {
    type Item = Set<'a>;

    #[inline]
    fn next(&mut self) -> Option<Set<'a>> {
        if let Some(fixes) = self.only.take() {
            let head = self.data.first_chunk::<FIXED>()?;
            let len = FIXED + usize::from(u16::from_be_bytes([head[10], head[11]]));
            let rtype = Rtype(u16::from_be_bytes([head[2], head[3]]));
            let (bytes, rest) = self.data.split_at(len);
            let (fixes, rest) = rest.split_at(usize::from(fixes) * 2);
            self.data = rest;
            return Some(Set { rtype, count: 1, bytes, fixes });
        }
        let (entry, entries) = self.entries.split_first_chunk::<ENTRY>()?;
        let fixes = usize::from(u16::from_le_bytes([entry[4], entry[5]])) * 2;
        let len = u32::from_le_bytes([entry[6], entry[7], entry[8], entry[9]]) as usize;
        let (bytes, rest) = self.data.split_at(len);
        let (fixes, rest) = rest.split_at(fixes);
        self.entries = entries;
        self.data = rest;
        Some(Set {
            rtype: Rtype(u16::from_le_bytes([entry[0], entry[1]])),
            count: u16::from_le_bytes([entry[2], entry[3]]),
            bytes,
            fixes,
        })
    }
}

impl<'a> Set<'a> {
    /// The set at the start of `bytes`: `count` records in `len` bytes, then `fixes` fix-ups. Its type is
    /// unknown.
    #[inline]
    pub(crate) fn at(bytes: &'a [u8], len: usize, count: u16, fixes: u16) -> Self {
        let (bytes, rest) = bytes.split_at(len);
        Self { rtype: Rtype(0), count, bytes, fixes: &rest[..usize::from(fixes) * 2] }
    }

    /// Offsets in [`Set::bytes`] of the pointers to the apex.
    #[inline]
    pub(crate) fn fixes(self) -> impl Iterator<Item = usize> + 'a {
        let (pairs, _) = self.fixes.as_chunks::<2>();
        pairs.iter().map(|pair| usize::from(u16::from_le_bytes(*pair)))
    }

    #[inline]
    pub(crate) fn fix_count(self) -> usize {
        self.fixes.len() / 2
    }

    /// The type that these signatures cover, if they are signatures.
    #[inline]
    pub(crate) fn covers(self) -> Option<Rtype> {
        if self.rtype != Rtype::RRSIG {
            return None;
        }
        self.bytes.get(FIXED..FIXED + 2).map(|two| Rtype(u16::from_be_bytes([two[0], two[1]])))
    }

    /// The record at offset `at`, and the offset of the next one.
    #[inline]
    pub(crate) fn record_at(self, at: usize) -> Option<(StoredRecord<'a>, usize)> {
        let fixed = self.bytes.get(at..)?.first_chunk::<FIXED>()?;
        let end = at + FIXED + usize::from(u16::from_be_bytes([fixed[10], fixed[11]]));
        let rdata = self.bytes.get(at + FIXED..end)?;
        let ttl = u32::from_be_bytes([fixed[6], fixed[7], fixed[8], fixed[9]]);
        Some((StoredRecord { start: at, ttl, rdata }, end))
    }

    /// All records.
    #[inline]
    pub(crate) fn records(self) -> impl Iterator<Item = StoredRecord<'a>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (record, end) = self.record_at(at)?;
            at = end;
            Some(record)
        })
    }

    /// Offsets of the pointers to the apex within a range of [`Set::bytes`].
    pub(crate) fn fixes_between(self, from: usize, to: usize) -> impl Iterator<Item = usize> + 'a {
        let (pairs, _) = self.fixes.as_chunks::<2>();
        let place = |pair: &[u8; 2]| usize::from(u16::from_le_bytes(*pair));
        let first = pairs.partition_point(|pair| place(pair) < from);
        pairs[first..].iter().map(place).take_while(move |&fix| fix < to)
    }
}

/// One record of a set.
#[derive(Clone, Copy)]
pub(crate) struct StoredRecord<'a> {
    pub(crate) start: usize,
    pub(crate) ttl: u32,
    pub(crate) rdata: &'a [u8],
}

/// Offset of the first node.
pub(crate) const FIRST: u64 = 8;

/// The hash of a name, from the hash of the apex and the lower-case labels before it.
#[inline]
pub(crate) fn relative_hash(apex: u64, relative: &[u8]) -> u64 {
    let first = relative.first().map_or(0, |&len| usize::from(len) + 1);
    if first == relative.len() {
        return if first == 0 { apex } else { hash::child(apex, &relative[1..]) };
    }
    let mut starts = [0u8; 128];
    let mut count = 0;
    for (at, _) in name::label_starts(relative) {
        starts[count] = at as u8;
        count += 1;
    }
    starts[..count].iter().rev().fold(apex, |parent, &at| {
        let at = usize::from(at);
        hash::child(parent, &relative[at + 1..at + 1 + usize::from(relative[at])])
    })
}
