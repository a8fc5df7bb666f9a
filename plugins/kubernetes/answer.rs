//! Computes answers from what is known of a cluster.

use std::net::IpAddr;
use std::sync::Arc;

use chain::{Query, Reply, ZoneSet};
use cluster::objects::Kind;
use cluster::{
    Cluster, Endpoint, Entry, Exposed, Hit, Part, Seen, address_of, hash_of, hits, labels_of,
    reverse_address, target_hash, weight,
};
use wire::name::{self, NameBuf};
use wire::rdata::StandInSoa;
use wire::{Name, NewRecord, Rdata, Rtype, Section, hash};

use super::config::{PodMode, is_reverse};
use super::names::{self, Forms, MOST_LABELS, Meaning};

/// The version of the specification, and how long to cache it, in seconds.
pub(super) const VERSION: &[u8] = b"1.1.0";
pub(super) const VERSION_TTL: u32 = 28_800;
/// The longest TTL of a SOA record in a negative answer.
const SOA_TTL: u32 = 300;
/// Aliases that follow each other.
const MOST_ALIASES: usize = 10;

/// What a directive answers from, and how.
pub(super) struct Answers {
    pub(super) exposed: Arc<Exposed>,
    /// The zone that reverse names lead to.
    pub(super) primary: Name,
    pub(super) ttl: u32,
    pub(super) pods: PodMode,
    pub(super) ignore_empty: bool,
    pub(super) zonal: bool,
    pub(super) multicluster: ZoneSet,
}

/// What was found for a query.
pub(super) enum Found {
    /// The reply has the answer.
    Answered,
    /// The name exists without records of the type.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// An alias leads out of the zone.
    Away(Box<NameBuf>),
}

/// What a name has.
enum At {
    Records,
    Nothing,
    Missing,
    Alias(Box<NameBuf>),
}

/// A zone of the directive as the query spells it.
#[derive(Clone, Copy)]
pub(super) struct Zone<'q> {
    pub(super) name: &'q [u8],
    pub(super) is_reverse: bool,
    pub(super) is_multicluster: bool,
}

impl Answers {
    fn cluster(&self) -> &Arc<Cluster> {
        self.exposed.cluster()
    }

    /// The zone whose name begins at this label of the query.
    pub(super) fn zone<'q>(&self, query: &'q Query, label: usize, zone: &Name) -> Zone<'q> {
        Zone {
            name: &query.original_name()[query.label_at(label)..],
            is_reverse: is_reverse(zone),
            is_multicluster: self.multicluster.iter().any(|known| known == zone),
        }
    }

    /// Answers a query in a zone. A negative answer has no SOA record yet.
    pub(super) fn answer(&self, query: &Query, zone: Zone<'_>, reply: &mut Reply) -> Found {
        reply.set_authoritative(true);
        let (asked, qtype) = (query.name(), query.qtype());
        if zone.is_reverse {
            return match self.reverse(asked, zone, qtype, query.original_name(), reply) {
                At::Records => Found::Answered,
                At::Missing => Found::NxDomain,
                At::Nothing | At::Alias(_) => Found::NoData,
            };
        }
        let mut owner = NameBuf::new();
        let mut target = NameBuf::new();
        for followed in 0..=MOST_ALIASES {
            let (name, shown) = match followed {
                0 => (asked, query.original_name()),
                _ => (owner.as_wire(), owner.as_wire()),
            };
            match self.forward(name, zone, qtype, shown, reply) {
                At::Records => return Found::Answered,
                At::Nothing => return Found::NoData,
                At::Missing => return Found::NxDomain,
                At::Alias(to) => target.clone_from(&to),
            }
            if name::eq(target.as_wire(), name) {
                return Found::NoData;
            }
            let alias = NewRecord::new(shown, self.ttl, Rdata::Cname(target.as_wire()));
            reply.push(Section::Answer, alias);
            if qtype == Rtype::CNAME {
                return Found::Answered;
            }
            if !name::is_under(target.as_wire(), zone.name) {
                return Found::Away(Box::new(target));
            }
            owner.set_folded(target.as_wire());
        }
        // The aliases go on for too long: what there is of them is the answer.
        Found::Answered
    }

    /// Adds the SOA record of the zone to the authority section.
    pub(super) fn push_soa(&self, zone: Zone<'_>, reply: &mut Reply) {
        self.soa(zone, Section::Authority, reply);
    }

    fn soa(&self, zone: Zone<'_>, section: Section, reply: &mut Reply) {
        let soa = StandInSoa::new(zone.name);
        let rdata = match soa.rdata(self.ttl) {
            Rdata::Soa { mname, rname, refresh, retry, expire, minimum, .. } => {
                let serial = self.serial(zone.is_multicluster);
                Rdata::Soa { mname, rname, serial, refresh, retry, expire, minimum }
            }
            other => other,
        };
        reply.push(section, NewRecord::new(zone.name, self.soa_ttl(), rdata));
    }

    /// The TTL of the SOA record.
    pub(super) fn soa_ttl(&self) -> u32 {
        self.ttl.min(SOA_TTL)
    }

    /// The serial number of a zone: when it changed last.
    pub(super) fn serial(&self, is_multicluster: bool) -> u32 {
        let cluster = self.cluster();
        if is_multicluster { cluster.changed_imports() } else { cluster.changed() }
    }

    fn forward(
        &self,
        name: &[u8],
        zone: Zone<'_>,
        qtype: Rtype,
        owner: &[u8],
        reply: &mut Reply,
    ) -> At {
        let mut labels: [&[u8]; MOST_LABELS] = [&[]; MOST_LABELS];
        let mut count = 0;
        for label in name::labels(&name[..name.len().saturating_sub(zone.name.len())]) {
            let Some(place) = labels.get_mut(count) else { return At::Missing };
            *place = label;
            count += 1;
        }
        let forms = Forms { multicluster: zone.is_multicluster, zonal: self.zonal };
        match names::meaning(&labels[..count], forms) {
            Meaning::Apex => self.apex(zone, qtype, reply),
            Meaning::Above => At::Nothing,
            Meaning::Version if qtype == Rtype::TXT => {
                let record = NewRecord::new(owner, VERSION_TTL, Rdata::Txt(VERSION));
                reply.push(Section::Answer, record);
                At::Records
            }
            Meaning::Version => At::Nothing,
            Meaning::Server => self.server(zone, qtype, owner, reply),
            Meaning::Services { namespace } if self.exposed.has(namespace) => At::Nothing,
            Meaning::Pods { namespace } => {
                let exists = self.pods != PodMode::Disabled && self.exposed.has(namespace);
                if exists { At::Nothing } else { At::Missing }
            }
            Meaning::Pod { namespace, label } => self.pod(namespace, label, qtype, owner, reply),
            Meaning::Service { namespace, name, part } if self.exposed.has(namespace) => {
                let cluster = self.cluster();
                let services =
                    if zone.is_multicluster { &cluster.imports } else { &cluster.services };
                let found = services.find(namespace, name, |entry| {
                    self.service(entry, &part, zone, qtype, owner, reply)
                });
                found.unwrap_or(At::Missing)
            }
            Meaning::Services { .. } | Meaning::Service { .. } | Meaning::Nothing => At::Missing,
        }
    }

    fn service(
        &self,
        entry: Entry<'_>,
        part: &Part<'_>,
        zone: Zone<'_>,
        qtype: Rtype,
        owner: &[u8],
        reply: &mut Reply,
    ) -> At {
        if self.ignore_empty && is_empty(entry) {
            return At::Missing;
        }
        let before = reply.count(Section::Answer);
        let mut seen = Seen::default();
        let exists = match qtype {
            Rtype::A | Rtype::AAAA => hits(entry, part, false, &mut |hit| {
                if hit.address.is_ipv6() == (qtype == Rtype::AAAA)
                    && seen.is_new(hash_of(hit.address))
                {
                    let record = NewRecord::new(owner, self.ttl, hit.address.into());
                    reply.push(Section::Answer, record);
                }
            }),
            Rtype::SRV => {
                let mut count = 0;
                let exists = hits(entry, part, true, &mut |_| count += 1);
                self.srv(entry, part, zone, count, owner, reply);
                exists
            }
            _ => hits(entry, part, false, &mut |_| {}),
        };
        if !exists {
            return At::Missing;
        }
        let service = entry.service().filter(|service| service.kind == Kind::ExternalName);
        if let Some(service) = service {
            let mut target = NameBuf::new();
            // It was a name when it was stored.
            return match target.push_name(service.external_name) {
                Ok(()) => At::Alias(Box::new(target)),
                Err(_) => At::Missing,
            };
        }
        if reply.count(Section::Answer) > before { At::Records } else { At::Nothing }
    }

    /// Adds SRV records, and the addresses of their targets. `count` is the number of all hits.
    fn srv(
        &self,
        entry: Entry<'_>,
        part: &Part<'_>,
        zone: Zone<'_>,
        count: u32,
        owner: &[u8],
        reply: &mut Reply,
    ) {
        let weight = weight(count);
        let (mut targets, mut addresses) = (Seen::default(), Seen::default());
        hits(entry, part, true, &mut |hit| {
            let Some(port) = hit.port else { return };
            if targets.is_new(hash::mix(target_hash(&hit), u64::from(port)))
                && let Some(target) = target(entry, &hit, zone.name)
            {
                let target = target.as_wire();
                let rdata = Rdata::Srv { priority: 0, weight, port, target };
                reply.push(Section::Answer, NewRecord::new(owner, self.ttl, rdata));
            }
        });
        // Behind all of them, so that the sections are written in their order.
        hits(entry, part, true, &mut |hit| {
            if hit.port.is_some()
                && addresses.is_new(hash::mix(target_hash(&hit), hash_of(hit.address)))
                && let Some(target) = target(entry, &hit, zone.name)
            {
                let record = NewRecord::new(target.as_wire(), self.ttl, hit.address.into());
                reply.push(Section::Additional, record);
            }
        });
    }

    fn pod(
        &self,
        namespace: &[u8],
        label: &[u8],
        qtype: Rtype,
        owner: &[u8],
        reply: &mut Reply,
    ) -> At {
        if self.pods == PodMode::Disabled || !self.exposed.has(namespace) {
            return At::Missing;
        }
        let Some(address) = address_of(label) else { return At::Missing };
        if self.pods == PodMode::Verified {
            let is_here = |pod: cluster::Pod<'_>| (pod.namespace == namespace).then_some(());
            if self.cluster().pods.find(address, is_here).is_none() {
                return At::Missing;
            }
        }
        if qtype != (if address.is_ipv6() { Rtype::AAAA } else { Rtype::A }) {
            return At::Nothing;
        }
        reply.push(Section::Answer, NewRecord::new(owner, self.ttl, address.into()));
        At::Records
    }

    fn apex(&self, zone: Zone<'_>, qtype: Rtype, reply: &mut Reply) -> At {
        match qtype {
            Rtype::SOA => {
                self.soa(zone, Section::Answer, reply);
                At::Records
            }
            Rtype::NS => {
                let servers = self.servers(zone.name);
                let mut seen = Seen::default();
                for (name, _) in &servers {
                    if seen.is_new(hash::name(name.as_wire())) {
                        let rdata = Rdata::Ns(name.as_wire());
                        reply.push(Section::Answer, NewRecord::new(zone.name, self.ttl, rdata));
                    }
                }
                for (name, address) in &servers {
                    let record = NewRecord::new(name.as_wire(), self.ttl, (*address).into());
                    reply.push(Section::Additional, record);
                }
                if servers.is_empty() { At::Nothing } else { At::Records }
            }
            _ => At::Nothing,
        }
    }

    /// `ns.dns` in the zone.
    fn server(&self, zone: Zone<'_>, qtype: Rtype, owner: &[u8], reply: &mut Reply) -> At {
        let before = reply.count(Section::Answer);
        for (_, address) in self.servers(zone.name) {
            if qtype == (if address.is_ipv6() { Rtype::AAAA } else { Rtype::A }) {
                reply.push(Section::Answer, NewRecord::new(owner, self.ttl, address.into()));
            }
        }
        if reply.count(Section::Answer) > before { At::Records } else { At::Nothing }
    }

    /// The names and addresses of this server in a zone: the services that lead to it, or else its own
    /// addresses.
    pub(super) fn servers(&self, zone: &[u8]) -> Vec<(NameBuf, IpAddr)> {
        let mut servers = Vec::new();
        let mut is_endpoint = false;
        for own in self.exposed.own() {
            self.cluster().services.with_address(*own, |entry| {
                let has_own = |slice: &cluster::Slice<'_>| {
                    slice.endpoints().any(|endpoint| endpoint.address == *own)
                };
                for slice in entry.slices().filter(has_own) {
                    is_endpoint = true;
                    let Some(service) = entry.service() else { continue };
                    if service.kind == Kind::Headless {
                        for endpoint in slice.endpoints() {
                            let name = name_of(entry, Some((&endpoint, &[])), zone);
                            servers.extend(name.map(|name| (name, endpoint.address)));
                        }
                    } else {
                        for address in service.addresses() {
                            let name = name_of(entry, None, zone);
                            servers.extend(name.map(|name| (name, address)));
                        }
                    }
                }
            });
        }
        if !is_endpoint && let Ok(name) = NameBuf::joined(wire::name!("ns.dns."), zone) {
            servers = self.exposed.own().iter().map(|address| (name.clone(), *address)).collect();
        }
        servers
    }

    fn reverse(
        &self,
        name: &[u8],
        zone: Zone<'_>,
        qtype: Rtype,
        owner: &[u8],
        reply: &mut Reply,
    ) -> At {
        if name.len() == zone.name.len() {
            return self.apex(zone, qtype, reply);
        }
        let is_v6 = name::is_under(name, wire::name!("ip6.arpa."));
        let count = name::label_count(name).saturating_sub(2);
        let digits = name::labels(name).take(count);
        let Some(address) = reverse_address(digits, count, is_v6) else { return At::Missing };
        let mut exists = false;
        self.named(address, |target| {
            exists = true;
            if qtype == Rtype::PTR {
                let rdata = Rdata::Ptr(target.as_wire());
                reply.push(Section::Answer, NewRecord::new(owner, self.ttl, rdata));
            }
        });
        match (exists, qtype) {
            (false, _) => At::Missing,
            (true, Rtype::PTR) => At::Records,
            (true, _) => At::Nothing,
        }
    }

    /// The names of an address: that of the service that has it, or else those of all endpoints that do.
    pub(super) fn named(&self, address: IpAddr, mut each: impl FnMut(&NameBuf)) {
        let services = &self.cluster().services;
        let mut found = false;
        services.with_address(address, |entry| {
            let has_it = |service: &cluster::Service<'_>| {
                service.kind != Kind::ExternalName
                    && service.addresses().any(|known| known == address)
            };
            if !found
                && entry.service().is_some_and(|service| has_it(&service))
                && self.exposed.may_name(entry.namespace())
                && let Some(name) = name_of(entry, None, self.primary.as_wire())
            {
                found = true;
                each(&name);
            }
        });
        if found {
            return;
        }
        let mut seen = Seen::default();
        services.with_address(address, |entry| {
            if !self.exposed.may_name(entry.namespace()) {
                return;
            }
            let endpoints = entry.slices().flat_map(|slice| slice.endpoints());
            for endpoint in endpoints.filter(|endpoint| endpoint.address == address) {
                let name = name_of(entry, Some((&endpoint, &[])), self.primary.as_wire());
                if let Some(name) = name
                    && seen.is_new(hash::name(name.as_wire()))
                {
                    each(&name);
                }
            }
        });
    }
}

/// Whether a service that has an address of its own leads nowhere.
fn is_empty(entry: Entry<'_>) -> bool {
    entry.service().is_some_and(|service| service.kind == Kind::ClusterIp)
        && entry.slices().all(|slice| slice.endpoints().next().is_none())
}

/// The name that a hit is reached at.
fn target(entry: Entry<'_>, hit: &Hit<'_>, zone: &[u8]) -> Option<NameBuf> {
    name_of(entry, hit.endpoint.as_ref().map(|(endpoint, cluster)| (endpoint, *cluster)), zone)
}

/// The name of a service, or of an endpoint of it in a cluster.
pub(super) fn name_of(
    entry: Entry<'_>,
    endpoint: Option<(&Endpoint<'_>, &[u8])>,
    zone: &[u8],
) -> Option<NameBuf> {
    let mut name = labels_of(entry, endpoint, Some(b"svc"))?;
    name.push_name(zone).ok()?;
    Some(name)
}
