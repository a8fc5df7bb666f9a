//! A service and its slices as octets, and views of them.
//!
//! An entry is the key, the service, and the slices:
//!
//! - the key: its length, then the labels of the service's name and of its namespace, as in a name;
//! - the service: its length in four octets, then the octets of [`pack_service`]; none while it is unknown;
//! - each slice: its identity in eight octets, its length in four, then the octets of [`pack_slice`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::Name;

use crate::objects::{self, Kind};

/// The key of a service: the labels of its name and its namespace. `None` if one of them is no label.
pub(crate) fn key(namespace: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(2 + name.len() + namespace.len());
    for label in [name, namespace] {
        if label.is_empty() || label.len() > 63 {
            return None;
        }
        key.push(label.len() as u8);
        key.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    Some(key)
}

/// Octets of a slice before its own.
const SLICE_HEAD: usize = 12;

/// Flags of the addresses of a slice, or of one of them.
const V6: u8 = 1;
const HOSTNAME: u8 = 2;
const ZONE: u8 = 4;
/// The addresses of a slice have flags of their own.
const MIXED: u8 = 8;

// --- writing

/// Adds a text of at most 255 octets behind its length.
fn push_text(text: &[u8], into: &mut Vec<u8>) {
    let text = &text[..text.len().min(255)];
    into.push(text.len() as u8);
    into.extend_from_slice(text);
}

fn push_ports(ports: &[objects::Port<'_>], into: &mut Vec<u8>) {
    // An object of the API has fewer.
    let ports = &ports[..ports.len().min(usize::from(u16::MAX))];
    into.extend_from_slice(&(ports.len() as u16).to_le_bytes());
    for port in ports {
        push_text(port.name.as_bytes(), into);
        push_text(port.protocol.as_bytes(), into);
        into.extend_from_slice(&port.number.map_or(-1, i32::from).to_le_bytes());
    }
}

fn push_address(address: IpAddr, into: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => into.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => into.extend_from_slice(&address.octets()),
    }
}

fn push_tagged(address: IpAddr, into: &mut Vec<u8>) {
    into.push(if address.is_ipv6() { V6 } else { 0 });
    push_address(address, into);
}

/// The octets of a service.
pub(crate) fn pack_service(service: &objects::Service<'_>) -> Vec<u8> {
    let mut packed = vec![match service.kind {
        Kind::ClusterIp => 0,
        Kind::Headless => 1,
        Kind::ExternalName => 2,
    }];
    let sentinel = [objects::Port::default()];
    let ports: &[_] = if service.ports.is_empty() { &sentinel } else { &service.ports };
    push_ports(ports, &mut packed);
    let addresses = &service.addresses[..service.addresses.len().min(255)];
    packed.push(addresses.len() as u8);
    addresses.iter().for_each(|&address| push_tagged(address, &mut packed));
    let name = match service.kind {
        Kind::ExternalName => target(&service.external_name),
        Kind::ClusterIp | Kind::Headless => None,
    };
    push_text(name.as_ref().map_or(&[], Name::as_wire), &mut packed);
    for place in &service.outside {
        match place.parse::<IpAddr>() {
            Ok(address) => push_tagged(address, &mut packed),
            Err(_) => {
                if let Some(name) = target(place) {
                    packed.push(HOSTNAME);
                    push_text(name.as_wire(), &mut packed);
                }
            }
        }
    }
    packed
}

/// The name that an alias leads to. An address is none.
fn target(text: &str) -> Option<Name> {
    if text.is_empty() || text.parse::<IpAddr>().is_ok() {
        return None;
    }
    let name = if text.ends_with('.') {
        Name::from_text(text)
    } else {
        Name::from_text(&format!("{text}."))
    };
    name.ok()
}

/// The octets of a slice, or `None` if it has no endpoint that is ready.
pub(crate) fn pack_slice(
    slice: &objects::Slice<'_>,
    pod_names: bool,
    zones: bool,
) -> Option<Vec<u8>> {
    let first = slice.endpoints.first()?;
    let hostname = |endpoint| hostname_of(endpoint, pod_names);
    let zone = |endpoint: &objects::Endpoint<'_>| -> Vec<u8> {
        if zones { endpoint.zone.to_lowercase().into_bytes() } else { Vec::new() }
    };
    let is_mixed = slice.endpoints.iter().any(|endpoint| {
        endpoint.address.is_ipv6() != first.address.is_ipv6()
            || !hostname(endpoint).is_empty()
            || !zone(endpoint).is_empty()
    });
    let family = if first.address.is_ipv6() { V6 } else { 0 };
    let mut packed = vec![if is_mixed { MIXED } else { family }];
    push_text(slice.cluster.to_lowercase().as_bytes(), &mut packed);
    let sentinel = [objects::Port::default()];
    let ports: &[_] = if slice.ports.is_empty() { &sentinel } else { &slice.ports };
    push_ports(ports, &mut packed);
    for endpoint in &slice.endpoints {
        if is_mixed {
            let (hostname, zone) = (hostname(endpoint), zone(endpoint));
            let flag = |text: &[u8], flag| if text.is_empty() { 0 } else { flag };
            let v6 = if endpoint.address.is_ipv6() { V6 } else { 0 };
            packed.push(v6 | flag(hostname, HOSTNAME) | flag(&zone, ZONE));
            push_address(endpoint.address, &mut packed);
            for text in [hostname, &zone] {
                if !text.is_empty() {
                    push_text(text, &mut packed);
                }
            }
        } else {
            push_address(endpoint.address, &mut packed);
        }
    }
    Some(packed)
}

/// The hostname of an endpoint, or the name of its pod. What is too long for a label is none.
fn hostname_of<'e>(endpoint: &'e objects::Endpoint<'_>, pod_names: bool) -> &'e [u8] {
    let fits = |text: &&[u8]| (1..=63).contains(&text.len());
    let target = Some(endpoint.target.as_bytes()).filter(fits).filter(|_| pod_names);
    Some(endpoint.hostname.as_bytes()).filter(fits).or(target).unwrap_or_default()
}

/// The octets of an entry with another service.
pub(crate) fn with_service(key: &[u8], old: Option<Entry<'_>>, service: &[u8]) -> Vec<u8> {
    let slices = old.map_or(&[][..], |old| old.slices);
    let mut entry = Vec::with_capacity(5 + key.len() + service.len() + slices.len());
    push_text(key, &mut entry);
    entry.extend_from_slice(&(service.len() as u32).to_le_bytes());
    entry.extend_from_slice(service);
    entry.extend_from_slice(slices);
    entry
}

/// The octets of an entry with another slice of this identity, or without it.
pub(crate) fn with_slice(
    key: &[u8],
    old: Option<Entry<'_>>,
    id: u64,
    slice: Option<&[u8]>,
) -> Vec<u8> {
    let mut entry = with_service(key, None, old.map_or(&[], |old| old.service));
    let mut put = |id: u64, slice: &[u8]| {
        entry.extend_from_slice(&id.to_le_bytes());
        entry.extend_from_slice(&(slice.len() as u32).to_le_bytes());
        entry.extend_from_slice(slice);
    };
    // A slice keeps its place, so that the order of answers stays.
    let mut slice = slice;
    for (known, octets) in old.into_iter().flat_map(|old| old.raw_slices()) {
        if known != id {
            put(known, octets);
        } else if let Some(new) = slice.take() {
            put(id, new);
        }
    }
    if let Some(new) = slice {
        put(id, new);
    }
    entry
}

// --- reading

/// Takes octets from the front of a slice. What is packed is well-formed; at an end that should not be there
/// it gives zeros.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).first_chunk().copied().unwrap_or([0; N])
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(crate) fn text(&mut self) -> &'a [u8] {
        let len = self.byte();
        self.take(usize::from(len))
    }

    pub(crate) fn address(&mut self, is_v6: bool) -> IpAddr {
        if is_v6 {
            IpAddr::V6(Ipv6Addr::from(self.array::<16>()))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.array::<4>()))
        }
    }

    fn ports(&mut self) -> Ports<'a> {
        let count = u16::from_le_bytes(self.array());
        let start = *self;
        let ports = Ports { rest: start, left: count };
        // The end of the ports is where the reader goes on.
        let mut walk = ports;
        while walk.next().is_some() {}
        *self = walk.rest;
        ports
    }
}

/// A service with its slices.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// The labels of the service's name and of its namespace, with their lengths.
    pub key: &'a [u8],
    service: &'a [u8],
    slices: &'a [u8],
}

impl<'a> Entry<'a> {
    pub(crate) fn read(octets: &'a [u8]) -> Self {
        let mut reader = Reader(octets);
        let key = reader.text();
        let len = u32::from_le_bytes(reader.array());
        let service = reader.take(len as usize);
        Self { key, service, slices: reader.0 }
    }

    /// The name of the service, a label.
    pub fn name(&self) -> &'a [u8] {
        Reader(self.key).text()
    }

    /// Its namespace, a label.
    pub fn namespace(&self) -> &'a [u8] {
        let mut reader = Reader(self.key);
        reader.text();
        reader.text()
    }

    /// The service. `None`: only slices of it are known.
    pub fn service(&self) -> Option<Service<'a>> {
        (!self.service.is_empty()).then(|| Service::read(self.service))
    }

    /// Its slices.
    pub fn slices(&self) -> impl Iterator<Item = Slice<'a>> + use<'a> {
        self.raw_slices().map(|(_, octets)| Slice::read(octets))
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.service.is_empty() && self.slices.is_empty()
    }

    pub(crate) fn raw_service(&self) -> &'a [u8] {
        self.service
    }

    pub(crate) fn raw_slices(&self) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        let mut reader = Reader(self.slices);
        std::iter::from_fn(move || {
            if reader.0.len() < SLICE_HEAD {
                return None;
            }
            let id = u64::from_le_bytes(reader.array());
            let len = u32::from_le_bytes(reader.array());
            Some((id, reader.take(len as usize)))
        })
    }

    /// All addresses of the service, in the cluster and outside, and of its endpoints.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let own = self.service().into_iter().flat_map(|service| service.addresses());
        let outside = self.service().into_iter().flat_map(|service| service.outside());
        let outside = outside.filter_map(|place| match place {
            External::Address(address) => Some(address),
            External::Name(_) => None,
        });
        own.chain(outside)
            .chain(self.slices().flat_map(|slice| slice.endpoints()).map(|it| it.address))
    }
}

/// A service.
#[derive(Clone, Copy)]
pub struct Service<'a> {
    /// How it is reached.
    pub kind: Kind,
    /// Its ports. A service without ports has one that has neither name nor number.
    pub ports: Ports<'a>,
    addresses: (u8, Reader<'a>),
    /// The name that it stands for, in wire form; empty if there is none.
    pub external_name: &'a [u8],
    outside: Reader<'a>,
}

impl<'a> Service<'a> {
    fn read(octets: &'a [u8]) -> Self {
        let mut reader = Reader(octets);
        let kind = match reader.byte() {
            0 => Kind::ClusterIp,
            1 => Kind::Headless,
            _ => Kind::ExternalName,
        };
        let ports = reader.ports();
        let count = reader.byte();
        let addresses = (count, reader);
        for _ in 0..count {
            let is_v6 = reader.byte() == V6;
            reader.address(is_v6);
        }
        let external_name = reader.text();
        Self { kind, ports, addresses, external_name, outside: reader }
    }

    /// Its addresses in the cluster.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let (count, mut reader) = self.addresses;
        (0..count).map(move |_| {
            let is_v6 = reader.byte() == V6;
            reader.address(is_v6)
        })
    }

    /// Its addresses and host names outside of the cluster.
    pub fn outside(&self) -> impl Iterator<Item = External<'a>> + use<'a> {
        let mut reader = self.outside;
        std::iter::from_fn(move || {
            if reader.0.is_empty() {
                return None;
            }
            Some(match reader.byte() {
                HOSTNAME => External::Name(reader.text()),
                flags => External::Address(reader.address(flags == V6)),
            })
        })
    }
}

/// Where a service is reached from outside of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum External<'a> {
    /// At an address.
    Address(IpAddr),
    /// At a host, by its name in wire form.
    Name(&'a [u8]),
}

/// Ports.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    rest: Reader<'a>,
    left: u16,
}

impl<'a> Iterator for Ports<'a> {
    type Item = Port<'a>;

    #[inline]
    fn next(&mut self) -> Option<Port<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (name, protocol) = (self.rest.text(), self.rest.text());
        let number = i32::from_le_bytes(self.rest.array());
        Some(Port { name, protocol, number: u16::try_from(number).ok() })
    }
}

/// A port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port<'a> {
    /// Its name; empty if it has none.
    pub name: &'a [u8],
    /// Its protocol, such as `TCP`; empty if it has none.
    pub protocol: &'a [u8],
    /// Its number. `None`: it stands for no port.
    pub number: Option<u16>,
}

/// A slice.
#[derive(Clone, Copy)]
pub struct Slice<'a> {
    /// The cluster that it is imported from; empty for a slice of this one.
    pub cluster: &'a [u8],
    /// Its ports. A slice without ports has one that has neither name nor number.
    pub ports: Ports<'a>,
    flags: u8,
    endpoints: Reader<'a>,
}

impl<'a> Slice<'a> {
    fn read(octets: &'a [u8]) -> Self {
        let mut reader = Reader(octets);
        let flags = reader.byte();
        let cluster = reader.text();
        let ports = reader.ports();
        Self { cluster, ports, flags, endpoints: reader }
    }

    /// Its endpoints that are ready.
    #[inline]
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint<'a>> + use<'a> {
        let (mut reader, flags) = (self.endpoints, self.flags);
        std::iter::from_fn(move || {
            if reader.0.is_empty() {
                return None;
            }
            let flags = if flags & MIXED == 0 { flags } else { reader.byte() };
            let address = reader.address(flags & V6 != 0);
            let hostname = if flags & HOSTNAME == 0 { &[] } else { reader.text() };
            let zone = if flags & ZONE == 0 { &[] } else { reader.text() };
            Some(Endpoint { address, hostname, zone })
        })
    }
}

/// An endpoint that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// Its address.
    pub address: IpAddr,
    /// Its hostname; empty if its address stands for it.
    pub hostname: &'a [u8],
    /// Its topology zone in lower case; empty if it is unknown.
    pub zone: &'a [u8],
}
