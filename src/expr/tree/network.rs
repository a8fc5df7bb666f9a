//! Address ranges, as Go reads and compares them.

use std::net::IpAddr;

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    bits: u128,
    prefix: u32,
    v4: bool,
}

impl Network {
    /// Reads `10.0.0.0/8`. Bits behind the prefix do not count.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        // `+8` and `08` parse as numbers; Go takes digits, leading zeros among them.
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let prefix = prefix.parse().ok().filter(|prefix: &u32| *prefix <= most)?;
        // A range inside the IPv4 addresses of IPv6 is a range of IPv4.
        let (address, prefix) = match address.to_canonical() {
            canonical if address.is_ipv4() || canonical.is_ipv6() => (canonical, prefix),
            canonical if prefix >= 96 => (canonical, prefix - 96),
            _ => (address, prefix),
        };
        let (bits, v4) = bits(address);
        Some(Self { bits, prefix, v4 })
    }

    /// Whether it has this address.
    #[inline]
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let (bits, v4) = bits(address.to_canonical());
        let differ = bits ^ self.bits;
        v4 == self.v4 && (self.prefix == 0 || differ >> (128 - self.prefix) == 0)
    }
}

/// The address from the top bit on.
#[inline]
fn bits(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_networks() {
        let has = |network: &str, address: &str| {
            Network::read(network).map(|network| network.has(address.parse().unwrap()))
        };
        assert_eq!(has("10.0.0.0/8", "10.255.0.1"), Some(true));
        assert_eq!(has("10.0.0.0/8", "11.0.0.1"), Some(false));
        assert_eq!(has("10.1.2.3/8", "10.9.9.9"), Some(true), "bits behind the prefix");
        assert_eq!(has("0.0.0.0/0", "1.2.3.4"), Some(true));
        assert_eq!(has("::/0", "1.2.3.4"), Some(false), "the other family");
        assert_eq!(has("::ffff:10.0.0.0/104", "10.2.3.4"), Some(true), "IPv4 inside IPv6");
        assert_eq!(has("2001:db8::/32", "2001:db8:1::1"), Some(true));
        assert_eq!(has("10.0.0.0", "10.0.0.0"), None);
        assert_eq!(has("10.0.0.0/33", "10.0.0.0"), None);
        assert_eq!(has("10.0.0.0/+8", "10.0.0.0"), None);
    }
}
