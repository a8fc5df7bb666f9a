//! Compression of the names in one message (RFC 1035 section 4.1.4), fast enough for each record of a
//! large zone.
//!
//! A table has the offset of the last name with each hash. An offset may be that of another name, or be
//! left from an earlier message: the octets there are compared before a pointer to them is written. So
//! nothing is cleared between messages, and each name costs one probe for each of its labels.

use wire::hash;

/// Offsets that are remembered.
const SLOTS: usize = 1024;
/// Pointers have fourteen bits.
pub(super) const MAX_POINTER: usize = 0x3FFF;
/// Pointers that are followed in one name.
const MAX_JUMPS: usize = 16;

/// What follows the labels of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The name of the zone.
    Apex,
    /// The root.
    Root,
}

/// The names of one message.
pub(super) struct Names {
    slots: Box<[u16; SLOTS]>,
    /// The name of the zone.
    apex: Box<[u8]>,
    /// Its offset in the message, 0 if it is not there yet.
    apex_at: usize,
}

impl Names {
    pub(super) fn new(apex: &[u8]) -> Self {
        Self { slots: Box::new([0; SLOTS]), apex: apex.into(), apex_at: 0 }
    }

    pub(super) fn apex(&self) -> &[u8] {
        &self.apex
    }

    /// Begins a message whose question has this name, at offset `at`. RFC 5936 section 3.4: names keep
    /// their case, so a question in another case is not pointed to.
    pub(super) fn begin(&mut self, question: &[u8], at: usize) {
        self.apex_at = if *question == *self.apex { at } else { 0 };
    }

    /// Octets of the message from `len` on were taken back.
    pub(super) fn forget_apex_from(&mut self, len: usize) {
        if self.apex_at >= len {
            self.apex_at = 0;
        }
    }

    /// Divides a name at the start of `rdata`: its labels, what follows them, and its length. A pointer
    /// there means the name of the zone, as in the store.
    #[inline]
    pub(super) fn split<'a>(&self, rdata: &'a [u8]) -> Option<(&'a [u8], End, usize)> {
        let mut at = 0;
        loop {
            match usize::from(*rdata.get(at)?) {
                0 => return Some(self.split_whole(&rdata[..=at])),
                len @ 1..0xC0 => at += 1 + len,
                _ => return Some((&rdata[..at], End::Apex, at + 2)),
            }
        }
    }

    /// The same for a whole name.
    pub(super) fn split_whole<'a>(&self, name: &'a [u8]) -> (&'a [u8], End, usize) {
        let own = name.len().saturating_sub(self.apex.len());
        if self.apex.len() > 1
            && wire::name::is_under(name, &self.apex)
            && name[own..] == *self.apex
        {
            return (&name[..own], End::Apex, name.len());
        }
        (&name[..name.len() - 1], End::Root, name.len())
    }

    /// Appends a name to the message.
    #[inline]
    pub(super) fn write(&mut self, message: &mut Vec<u8>, labels: &[u8], end: End) {
        let here = message.len();
        let first = labels.first().map_or(0, |&len| usize::from(len) + 1);
        let (written, target) = if first == labels.len() {
            self.find_one(message, labels, end)
        } else {
            self.find_suffix(message, labels, end)
        };
        message.extend_from_slice(&labels[..written]);
        if target > 0 {
            message.extend_from_slice(&pointer(target));
            return;
        }
        match end {
            End::Root => message.push(0),
            End::Apex if self.apex_at > 0 => {
                message.extend_from_slice(&pointer(self.apex_at));
            }
            End::Apex => {
                let at = here + written;
                if at <= MAX_POINTER && self.apex.len() > 1 {
                    self.apex_at = at;
                }
                message.extend_from_slice(&self.apex);
            }
        }
    }

    /// For a name of at most one label: how many octets of it are written, and the offset of the
    /// rest, 0 if there is none.
    #[inline]
    fn find_one(&mut self, message: &[u8], labels: &[u8], end: End) -> (usize, usize) {
        if labels.is_empty() {
            return (0, 0);
        }
        match self.probe(message, hash_of(seed(end), labels), labels, end, message.len()) {
            Some(at) => (0, at),
            None => (labels.len(), 0),
        }
    }

    /// The same for a name of several labels: the longest suffix that is in the message.
    fn find_suffix(&mut self, message: &[u8], labels: &[u8], end: End) -> (usize, usize) {
        let mut starts = [0u8; 128];
        let mut count = 0;
        for (at, _) in wire::name::label_starts(labels) {
            starts[count] = at as u8;
            count += 1;
        }
        let (mut best, mut hash, mut to) = ((labels.len(), 0), seed(end), labels.len());
        for &start in starts[..count].iter().rev() {
            let from = usize::from(start);
            hash = hash_of(hash, &labels[from..to]);
            to = from;
            let place = message.len() + from;
            if let Some(at) = self.probe(message, hash, &labels[from..], end, place) {
                best = (from, at);
            }
        }
        best
    }

    /// The offset of a name with this hash, if it is in the message. Otherwise it will be at `place`.
    #[inline]
    fn probe(
        &mut self,
        message: &[u8],
        hash: u64,
        labels: &[u8],
        end: End,
        place: usize,
    ) -> Option<usize> {
        let slot = &mut self.slots[hash as usize % SLOTS];
        let at = usize::from(*slot);
        if is_at(message, at, labels, end, self.apex_at) {
            return Some(at);
        }
        if place <= MAX_POINTER {
            *slot = place as u16;
        }
        None
    }
}

/// Whether a name lies at an offset of the message.
#[inline]
fn is_at(message: &[u8], at: usize, labels: &[u8], end: End, apex_at: usize) -> bool {
    if at < wire::HEADER {
        return false;
    }
    // Nearly all names were written in one piece.
    let after = at + labels.len();
    if let Some(piece) = message.get(at..after)
        && piece == labels
    {
        match (message.get(after..), end) {
            (Some([0, ..]), End::Root) => return true,
            (Some([high, low, ..]), End::Apex)
                if apex_at > 0 && pointer(apex_at) == [*high, *low] =>
            {
                return true;
            }
            _ => {}
        }
    }
    is_in_pieces(message, at, labels, end, apex_at)
}

/// The same where the name ends in a pointer to another name than the zone's.
fn is_in_pieces(
    message: &[u8],
    mut at: usize,
    mut labels: &[u8],
    end: End,
    apex_at: usize,
) -> bool {
    let mut limit = at;
    for _ in 0..MAX_JUMPS {
        while let Some((&len, _)) = labels.split_first()
            && len > 0
        {
            let label = usize::from(len) + 1;
            if message.get(at..at + label) != labels.get(..label) {
                break;
            }
            at += label;
            labels = &labels[label..];
        }
        if labels.is_empty() && end == End::Apex && at == apex_at {
            return true;
        }
        match message.get(at..) {
            Some([0, ..]) => return labels.is_empty() && end == End::Root,
            Some([high, low, ..]) if *high >= 0xC0 => {
                let target = usize::from(high & 0x3F) << 8 | usize::from(*low);
                if labels.is_empty() && end == End::Apex && target == apex_at {
                    return true;
                }
                // Pointers go strictly backwards.
                if target >= limit || target < wire::HEADER {
                    return false;
                }
                limit = target;
                at = target;
            }
            _ => return false,
        }
    }
    false
}

/// The hash of no labels.
#[inline]
fn seed(end: End) -> u64 {
    match end {
        End::Apex => 1,
        End::Root => 2,
    }
}

/// The hash of a name from that of its parent and its first label, with the label's length octet.
#[inline]
fn hash_of(parent: u64, label: &[u8]) -> u64 {
    let (words, rest) = label.as_chunks::<8>();
    let mut hash = parent;
    for word in words {
        hash = hash::mix(hash, u64::from_le_bytes(*word));
    }
    let tail = rest.iter().fold(0, |tail, &octet| tail << 8 | u64::from(octet));
    hash::mix(hash, tail)
}

#[inline]
pub(super) fn pointer(place: usize) -> [u8; 2] {
    (0xC000 | place as u16 & MAX_POINTER as u16).to_be_bytes()
}
