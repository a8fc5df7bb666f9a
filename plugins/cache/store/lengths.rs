//! The prefix lengths of the networks for which an upstream gave an answer of its own (RFC 7871).

use std::sync::atomic::{AtomicU64, Ordering};

use wire::Family;
use wire::edns::Subnet;

/// A set of prefix lengths for each address family.
#[derive(Default)]
pub(in crate::cache) struct PrefixLengths {
    v4: AtomicU64,
    v6: [AtomicU64; 2],
}

impl PrefixLengths {
    fn word(&self, subnet: &Subnet) -> Option<(&AtomicU64, u64)> {
        // A network has at least one bit, so 128 lengths fit into two words.
        let at = usize::from(subnet.bits.checked_sub(1)?);
        match subnet.family {
            Family::V4 => Some((&self.v4, 1 << (at % 64))),
            Family::V6 => Some((&self.v6[at / 64 % 2], 1 << (at % 64))),
        }
    }

    pub(in crate::cache) fn note(&self, subnet: &Subnet) {
        if let Some((word, bit)) = self.word(subnet) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// The networks that contain `source` and may have an answer, the smallest first.
    pub(in crate::cache) fn around(&self, source: Subnet) -> impl Iterator<Item = Subnet> {
        let words: [u64; 2] = match source.family {
            Family::V4 => [self.v4.load(Ordering::Relaxed), 0],
            Family::V6 => [0, 1].map(|at: usize| self.v6[at].load(Ordering::Relaxed)),
        };
        let all = u128::from(words[0]) | u128::from(words[1]) << 64;
        (1..=source.bits)
            .rev()
            .filter(move |bits| all >> (bits - 1) & 1 == 1)
            .map(move |bits| source.wider(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::edns::ClientSubnet;

    fn subnet(octets: [u8; 4], bits: u8) -> Subnet {
        let used = &octets[..usize::from(bits).div_ceil(8)];
        let data = [&[0, 1, bits, 0], used].concat();
        ClientSubnet::read(&data).unwrap().source
    }

    #[test]
    fn networks_around_a_client_the_smallest_first() {
        let lengths = PrefixLengths::default();
        let client = subnet([192, 0, 2, 0], 24);
        assert_eq!(lengths.around(client).count(), 0);
        for bits in [16, 20, 24, 32] {
            lengths.note(&subnet([10, 0, 0, 0], bits));
        }
        let around: Vec<u8> = lengths.around(client).map(|subnet| subnet.bits).collect();
        assert_eq!(around, [24, 20, 16]);
        assert!(lengths.around(client).all(|subnet| subnet.covers(&client)));
        let six =
            ClientSubnet::read(&[0, 2, 128, 0, 32, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let six = six.unwrap().source;
        for bits in [48, 64, 65, 128] {
            lengths.note(&six.wider(bits));
        }
        let around: Vec<u8> = lengths.around(six).map(|subnet| subnet.bits).collect();
        assert_eq!(around, [128, 65, 64, 48]);
    }
}
