//! `local`: answers queries that should never leave a host: loopback names and their reverse zones.
//!
//! It knows no other names, reads no files and queries no other server.

mod config;

use chain::{Kind, Query, Reply, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use telemetry::metrics::Counter;
use telemetry::standing;
use wire::{Class, Rcode, Rtype, Section};

/// The `local` directive.
pub static PLUGIN: Kind =
    Kind { name: "local", doc: include_str!("README.md"), once: false, answers: false, setup };

/// A week.
const TTL: u32 = 604_800;
const LOCALHOST: &[u8] = b"\x09localhost\x00";
const LOOPBACK: &[u8] = b"\x011\x010\x010\x03127\x07in-addr\x04arpa\x00";
/// The reverse zones of RFC 1912 section 4.1 that are answered.
const REVERSE: [&[u8]; 3] = [
    b"\x010\x07in-addr\x04arpa\x00",
    b"\x03127\x07in-addr\x04arpa\x00",
    b"\x03255\x07in-addr\x04arpa\x00",
];
/// `localhost. root.localhost. 1 0 0 0 604800`.
const SOA: &[u8] = b"\x09localhost\x00\x04root\x09localhost\x00\
    \x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09\x3a\x80";

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let prefix = config::parse(uses)?;
    setup.link(Local { prefix, localhost: standing::local_names() });
    Ok(())
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
            if below || self.prefix && query.name().starts_with(&LOCALHOST[..10]) {
                self.localhost.inc(query.worker);
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
        Rtype::NS => reply.push(Section::Answer, name, Rtype::NS, Class::IN, TTL, LOCALHOST),
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
        return reply.push(Section::Answer, name, Rtype::PTR, Class::IN, TTL, LOCALHOST);
    }
    if query.name() != LOOPBACK {
        reply.set_rcode(Rcode::NXDOMAIN);
    }
    soa(&name[query.label_at(start)..], Section::Authority, reply);
}

/// The loopback address of the family asked for; `false` if the type is none.
fn addresses(query: &Query, reply: &mut Reply) -> bool {
    let name = query.original_name();
    match query.qtype() {
        Rtype::A => reply.push(Section::Answer, name, Rtype::A, Class::IN, TTL, &[127, 0, 0, 1]),
        Rtype::AAAA => {
            let mut address = [0; 16];
            address[15] = 1;
            reply.push(Section::Answer, name, Rtype::AAAA, Class::IN, TTL, &address);
        }
        _ => return false,
    }
    true
}

fn soa(owner: &[u8], section: Section, reply: &mut Reply) {
    reply.push(section, owner, Rtype::SOA, Class::IN, TTL, SOA);
}
