//! The bytes of snapshots and logs: numbers in network order, and checksums.

use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use wire::name;

/// Octets of a checksum.
pub(crate) const SUM: usize = 8;
/// Octets of the random number in the header of a log.
pub(crate) const SALT: usize = 16;

/// The checksum of these parts: the first octets of their SHA-256.
pub(crate) fn sum(parts: &[&[u8]]) -> [u8; SUM] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut sum = [0; SUM];
    sum.copy_from_slice(&context.finish().as_ref()[..SUM]);
    sum
}

/// A random number, so that no record can contain what looks like a part of a log.
pub(crate) fn salt() -> Option<[u8; SALT]> {
    let mut salt = [0; SALT];
    SystemRandom::new().fill(&mut salt).ok()?;
    Some(salt)
}

/// Takes fields off the front of octets.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[octet]: [u8; 1]| octet)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn name(&mut self) -> Option<&'a [u8]> {
        let len = name::wire_len(self.0)?;
        self.take(len)
    }
}
