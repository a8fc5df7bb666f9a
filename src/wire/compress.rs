//! Name compression for the slow road of [`crate::Reply`]: a small table of the suffixes already
//! written (RFC 1035 section 4.1.4).

use crate::hash;
use crate::name;

/// Suffixes remembered per message; further ones are written but not pointed at, so that the work
/// per name stays bounded.
const MAX_SUFFIXES: usize = 128;
const SLOTS: usize = 256;
/// Pointers have fourteen bits.
const MAX_OFFSET: usize = 0x3FFF;

/// The suffixes of one message.
pub(crate) struct Compressor {
    /// Offset of the suffix (0 is free: no name lies in the header) and a tag of its hash.
    slots: Box<[(u16, u16); SLOTS]>,
    used: usize,
}

impl Default for Compressor {
    fn default() -> Self {
        Self { slots: Box::new([(0, 0); SLOTS]), used: 0 }
    }
}

impl Compressor {
    /// Forgets all suffixes.
    #[inline]
    pub(crate) fn reset(&mut self) {
        if self.used > 0 {
            self.slots.fill((0, 0));
            self.used = 0;
        }
    }

    /// Whether nothing is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Remembers the uncompressed name at `at` of `message`.
    pub(crate) fn remember(&mut self, message: &[u8], at: usize) {
        let Some(len) = message.get(at..).and_then(name::wire_len) else { return };
        let mut wire = [0; name::MAX_NAME];
        wire[..len].copy_from_slice(&message[at..at + len]);
        let (starts, hashes, count) = index(&wire[..len]);
        for label in 0..count {
            self.insert(hashes[label], at + usize::from(starts[label]));
        }
    }

    /// Appends `wire` (uncompressed) to `buf`, ending in a pointer where a suffix is known.
    pub(crate) fn write(&mut self, buf: &mut Vec<u8>, wire: &[u8]) {
        let (starts, hashes, count) = index(wire);
        let mut written = 0;
        let mut pointer = None;
        while written < count {
            let suffix = &wire[usize::from(starts[written])..];
            if let Some(at) = self.find(buf, hashes[written], suffix) {
                pointer = Some(at);
                break;
            }
            written += 1;
        }
        let base = buf.len();
        let end = usize::from(starts[written]);
        buf.extend_from_slice(&wire[..end]);
        match pointer {
            Some(at) => buf.extend_from_slice(&(0xC000 | at).to_be_bytes()),
            None => buf.push(0),
        }
        for label in 0..written {
            self.insert(hashes[label], base + usize::from(starts[label]));
        }
    }

    fn insert(&mut self, hash: u64, at: usize) {
        if at > MAX_OFFSET || self.used >= MAX_SUFFIXES {
            return;
        }
        let mut slot = hash as usize % SLOTS;
        while self.slots[slot].0 != 0 {
            slot = (slot + 1) % SLOTS;
        }
        self.slots[slot] = (at as u16, tag(hash));
        self.used += 1;
    }

    fn find(&self, buf: &[u8], hash: u64, suffix: &[u8]) -> Option<u16> {
        let mut slot = hash as usize % SLOTS;
        loop {
            match self.slots[slot] {
                (0, _) => return None,
                (at, found) if found == tag(hash) && matches(buf, usize::from(at), suffix) => {
                    return Some(at);
                }
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }
}

fn tag(hash: u64) -> u16 {
    (hash >> 48) as u16
}

/// Label starts (the root byte's after the last) and the hash of each suffix.
fn index(wire: &[u8]) -> ([u8; 128], [u64; 128], usize) {
    let mut starts = [0; 128];
    let mut hashes = [0; 128];
    let mut count = 0;
    let mut end = 0;
    for (at, len) in name::label_starts(wire) {
        starts[count] = at as u8;
        count += 1;
        end = at + 1 + len;
    }
    starts[count] = end as u8;
    let mut hash = hash::root();
    for label in (0..count).rev() {
        let at = usize::from(starts[label]);
        let len = usize::from(wire[at]);
        hash = hash::child(hash, &wire[at + 1..at + 1 + len]);
        hashes[label] = hash;
    }
    (starts, hashes, count)
}

/// Whether the possibly compressed name at `at` equals the uncompressed `suffix`.
fn matches(buf: &[u8], mut at: usize, mut suffix: &[u8]) -> bool {
    loop {
        let Some(&len) = buf.get(at) else { return false };
        if len >= 0xC0 {
            let Some(&low) = buf.get(at + 1) else { return false };
            let target = usize::from(len & 0x3F) << 8 | usize::from(low);
            if target >= at {
                return false;
            }
            at = target;
            continue;
        }
        let size = 1 + usize::from(len);
        let (Some(a), Some(b)) = (buf.get(at..at + size), suffix.get(..size)) else { return false };
        // A name may come back in the spelling of the one it points to: RFC 1035 section 4.1.4
        // compresses equal names, and RFC 4343 makes case no part of equality.
        if !a.eq_ignore_ascii_case(b) {
            return false;
        }
        if len == 0 {
            return true;
        }
        at += size;
        suffix = &suffix[size..];
    }
}
