//! The names of a cluster, as a plugin for Kubernetes states them: services with addresses, ports and
//! reverse names, and slices with up to a hundred endpoints each.
//!
//! Of ten services one is headless: its endpoints have host names, and the service has their addresses and
//! two ports on each. The others have a cluster address. Endpoints have a name and a reverse name.
#![allow(dead_code, unreachable_pub, reason = "tests and benches use a part of it each")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use feed::{Batch, Feed, Limits, Origin, Source};
use wire::{Name, NewRecord, Rdata};

/// Endpoints of a slice at most.
pub const SLICE: usize = 100;
/// Seconds.
pub const TTL: u32 = 5;

/// A feed with the zones of a cluster, and its two sources.
pub struct Cluster {
    pub feed: Feed,
    pub services: Source,
    pub slices: Source,
}

impl Cluster {
    pub fn new() -> Self {
        let zones = ["cluster.local.", "in-addr.arpa.", "ip6.arpa."];
        let origin = |zone: &str| Origin::new(&name(zone), TTL);
        let limits = Limits { names: 8_000_000, records: 16_000_000, ..Limits::default() };
        let feed = Feed::new(zones.into_iter().map(origin).collect(), limits);
        let (services, slices) = (feed.source(), feed.source());
        Self { feed, services, slices }
    }

    /// States all services with their endpoints, in one batch that lists them.
    pub fn load(&self, services: usize, endpoints: usize) {
        let mut batch = self.feed.begin();
        batch.list(self.services);
        batch.list(self.slices);
        let mut records = Records::default();
        for service in 0..services {
            records.service(service);
            batch.upsert(self.services.number(service as u64), records.iter()).unwrap();
            let all: Vec<usize> = (service..endpoints).step_by(services).collect();
            for (number, slice) in all.chunks(SLICE).enumerate() {
                records.slice(service, slice);
                let key = (service as u64) << 16 | number as u64;
                batch.upsert(self.slices.number(key), records.iter()).unwrap();
            }
        }
        batch.commit(1_000).unwrap();
    }

    /// Makes the records of [`Cluster::load`] and states nothing.
    pub fn state_only(&self, services: usize, endpoints: usize) {
        let mut records = Records::default();
        for service in 0..services {
            records.service(service);
            let all: Vec<usize> = (service..endpoints).step_by(services).collect();
            all.chunks(SLICE).for_each(|slice| records.slice(service, slice));
        }
    }

    /// States so many endpoints of a hundredth as many services, each as an owner of its own.
    pub fn load_single(&self, endpoints: usize) {
        let mut batch = self.feed.begin();
        batch.list(self.slices);
        let mut records = Records::default();
        for endpoint in 0..endpoints {
            records.slice(endpoint / 100 * 10 + 1, &[endpoint]);
            batch.upsert(self.slices.number(endpoint as u64), records.iter()).unwrap();
        }
        batch.commit(1_000).unwrap();
    }

    /// Changes the address of an endpoint that is an owner of its own.
    pub fn move_single(&self, endpoint: usize, address: usize, records: &mut Records) -> Batch<'_> {
        records.slice(endpoint / 100 * 10 + 1, &[address]);
        let mut batch = self.feed.begin();
        batch.upsert(self.slices.number(endpoint as u64), records.iter()).unwrap();
        batch
    }
}

/// Records that are stated together.
#[derive(Default)]
pub struct Records(Vec<(Name, Data)>);

enum Data {
    Address([u8; 4]),
    Pointer(Name),
    Service(u16, Name),
}

pub fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

fn reverse([a, b, c, d]: [u8; 4]) -> Name {
    name(&format!("{d}.{c}.{b}.{a}.in-addr.arpa."))
}

fn address(base: u32, number: usize) -> [u8; 4] {
    (base + number as u32).to_be_bytes()
}

pub fn service_name(service: usize) -> Name {
    name(&format!("svc-{service}.ns-{}.svc.cluster.local.", service % 100))
}

impl Records {
    /// What the object of a service states.
    pub fn service(&mut self, service: usize) {
        self.0.clear();
        if service % 10 == 5 {
            return;
        }
        let own = service_name(service);
        let four = address(10 << 24 | 256, service);
        self.0.push((own.clone(), Data::Address(four)));
        self.0.push((reverse(four), Data::Pointer(own.clone())));
        for (port, word) in [(80, "http"), (443, "https")] {
            self.0.push((name(&format!("_{word}._tcp.{own}")), Data::Service(port, own.clone())));
        }
    }

    /// What a slice of a service with these endpoints states.
    pub fn slice(&mut self, service: usize, endpoints: &[usize]) {
        self.0.clear();
        let own = service_name(service);
        let headless = service % 10 == 5;
        for &endpoint in endpoints {
            let four = address(10 << 24 | 128 << 16 | 1, endpoint);
            let host = match headless {
                true => format!("ep-{endpoint}.{own}"),
                false => format!("{}.{own}", four.map(|octet| octet.to_string()).join("-")),
            };
            let host = name(&host);
            self.0.push((host.clone(), Data::Address(four)));
            self.0.push((reverse(four), Data::Pointer(host.clone())));
            if headless {
                self.0.push((own.clone(), Data::Address(four)));
                for (port, word) in [(8080, "http"), (8443, "https")] {
                    let owner = name(&format!("_{word}._tcp.{own}"));
                    self.0.push((owner, Data::Service(port, host.clone())));
                }
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = NewRecord<'_>> {
        self.0.iter().map(|(owner, data)| {
            let rdata = match data {
                Data::Address(four) => Rdata::A((*four).into()),
                Data::Pointer(target) => Rdata::Ptr(target.as_wire()),
                Data::Service(port, target) => {
                    Rdata::Srv { priority: 0, weight: 100, port: *port, target: target.as_wire() }
                }
            };
            NewRecord::new(owner.as_wire(), TTL, rdata)
        })
    }
}
