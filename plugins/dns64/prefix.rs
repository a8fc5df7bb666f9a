//! IPv4 addresses inside IPv6 addresses (RFC 6052 section 2.2).

use std::net::Ipv6Addr;

/// The prefix that embeds all of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    octets: [u8; 16],
    len: usize,
}

impl Prefix {
    /// `64:ff9b::/96`, which RFC 6052 section 2.1 sets aside for this.
    pub(super) const WELL_KNOWN: Self =
        Self { octets: [0, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], len: 12 };

    /// `address/bits` as a prefix of 32 to 96 bits that ends at an octet.
    pub(super) fn new(address: Ipv6Addr, bits: u8) -> Option<Self> {
        if !bits.is_multiple_of(8) || !(32..=96).contains(&bits) {
            return None;
        }
        let len = usize::from(bits / 8);
        let mut octets = address.octets();
        octets[len..].fill(0);
        Some(Self { octets, len })
    }

    /// The address that embeds `v4`.
    pub(super) fn embed(&self, v4: [u8; 4]) -> [u8; 16] {
        let mut octets = self.octets;
        // Bits 64 to 71 are left out of every address.
        let places = (self.len..16).filter(|&at| at != 8);
        for (at, octet) in places.zip(v4) {
            octets[at] = octet;
        }
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 6052 section 2.4.
    #[test]
    fn addresses_of_the_rfc() {
        for (prefix, bits, expected) in [
            ("2001:db8::", 32, "2001:db8:c000:221::"),
            ("2001:db8:100::", 40, "2001:db8:1c0:2:21::"),
            ("2001:db8:122::", 48, "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::", 56, "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::", 64, "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::", 96, "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::", 96, "64:ff9b::192.0.2.33"),
        ] {
            let prefix = Prefix::new(prefix.parse().unwrap(), bits).unwrap();
            let expected: Ipv6Addr = expected.parse().unwrap();
            assert_eq!(Ipv6Addr::from(prefix.embed([192, 0, 2, 33])), expected);
        }
        assert_eq!(Prefix::new("64:ff9b::".parse().unwrap(), 96), Some(Prefix::WELL_KNOWN));
        for bits in [0, 24, 33, 104, 128] {
            assert_eq!(Prefix::new(Ipv6Addr::UNSPECIFIED, bits), None, "{bits}");
        }
    }
}
