//! Networks, as ranges that do not overlap: one binary search finds an address, however many there are.

use std::net::IpAddr;

use corefile::Cidr;

/// A set of addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Nets {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Nets {
    /// All addresses.
    pub(super) fn all() -> Self {
        Self { v4: vec![(0, u32::MAX)], v6: vec![(0, u128::MAX)] }
    }

    /// The addresses of these networks.
    pub(super) fn new(nets: &[Cidr]) -> Self {
        let mut set = Self::default();
        for net in nets {
            let prefix = u32::from(net.prefix);
            match net.addr {
                IpAddr::V4(address) => {
                    let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
                    let first = address.to_bits() & !host;
                    set.v4.push((first, first | host));
                }
                IpAddr::V6(address) => {
                    let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
                    let first = address.to_bits() & !host;
                    set.v6.push((first, first | host));
                }
            }
        }
        merge(&mut set.v4);
        merge(&mut set.v6);
        set
    }

    /// Whether an address is in the set; IPv4 inside IPv6 counts as IPv4.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => within(&self.v6, address.to_bits()),
        }
    }
}

/// Ranges in order, none of which meets another.
fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let meets = next.0 <= last.1;
        if meets {
            last.1 = last.1.max(next.1);
        }
        meets
    });
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let behind = ranges.partition_point(|&(first, _)| first <= address);
    behind.checked_sub(1).is_some_and(|at| ranges[at].1 >= address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> Cidr {
        let (addr, prefix) = text.split_once('/').unwrap();
        Cidr { addr: addr.parse().unwrap(), prefix: prefix.parse().unwrap() }
    }

    #[test]
    fn both_families_and_both_ends() {
        let nets = Nets::new(&["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "::/128"].map(net));
        let has = |text: &str| nets.contains(text.parse().unwrap());
        assert!(has("10.0.0.0") && has("10.255.255.255") && has("192.0.2.1"));
        assert!(has("::ffff:10.1.2.3") && has("2001:db8:ffff::") && has("::"));
        assert!(!has("9.255.255.255") && !has("11.0.0.0") && !has("192.0.2.2") && !has("::1"));
        let all = Nets::new(&["0.0.0.0/0", "::/0"].map(net));
        assert_eq!(all, Nets::all());
        assert!(!Nets::new(&["0.0.0.0/0"].map(net)).contains("2001:db8::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn the_same_as_one_by_one(
            nets in prop::collection::vec((any::<u32>(), 0u8..=32), 0..20),
            addresses in prop::collection::vec(any::<u32>(), 1..20),
        ) {
            let nets: Vec<Cidr> =
                nets.iter().map(|&(addr, prefix)| Cidr { addr: IpAddr::V4(addr.into()), prefix }).collect();
            let set = Nets::new(&nets);
            for address in addresses {
                let address = IpAddr::V4(address.into());
                prop_assert_eq!(set.contains(address), nets.iter().any(|net| net.contains(address)));
            }
        }
    }
}
