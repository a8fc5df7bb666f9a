//! What of a service answers a name: addresses, with the port and the name that leads to each.

use std::collections::HashSet;
use std::net::IpAddr;

use wire::hash;
use wire::name::NameBuf;

use crate::dashes::{AddressLabel, address_of};
use crate::objects::Kind;
use crate::packed::{Endpoint, Entry, Ports, Slice};

/// A part of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// All of it.
    Whole,
    /// One endpoint; that of one cluster if the service is imported.
    Endpoint {
        /// Its hostname, or its address with dashes.
        label: &'a [u8],
        /// The cluster.
        cluster: Option<&'a [u8]>,
    },
    /// What one port leads to. Empty texts mean any.
    Port {
        /// The name of the port.
        name: &'a [u8],
        /// Its protocol.
        protocol: &'a [u8],
    },
    /// The endpoints in one topology zone.
    Zone {
        /// The labels of the zone's name.
        labels: &'a [&'a [u8]],
        /// All other endpoints if none is in it.
        prefer: bool,
    },
}

/// What answers a name.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    /// The address.
    pub address: IpAddr,
    /// The port. `None`: it has none.
    pub port: Option<u16>,
    /// The endpoint and its cluster; `None` for an address of the service.
    pub endpoint: Option<(Endpoint<'a>, &'a [u8])>,
}

/// Whether the name exists that stands for a part of the service; `each` gets what answers it. An address comes
/// once for each of its ports that match, or once if `ports` is not set. An external name has no addresses.
pub fn hits<'a>(
    entry: Entry<'a>,
    part: &Part<'_>,
    ports: bool,
    each: &mut dyn FnMut(Hit<'a>),
) -> bool {
    let Some(service) = entry.service() else { return false };
    let is_headless = service.kind == Kind::Headless;
    if service.kind == Kind::ExternalName {
        return *part == Part::Whole && !service.external_name.is_empty();
    }
    match part {
        Part::Zone { .. } if !is_headless => false,
        Part::Zone { labels, prefer } => {
            let mut found = false;
            let of_zone = |endpoint: &Endpoint<'_>| spell(labels, endpoint.zone);
            let mut count = |hit| {
                found = true;
                each(hit);
            };
            let any = (&b""[..], &b""[..]);
            slices(entry, any, ports, &mut |_, endpoint| of_zone(endpoint), &mut count);
            if !found && *prefer {
                slices(entry, any, ports, &mut |_, _| true, each);
            }
            // The name exists, whatever zones there are.
            true
        }
        Part::Endpoint { label, cluster } => {
            let address = address_of(label);
            let mut is_it = |slice: &Slice<'_>, endpoint: &Endpoint<'_>| {
                cluster.is_none_or(|cluster| slice.cluster.eq_ignore_ascii_case(cluster))
                    && is_called(endpoint, label, address)
            };
            let mut found = false;
            slices(entry, (b"", b""), ports, &mut is_it, &mut |hit| {
                found = true;
                each(hit);
            });
            found
        }
        Part::Whole | Part::Port { .. } => {
            let wanted = match part {
                Part::Port { name, protocol } => (*name, *protocol),
                _ => (&b""[..], &b""[..]),
            };
            let mut found = false;
            if is_headless {
                slices(entry, wanted, ports, &mut |_, _| true, &mut |hit| {
                    found = true;
                    each(hit);
                });
                return found;
            }
            matching(service.ports, wanted, ports, &mut |port| {
                found = true;
                for address in service.addresses() {
                    each(Hit { address, port, endpoint: None });
                }
            });
            found
        }
    }
}

/// Calls `each` with the endpoints of a service that a part of it stands for, whatever its kind.
pub fn endpoints<'a>(
    entry: Entry<'a>,
    part: &Part<'_>,
    ports: bool,
    each: &mut dyn FnMut(Hit<'a>),
) {
    match part {
        Part::Endpoint { label, .. } => {
            let address = address_of(label);
            let mut is_it =
                |_: &Slice<'_>, endpoint: &Endpoint<'_>| is_called(endpoint, label, address);
            slices(entry, (b"", b""), ports, &mut is_it, each);
        }
        Part::Port { name, protocol } => {
            slices(entry, (name, protocol), ports, &mut |_, _| true, each);
        }
        Part::Whole | Part::Zone { .. } => {
            slices(entry, (b"", b""), ports, &mut |_, _| true, each);
        }
    }
}

/// Whether labels with dots between are this text.
fn spell(labels: &[&[u8]], text: &[u8]) -> bool {
    let mut rest = text;
    for (at, label) in labels.iter().enumerate() {
        if at > 0 {
            match rest.split_first() {
                Some((b'.', after)) => rest = after,
                _ => return false,
            }
        }
        match rest.split_at_checked(label.len()) {
            Some((head, after)) if head.eq_ignore_ascii_case(label) => rest = after,
            _ => return false,
        }
    }
    rest.is_empty()
}

/// Whether an endpoint has this label: its hostname, or its address with dashes.
fn is_called(endpoint: &Endpoint<'_>, label: &[u8], address: Option<IpAddr>) -> bool {
    if !endpoint.hostname.is_empty() {
        return endpoint.hostname.eq_ignore_ascii_case(label);
    }
    address == Some(endpoint.address)
        && AddressLabel::new(endpoint.address).as_bytes().eq_ignore_ascii_case(label)
}

/// The ports with this name and protocol, where empty ones mean any; the first one for all if `all` is not set.
pub fn matching(
    ports: Ports<'_>,
    (name, protocol): (&[u8], &[u8]),
    all: bool,
    each: &mut dyn FnMut(Option<u16>),
) {
    let is = |wanted: &[u8], has: &[u8]| wanted.is_empty() || wanted.eq_ignore_ascii_case(has);
    for port in ports {
        if is(name, port.name) && is(protocol, port.protocol) {
            each(port.number);
            if !all {
                return;
            }
        }
    }
}

/// The endpoints of all slices that `is_it` takes.
fn slices<'a>(
    entry: Entry<'a>,
    wanted: (&[u8], &[u8]),
    ports: bool,
    is_it: &mut dyn FnMut(&Slice<'a>, &Endpoint<'a>) -> bool,
    each: &mut dyn FnMut(Hit<'a>),
) {
    for slice in entry.slices() {
        let mut any = false;
        matching(slice.ports, wanted, false, &mut |_| any = true);
        if !any {
            continue;
        }
        for endpoint in slice.endpoints().filter(|endpoint| is_it(&slice, endpoint)) {
            matching(slice.ports, wanted, ports, &mut |port| {
                let address = endpoint.address;
                each(Hit { address, port, endpoint: Some((endpoint, slice.cluster)) });
            });
        }
    }
}

/// Values that were there before, by their hash. Allocates only when there are many.
#[derive(Default)]
pub struct Seen {
    few: [u64; 16],
    len: usize,
    many: Option<HashSet<u64>>,
}

impl Seen {
    /// Whether the value is new.
    pub fn is_new(&mut self, hash: u64) -> bool {
        if let Some(many) = &mut self.many {
            return many.insert(hash);
        }
        if self.few[..self.len].contains(&hash) {
            return false;
        }
        if let Some(place) = self.few.get_mut(self.len) {
            *place = hash;
            self.len += 1;
        } else {
            let mut many: HashSet<u64> = self.few.iter().copied().collect();
            many.insert(hash);
            self.many = Some(many);
        }
        true
    }
}

/// The hash of an address.
pub fn hash_of(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => hash::mix(hash::root(), u64::from(u32::from(address))),
        IpAddr::V6(address) => {
            let bits = u128::from(address);
            hash::mix(hash::mix(hash::root(), bits as u64), (bits >> 64) as u64 ^ 1 << 63)
        }
    }
}

/// The hash of the name that a hit is reached at, below that of its service.
pub fn target_hash(hit: &Hit<'_>) -> u64 {
    match &hit.endpoint {
        None => hash::root(),
        Some((endpoint, cluster)) => {
            let cluster = hash::child(hash::root(), cluster);
            if endpoint.hostname.is_empty() {
                hash::mix(cluster, hash_of(endpoint.address))
            } else {
                hash::child(cluster, endpoint.hostname)
            }
        }
    }
}

/// The weight of one of so many hits in SRV records, as CoreDNS computes it.
pub fn weight(count: u32) -> u16 {
    let all = f64::from(count.max(1)) * 100.0;
    ((100.0 / all * 100.0).floor() as u16).max(1)
}

/// The labels in front of the zone that a service is reached at, or an endpoint of it, in a tree such as `svc`.
/// `None` if they are no labels.
pub fn labels_of(
    entry: Entry<'_>,
    endpoint: Option<(&Endpoint<'_>, &[u8])>,
    tree: Option<&[u8]>,
) -> Option<NameBuf> {
    let mut name = NameBuf::new();
    if let Some((endpoint, cluster)) = endpoint {
        if endpoint.hostname.is_empty() {
            name.push_label(AddressLabel::new(endpoint.address).as_bytes()).ok()?;
        } else {
            // The name of a pod may have dots.
            for label in endpoint.hostname.split(|&byte| byte == b'.') {
                name.push_label(label).ok()?;
            }
        }
        if !cluster.is_empty() {
            name.push_label(cluster).ok()?;
        }
    }
    name.push_label(entry.name()).ok()?;
    name.push_label(entry.namespace()).ok()?;
    if let Some(tree) = tree {
        name.push_label(tree).ok()?;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_shares_of_a_hundred() {
        let weights: Vec<u16> = [0, 1, 2, 3, 6, 7, 100, 101, 5000].map(weight).to_vec();
        assert_eq!(weights, [100, 100, 50, 33, 16, 14, 1, 1, 1]);
    }

    #[test]
    fn labels_spell_a_text() {
        let spells = |labels: &[&[u8]], text: &str| spell(labels, text.as_bytes());
        assert!(spells(&[b"EU", b"1"], "eu.1"));
        assert!(!spells(&[b"eu", b"1"], "eu1"));
        assert!(!spells(&[b"eu"], "eu.1"));
        assert!(!spells(&[b"eu", b"1"], "eu"));
    }

    #[test]
    fn what_was_seen_is_not_new() {
        let mut seen = Seen::default();
        assert!((0..100).all(|hash| seen.is_new(hash)));
        assert!((0..100).all(|hash| !seen.is_new(hash)));
    }
}
