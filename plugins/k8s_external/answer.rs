//! Computes answers from the services that have addresses outside of the cluster.

use std::net::IpAddr;

use chain::{Query, Reply};
use cluster::objects::Kind;
use cluster::{
    Entry, Exposed, External, Hit, Part, Seen, endpoints, hash_of, labels_of, matching,
    target_hash, weight,
};
use wire::name::{self, NameBuf};
use wire::{NewRecord, Rdata, Rtype, Section, hash};

use super::config::Config;

/// What was found for a query.
pub(super) enum Found {
    /// The reply has the answer.
    Answered,
    /// The name exists without records of the type.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// The service is reached at a host elsewhere.
    Away(Box<NameBuf>),
}

/// What answers a query: the options, and the cluster.
pub(super) struct Answers<'a> {
    pub(super) config: &'a Config,
    pub(super) exposed: &'a Exposed,
}

impl Answers<'_> {
    /// Answers a query in the zone that begins at the label `at`. A negative answer has no SOA record yet.
    pub(super) fn answer(&self, query: &Query, at: usize, reply: &mut Reply) -> Found {
        reply.set_authoritative(true);
        let zone = &query.original_name()[query.label_at(at)..];
        if at == 0 {
            return self.apex(zone, query.qtype(), reply);
        }
        let mut labels: [&[u8]; 40] = [&[]; 40];
        let Some(labels) = labels.get_mut(..at) else { return Found::NxDomain };
        for (place, label) in labels.iter_mut().zip(name::labels(query.name())) {
            *place = label;
        }
        if labels.last() == Some(&&*self.config.apex) {
            return self.server(labels, query, reply);
        }
        let reverse = (query.qtype() == Rtype::PTR).then(|| address_of_reverse(query.name()));
        if let Some(Some(address)) = reverse {
            return self.reverse(address, query, reply);
        }
        let Some((namespace, rest)) = labels.split_last() else { return Found::NoData };
        if !self.exposed.has(namespace) {
            return Found::NxDomain;
        }
        let Some((name, before)) = rest.split_last() else { return Found::NoData };
        let bare = |label| <[u8]>::strip_prefix(label, b"_").unwrap_or(label);
        let part = match before {
            [] => Part::Whole,
            [label] => Part::Endpoint { label: bare(label), cluster: None },
            [port, protocol] => Part::Port { name: bare(port), protocol: bare(protocol) },
            _ => return Found::NxDomain,
        };
        let services = &self.exposed.cluster().services;
        let found =
            services.find(namespace, name, |entry| self.service(entry, &part, zone, query, reply));
        found.unwrap_or(Found::NxDomain)
    }

    fn service(
        &self,
        entry: Entry<'_>,
        part: &Part<'_>,
        zone: &[u8],
        query: &Query,
        reply: &mut Reply,
    ) -> Found {
        let Some(service) = entry.service() else { return Found::NxDomain };
        if service.outside().next().is_none() {
            let is_headless = service.kind == Kind::Headless;
            let is_answered = is_headless || matches!(part, Part::Endpoint { .. });
            if !self.config.headless || !is_answered {
                return Found::NxDomain;
            }
            return self.endpoints(entry, part, zone, query.qtype(), reply);
        }
        let (name, protocol) = match part {
            Part::Port { name, protocol } => (*name, *protocol),
            Part::Whole => (&b""[..], &b""[..]),
            // A service with addresses of its own has no names for endpoints.
            Part::Endpoint { .. } | Part::Zone { .. } => return Found::NxDomain,
        };
        let mut ports = 0;
        matching(service.ports, (name, protocol), true, &mut |_| ports += 1);
        if ports == 0 {
            return Found::NxDomain;
        }
        let before = reply.count(Section::Answer);
        let (owner, ttl) = (query.original_name(), self.config.ttl);
        let mut seen = Seen::default();
        match query.qtype() {
            Rtype::A | Rtype::AAAA => {
                let mut host = None;
                for place in service.outside() {
                    match place {
                        External::Address(address) => {
                            if address.is_ipv6() == (query.qtype() == Rtype::AAAA)
                                && seen.is_new(hash_of(address))
                            {
                                let record = NewRecord::new(owner, ttl, address.into());
                                reply.push(Section::Answer, record);
                            }
                        }
                        External::Name(name) => host = host.or(Some(name)),
                    }
                }
                let has_address =
                    service.outside().any(|place| matches!(place, External::Address(_)));
                // RFC 1034 section 3.6.2: an alias has no other records beside it.
                if let Some(host) = host.filter(|_| !has_address) {
                    reply.push(Section::Answer, NewRecord::new(owner, ttl, Rdata::Cname(host)));
                    let mut target = NameBuf::new();
                    return match target.push_name(host) {
                        Ok(()) => Found::Away(Box::new(target)),
                        Err(_) => Found::Answered,
                    };
                }
            }
            Rtype::SRV => {
                let places = service.outside().count() as u32;
                let weight = weight(ports * places);
                let own = labels_of(entry, None, None).and_then(|mut own| {
                    own.push_name(zone).ok()?;
                    Some(own)
                });
                let Some(own) = own else { return Found::NoData };
                for place in service.outside() {
                    let target = match place {
                        External::Address(_) => own.as_wire(),
                        External::Name(name) => name,
                    };
                    matching(service.ports, (name, protocol), true, &mut |port| {
                        let Some(port) = port else { return };
                        if seen.is_new(hash::mix(hash::name(target), u64::from(port))) {
                            let rdata = Rdata::Srv { priority: 0, weight, port, target };
                            reply.push(Section::Answer, NewRecord::new(owner, ttl, rdata));
                        }
                    });
                }
                if reply.count(Section::Answer) > before {
                    for place in service.outside() {
                        if let External::Address(address) = place
                            && seen.is_new(hash_of(address))
                        {
                            let record = NewRecord::new(own.as_wire(), ttl, address.into());
                            reply.push(Section::Additional, record);
                        }
                    }
                }
            }
            _ => {}
        }
        if reply.count(Section::Answer) > before { Found::Answered } else { Found::NoData }
    }

    fn endpoints(
        &self,
        entry: Entry<'_>,
        part: &Part<'_>,
        zone: &[u8],
        qtype: Rtype,
        reply: &mut Reply,
    ) -> Found {
        let ttl = self.config.ttl;
        let (mut count, mut seen) = (0, Seen::default());
        endpoints(entry, part, true, &mut |_| count += 1);
        if count == 0 {
            return Found::NxDomain;
        }
        let before = reply.count(Section::Answer);
        let name_of = |hit: &Hit<'_>| -> Option<NameBuf> {
            let endpoint = hit.endpoint.as_ref().map(|(endpoint, cluster)| (endpoint, *cluster));
            let mut name = labels_of(entry, endpoint, None)?;
            name.push_name(zone).ok()?;
            Some(name)
        };
        match qtype {
            Rtype::A | Rtype::AAAA => endpoints(entry, part, false, &mut |hit| {
                if hit.address.is_ipv6() == (qtype == Rtype::AAAA)
                    && seen.is_new(hash_of(hit.address))
                {
                    reply.answer(ttl, hit.address.into());
                }
            }),
            Rtype::SRV => {
                let weight = weight(count);
                endpoints(entry, part, true, &mut |hit| {
                    let Some(port) = hit.port else { return };
                    if seen.is_new(hash::mix(target_hash(&hit), u64::from(port)))
                        && let Some(target) = name_of(&hit)
                    {
                        let target = target.as_wire();
                        reply.answer(ttl, Rdata::Srv { priority: 0, weight, port, target });
                    }
                });
                let mut seen = Seen::default();
                endpoints(entry, part, true, &mut |hit| {
                    if hit.port.is_some()
                        && seen.is_new(hash::mix(target_hash(&hit), hash_of(hit.address)))
                        && let Some(target) = name_of(&hit)
                    {
                        let record = NewRecord::new(target.as_wire(), ttl, hit.address.into());
                        reply.push(Section::Additional, record);
                    }
                });
            }
            _ => {}
        }
        if reply.count(Section::Answer) > before { Found::Answered } else { Found::NoData }
    }

    /// The names of the services with an address.
    fn reverse(&self, address: IpAddr, query: &Query, reply: &mut Reply) -> Found {
        let Some(zone) = self.config.zones.first() else { return Found::NxDomain };
        let before = reply.count(Section::Answer);
        self.exposed.cluster().services.with_address(address, |entry| {
            let mut outside = entry.service().into_iter().flat_map(|service| service.outside());
            if !outside.any(|place| place == External::Address(address))
                || !self.exposed.may_name(entry.namespace())
            {
                return;
            }
            if let Some(mut target) = labels_of(entry, None, None)
                && target.push_name(zone.as_wire()).is_ok()
            {
                let rdata = Rdata::Ptr(target.as_wire());
                let record = NewRecord::new(query.original_name(), self.config.ttl, rdata);
                reply.push(Section::Answer, record);
            }
        });
        if reply.count(Section::Answer) > before { Found::Answered } else { Found::NxDomain }
    }

    fn apex(&self, zone: &[u8], qtype: Rtype, reply: &mut Reply) -> Found {
        let server = self.below_apex(b"ns1", zone);
        match (qtype, server) {
            (Rtype::SOA, _) => self.push_soa(zone, Section::Answer, reply),
            (Rtype::NS, Some(server)) => {
                let (server, ttl) = (server.as_wire(), self.config.ttl);
                let record = NewRecord::new(zone, ttl, Rdata::Ns(server));
                reply.push(Section::Answer, record);
                for address in self.servers() {
                    let record = NewRecord::new(server, ttl, address.into());
                    reply.push(Section::Additional, record);
                }
            }
            _ => return Found::NoData,
        }
        Found::Answered
    }

    /// The names below the apex label, of which `ns1` is the server.
    fn server(&self, labels: &[&[u8]], query: &Query, reply: &mut Reply) -> Found {
        match labels {
            [_] => Found::NoData,
            [name, _] if *name == b"ns1" => {
                let before = reply.count(Section::Answer);
                for address in self.servers() {
                    let is_v6 = address.is_ipv6();
                    if query.qtype() == (if is_v6 { Rtype::AAAA } else { Rtype::A }) {
                        let owner = query.original_name();
                        let record = NewRecord::new(owner, self.config.ttl, address.into());
                        reply.push(Section::Answer, record);
                    }
                }
                let is_answered = reply.count(Section::Answer) > before;
                if is_answered { Found::Answered } else { Found::NoData }
            }
            _ => Found::NxDomain,
        }
    }

    /// The addresses of this server: those of the services that lead to it, outside of the cluster, or else its
    /// own.
    pub(super) fn servers(&self) -> Vec<IpAddr> {
        let mut servers = Vec::new();
        let mut is_endpoint = false;
        for own in self.exposed.own() {
            self.exposed.cluster().services.with_address(*own, |entry| {
                let has_own = |slice: &cluster::Slice<'_>| {
                    slice.endpoints().any(|endpoint| endpoint.address == *own)
                };
                for slice in entry.slices().filter(has_own) {
                    is_endpoint = true;
                    let Some(service) = entry.service() else { continue };
                    if self.config.headless && service.kind == Kind::Headless {
                        servers.extend(slice.endpoints().map(|endpoint| endpoint.address));
                    } else {
                        servers.extend(service.outside().filter_map(|place| match place {
                            External::Address(address) => Some(address),
                            External::Name(_) => None,
                        }));
                    }
                }
            });
        }
        if is_endpoint { servers } else { self.exposed.own().to_vec() }
    }

    /// A name below the apex label of a zone.
    pub(super) fn below_apex(&self, label: &[u8], zone: &[u8]) -> Option<NameBuf> {
        let mut name = NameBuf::new();
        name.push_label(label).ok()?;
        name.push_label(&self.config.apex).ok()?;
        name.push_name(zone).ok()?;
        Some(name)
    }

    /// Adds the SOA record of the zone.
    pub(super) fn push_soa(&self, zone: &[u8], section: Section, reply: &mut Reply) {
        let server = self.below_apex(b"ns1", zone);
        let mailbox = self.below_apex(b"hostmaster", zone);
        let minimum = self.config.ttl;
        let rdata = Rdata::Soa {
            mname: server.as_ref().map_or(zone, |name| name.as_wire()),
            rname: mailbox.as_ref().map_or(zone, |name| name.as_wire()),
            serial: self.exposed.cluster().changed_outside(),
            refresh: 7200,
            retry: 1800,
            expire: 86_400,
            minimum,
        };
        reply.push(section, NewRecord::new(zone, minimum, rdata));
    }
}

/// The address of a reverse name.
fn address_of_reverse(wire: &[u8]) -> Option<IpAddr> {
    let is_v6 = name::is_under(wire, wire::name!("ip6.arpa."));
    if !is_v6 && !name::is_under(wire, wire::name!("in-addr.arpa.")) {
        return None;
    }
    let count = name::label_count(wire).checked_sub(2)?;
    cluster::reverse_address(name::labels(wire).take(count), count, is_v6)
}
