//! A whole zone, made for a transfer: the records that CoreDNS transfers, and for a reverse zone its PTR records.

use std::collections::HashSet;
use std::net::IpAddr;

use cluster::objects::Kind;
use cluster::{Entry, Part, Seen, hash_of, hits, target_hash, weight};
use wire::name::NameBuf;
use wire::rdata::StandInSoa;
use wire::{Class, Name, Rdata, hash};
use zone::{Builder, RecordRef, Zone};

use super::answer::{Answers, VERSION, VERSION_TTL, name_of};
use super::config::is_reverse;

/// Collects the records of a zone.
struct Whole<'a> {
    builder: Builder,
    zone: &'a Name,
    ttl: u32,
    rdata: Vec<u8>,
}

impl Whole<'_> {
    /// Adds a record. One that is outside of the zone is left out.
    fn add(&mut self, owner: &[u8], ttl: u32, rdata: Rdata<'_>) {
        self.rdata.clear();
        rdata.write(&mut self.rdata);
        let (rtype, class) = (rdata.rtype(), Class::IN);
        let _ = self.builder.add(RecordRef { owner, rtype, class, ttl, rdata: &self.rdata });
    }

    /// Adds the records of a service.
    fn service(&mut self, entry: Entry<'_>) {
        let Some(service) = entry.service() else { return };
        let Some(own) = name_of(entry, None, self.zone.as_wire()) else { return };
        if service.kind == Kind::ExternalName {
            if !service.external_name.is_empty() {
                self.add(own.as_wire(), self.ttl, Rdata::Cname(service.external_name));
            }
            return;
        }
        let mut seen = Seen::default();
        let target = |hit: &cluster::Hit<'_>, zone: &Name| -> Option<NameBuf> {
            let endpoint = hit.endpoint.as_ref().map(|(endpoint, cluster)| (endpoint, *cluster));
            name_of(entry, endpoint, zone.as_wire())
        };
        hits(entry, &Part::Whole, false, &mut |hit| {
            if seen.is_new(hash_of(hit.address)) {
                self.add(own.as_wire(), self.ttl, hit.address.into());
            }
            if hit.endpoint.is_some()
                && seen.is_new(hash::mix(target_hash(&hit), hash_of(hit.address)))
                && let Some(target) = target(&hit, self.zone)
            {
                self.add(target.as_wire(), self.ttl, hit.address.into());
            }
        });
        let is_headless = service.kind == Kind::Headless;
        if !is_headless {
            self.srv(entry, own.as_wire(), &Part::Whole);
        }
        // The names of ports, each once.
        let mut named = HashSet::new();
        let of_service = (!is_headless).then_some(service.ports).into_iter().flatten();
        let of_slices = entry.slices().filter(|_| is_headless).flat_map(|slice| slice.ports);
        for port in of_service.chain(of_slices) {
            if port.name.is_empty() || !named.insert((port.name, port.protocol)) {
                continue;
            }
            let mut owner = NameBuf::new();
            let labels = [port.name, port.protocol].map(|label| [b"_", label].concat());
            let fits =
                labels.iter().all(|label| owner.push_label(&label.to_ascii_lowercase()).is_ok())
                    && owner.push_name(own.as_wire()).is_ok();
            if fits {
                let part = Part::Port { name: port.name, protocol: port.protocol };
                self.srv(entry, owner.as_wire(), &part);
            }
        }
    }

    fn srv(&mut self, entry: Entry<'_>, owner: &[u8], part: &Part<'_>) {
        let mut count = 0;
        hits(entry, part, true, &mut |_| count += 1);
        let weight = weight(count);
        let mut seen = Seen::default();
        hits(entry, part, true, &mut |hit| {
            let Some(port) = hit.port else { return };
            let endpoint = hit.endpoint.as_ref().map(|(endpoint, cluster)| (endpoint, *cluster));
            if seen.is_new(hash::mix(target_hash(&hit), u64::from(port)))
                && let Some(target) = name_of(entry, endpoint, self.zone.as_wire())
            {
                let target = target.as_wire();
                self.add(owner, self.ttl, Rdata::Srv { priority: 0, weight, port, target });
            }
        });
    }
}

/// Makes the whole zone.
///
/// # Errors
/// The records are no zone, which names of Kubernetes exclude.
pub(super) fn make(answers: &Answers, zone: &Name) -> Result<Zone, String> {
    let cluster = answers.exposed.cluster();
    let is_multicluster = answers.multicluster.iter().any(|known| known == zone);
    let builder = Builder::new(zone, 0);
    let mut whole = Whole { builder, zone, ttl: answers.ttl, rdata: Vec::new() };
    let soa = StandInSoa::new(zone.as_wire());
    if let Rdata::Soa { mname, rname, refresh, retry, expire, minimum, .. } = soa.rdata(answers.ttl)
    {
        let serial = answers.serial(is_multicluster);
        let rdata = Rdata::Soa { mname, rname, serial, refresh, retry, expire, minimum };
        whole.add(zone.as_wire(), answers.soa_ttl(), rdata);
    }
    let servers = answers.servers(zone.as_wire());
    let mut seen = Seen::default();
    for (name, address) in &servers {
        if seen.is_new(hash::name(name.as_wire())) {
            whole.add(zone.as_wire(), answers.ttl, Rdata::Ns(name.as_wire()));
        }
        if seen.is_new(hash::mix(hash::name(name.as_wire()), hash_of(*address))) {
            whole.add(name.as_wire(), answers.ttl, (*address).into());
        }
    }
    let services = if is_multicluster { &cluster.imports } else { &cluster.services };
    if is_reverse(zone) {
        let mut addresses: HashSet<IpAddr> = HashSet::new();
        services.each(|entry| {
            let own = entry.service().into_iter().flat_map(|service| service.addresses());
            let endpoints = entry.slices().flat_map(|slice| slice.endpoints());
            addresses.extend(own.chain(endpoints.map(|endpoint| endpoint.address)));
        });
        for address in addresses {
            let owner = reverse_name(address);
            answers.named(address, |target| {
                whole.add(owner.as_wire(), answers.ttl, Rdata::Ptr(target.as_wire()));
            });
        }
    } else {
        if let Ok(owner) = NameBuf::joined(wire::name!("dns-version."), zone.as_wire()) {
            whole.add(owner.as_wire(), VERSION_TTL, Rdata::Txt(VERSION));
        }
        services.each(|entry| {
            if answers.exposed.has(entry.namespace()) {
                whole.service(entry);
            }
        });
    }
    whole.builder.finish().map_err(|wrong| {
        let wrong = wrong.first().map(|unfit| format!("{unfit:?}"));
        wrong.unwrap_or_else(|| "the records are no zone".to_owned())
    })
}

/// The reverse name of an address.
fn reverse_name(address: IpAddr) -> NameBuf {
    let mut name = NameBuf::new();
    // The labels of an address fit a name.
    match address {
        IpAddr::V4(address) => {
            for octet in address.octets().iter().rev() {
                let _ = name.push_label(octet.to_string().as_bytes());
            }
            let _ = name.push_name(wire::name!("in-addr.arpa."));
        }
        IpAddr::V6(address) => {
            for octet in address.octets().iter().rev() {
                for digit in [octet & 15, octet >> 4] {
                    let _ = name.push_label(format!("{digit:x}").as_bytes());
                }
            }
            let _ = name.push_name(wire::name!("ip6.arpa."));
        }
    }
    name
}
