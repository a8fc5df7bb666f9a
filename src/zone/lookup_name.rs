//! The name of a lookup: that of the question, or the target of an alias.

use wire::name::{self, NameBuf};
use wire::{Request, hash};

use crate::store::Zone;

/// A lower-case name in the zone, with the offsets of its labels and the hashes of its suffixes. Indexes count
/// labels from the left.
pub(crate) trait LookupName {
    /// Number of labels before the apex, which is also the index of the apex.
    fn depth(&self, zone: &Zone) -> usize;
    /// The whole name.
    fn name(&self) -> &[u8];
    /// Offset of label `index`.
    fn label_at(&self, index: usize) -> usize;
    /// The hash of the name from label `index` on.
    fn hash(&self, index: usize) -> u64;

    /// The labels from `index` on, without the apex.
    #[inline]
    fn relative(&self, zone: &Zone, index: usize) -> &[u8] {
        let end = self.name().len() - zone.apex_len();
        &self.name()[self.label_at(index)..end]
    }
}

impl LookupName for Request {
    #[inline]
    fn depth(&self, zone: &Zone) -> usize {
        self.labels() - zone.apex_labels()
    }

    #[inline]
    fn name(&self) -> &[u8] {
        Self::name(self)
    }

    #[inline]
    fn label_at(&self, index: usize) -> usize {
        Self::label_at(self, index)
    }

    #[inline]
    fn hash(&self, index: usize) -> u64 {
        self.suffix_hash(index)
    }
}

/// The target of an alias.
pub(crate) struct AliasTarget {
    name: NameBuf,
    starts: [u8; 128],
    hashes: [u64; 128],
    depth: usize,
}

impl AliasTarget {
    pub(crate) fn new() -> Self {
        Self { name: NameBuf::new(), starts: [0; 128], hashes: [0; 128], depth: 0 }
    }

    /// Sets the name, in any case; `false` if it is not in the zone.
    pub(crate) fn set(&mut self, zone: &Zone, full: &[u8]) -> bool {
        self.name.set_folded(full);
        let apex = zone.apex().as_wire();
        if !name::is_under(self.name.as_wire(), apex) {
            return false;
        }
        let end = full.len() - apex.len();
        let mut count = 0;
        for (at, _) in name::label_starts(&self.name.as_wire()[..end]) {
            self.starts[count] = at as u8;
            count += 1;
        }
        self.starts[count] = end as u8;
        self.depth = count;
        let mut hash = zone.apex_hash;
        self.hashes[count] = hash;
        for index in (0..count).rev() {
            let (from, to) = (usize::from(self.starts[index]), usize::from(self.starts[index + 1]));
            hash = hash::child(hash, &self.name.as_wire()[from + 1..to]);
            self.hashes[index] = hash;
        }
        true
    }
}

impl LookupName for AliasTarget {
    fn depth(&self, _: &Zone) -> usize {
        self.depth
    }

    fn name(&self) -> &[u8] {
        self.name.as_wire()
    }

    fn label_at(&self, index: usize) -> usize {
        usize::from(self.starts[index])
    }

    fn hash(&self, index: usize) -> u64 {
        self.hashes[index]
    }
}
