//! `local`: answers queries that should never leave a host: loopback names and their reverse zones.
//!
//! It knows no other names, reads no files and queries no other server.

mod config;

use std::net::{Ipv4Addr, Ipv6Addr};

use chain::{Kind, Query, Reply, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use telemetry::metrics::{self, Counter};
use wire::{NewRecord, Rcode, Rdata, Rtype, Section, name};

/// The `local` directive.
pub static PLUGIN: Kind = Kind {
    name: "local",
    doc: include_str!("README.md"),
    setup,
    baseline_metrics: || {
        counter();
    },
    ..Kind::DEFAULT
};

/// A week.
const TTL: u32 = 604_800;
const LOCALHOST: &[u8] = name!("localhost.");
const LOOPBACK: &[u8] = name!("1.0.0.127.in-addr.arpa.");
/// The label `localhost`, which names may start with.
const LABEL: &[u8] = LOCALHOST.split_at(LOCALHOST.len() - 1).0;
/// The reverse zones of RFC 1912 section 4.1 that are answered.
const REVERSE: [&[u8]; 3] =
    [name!("0.in-addr.arpa."), name!("127.in-addr.arpa."), name!("255.in-addr.arpa.")];
const SOA: Rdata<'_> = Rdata::Soa {
    mname: LOCALHOST,
    rname: name!("root.localhost."),
    serial: 1,
    refresh: 0,
    retry: 0,
    expire: 0,
    minimum: TTL,
};

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let prefix = config::parse(uses)?;
    setup.link(Local { prefix, localhost: counter() });
    Ok(())
}

/// Queries for `localhost.` in front of another name.
fn counter() -> Counter {
    let help = "Counter of special localhost subdomain requests.";
    metrics::counter("coredns_local_localhost_requests_total", help, &[], &[])
}

struct Local {
    /// Whether names that start with `localhost` are loopback names too.
    prefix: bool,
    localhost: Counter,
}

impl ServeDns for Local {
    #[inline]
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        let labels = query.labels();
        if labels > 1 {
            let below = query.suffix(labels - 1) == LOCALHOST;
            if below || self.prefix && query.name().starts_with(LABEL) {
                self.localhost.inc(query.client.worker);
                loopback(query, reply);
                return Ok(Step::Done);
            }
        }
        if query.name() == LOCALHOST {
            apex(query, reply, true);
            return Ok(Step::Done);
        }
        // Three labels: in-addr, arpa and the one before them.
        let Some(start) = labels.checked_sub(3) else { return Ok(Step::Next) };
        if !REVERSE.contains(&query.suffix(start)) {
            return Ok(Step::Next);
        }
        reverse(query, reply, start);
        Ok(Step::Done)
    }
}

/// A name like `localhost.example.org` or `app.localhost`.
fn loopback(query: &Query, reply: &mut Reply) {
    if !addresses(query, reply) {
        soa(query.original_name(), Section::Authority, reply);
    }
}

/// `localhost` or the apex of a reverse zone.
fn apex(query: &Query, reply: &mut Reply, has_addresses: bool) {
    let name = query.original_name();
    match query.qtype() {
        Rtype::SOA => soa(name, Section::Answer, reply),
        Rtype::NS => reply.answer(TTL, Rdata::Ns(LOCALHOST)),
        _ if has_addresses && addresses(query, reply) => {}
        _ => soa(name, Section::Authority, reply),
    }
}

/// A name in a reverse zone, which starts at label `start`.
fn reverse(query: &Query, reply: &mut Reply, start: usize) {
    if start == 0 {
        return apex(query, reply, false);
    }
    let name = query.original_name();
    if query.name() == LOOPBACK && query.qtype() == Rtype::PTR {
        return reply.answer(TTL, Rdata::Ptr(LOCALHOST));
    }
    if query.name() != LOOPBACK {
        reply.set_rcode(Rcode::NXDOMAIN);
    }
    soa(&name[query.label_at(start)..], Section::Authority, reply);
}

/// The loopback address of the family asked for; `false` if the type is none.
fn addresses(query: &Query, reply: &mut Reply) -> bool {
    match query.qtype() {
        Rtype::A => reply.answer(TTL, Rdata::A(Ipv4Addr::LOCALHOST)),
        Rtype::AAAA => reply.answer(TTL, Rdata::Aaaa(Ipv6Addr::LOCALHOST)),
        _ => return false,
    }
    true
}

fn soa(owner: &[u8], section: Section, reply: &mut Reply) {
    reply.push(section, NewRecord::new(owner, TTL, SOA));
}
