//! The one hash of names: case-folded, label by label from the root, seeded per process.
//!
//! Hashing from the root side means that one pass over a name yields the hash of each of its
//! suffixes, which is what the router, zone lookup and the cache ask for. The seed makes the
//! placement of names unguessable from outside.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

const K0: u64 = 0x9E37_79B9_7F4A_7C15;
const K1: u64 = 0xD6E8_FEB8_6659_FD93;

/// The hash of the root name: the seed of this process.
pub fn root() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| RandomState::new().hash_one("catena") | 1)
}

/// Mixes two words into one, every input bit reaching every output bit.
#[inline]
pub fn mix(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ K0).wrapping_mul(u128::from(b ^ K1));
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// The hash of a name whose parent hashes to `parent` and whose first label, with its length
/// byte, starts at `at` of `padded`.
///
/// `padded` holds lower-case bytes and at least eight readable bytes after the label.
#[inline]
pub(crate) fn child_padded(parent: u64, padded: &[u8], at: usize) -> u64 {
    let len = usize::from(padded[at]) + 1;
    let mut hash = parent;
    let mut done = 0;
    while done + 8 <= len {
        hash = mix(hash, word(padded, at + done));
        done += 8;
    }
    let left = len - done;
    // The tail is never zero for a non-empty remainder: the length byte or a label byte is in it,
    // and equal-length labels are all that can share this many words.
    let tail = if left == 0 { 0 } else { word(padded, at + done) & (u64::MAX >> (64 - 8 * left)) };
    mix(hash, tail ^ ((len as u64) << 56))
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

/// The hash of `label` (without its length byte, any case) under a parent that hashes to `parent`.
pub fn child(parent: u64, label: &[u8]) -> u64 {
    let mut padded = [0u8; 72];
    padded[0] = label.len() as u8;
    for (to, from) in padded[1..].iter_mut().zip(label) {
        *to = from.to_ascii_lowercase();
    }
    child_padded(parent, &padded, 0)
}

/// The hash of an uncompressed wire name, ignoring case.
pub fn name(wire: &[u8]) -> u64 {
    let mut starts = [0u8; 128];
    let mut count = 0;
    for (at, _) in crate::name::label_starts(wire) {
        starts[count] = at as u8;
        count += 1;
    }
    let mut hash = root();
    for &at in starts[..count].iter().rev() {
        let at = usize::from(at);
        let len = usize::from(wire[at]);
        hash = child(hash, &wire[at + 1..at + 1 + len]);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;

    #[test]
    fn case_does_not_matter_and_labels_do() {
        let of = |text: &str| name(Name::from_text(text).unwrap().as_wire());
        assert_eq!(of("WwW.Example.ORG."), of("www.example.org."));
        assert_ne!(of("a.bc."), of("ab.c."));
        assert_ne!(of("www.example.org."), of("example.org."));
        assert_eq!(of("."), root());
        assert_eq!(of("www.example.org."), child(of("example.org."), b"WWW"));
        let long = "abcdefghijklmnopqrstuvwxyz0123456789";
        assert_ne!(of(&format!("{long}x.")), of(&format!("{long}y.")));
    }
}
