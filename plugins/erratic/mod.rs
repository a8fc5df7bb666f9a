//! `erratic`: answers with constants, and sometimes late, truncated or not at all, to test clients.
//!
//! It counts queries and decides by their number. It never queries another server.

mod config;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use chain::{
    BoxFuture, Kind, Next, Query, Ready, Reply, Roles, SearchPath, Sees, ServeDns, Served, Setup,
    Step,
};
use corefile::{Diagnostics, Directive};
use exchange::StateKey;
use wire::{Failure, Name, NameBuf, NewRecord, Rcode, Rdata, Rtype, Section, name};

use config::Config;

/// The `erratic` directive.
pub static PLUGIN: Kind =
    Kind { name: "erratic", doc: include_str!("README.md"), answers: true, setup, ..Kind::DEFAULT };

/// RFC 5737.
const ADDRESS_V4: Rdata<'_> = Rdata::A(Ipv4Addr::new(192, 0, 2, 53));
/// RFC 3849.
const ADDRESS_V6: Rdata<'_> = Rdata::Aaaa(Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 0x53));
/// The SOA record of the zone that a transfer returns: the root's.
const SOA: Rdata<'_> = Rdata::Soa {
    mname: name!("sns.dns.icann.org."),
    rname: name!("noc.dns.icann.org."),
    serial: 2_018_050_825,
    refresh: 7200,
    retry: 3600,
    expire: 1_209_600,
    minimum: 3600,
};
/// How often `large` repeats an A record.
const LARGE: usize = 30;

struct Erratic {
    config: Config,
    queries: AtomicU64,
    /// The number of a query that is delayed.
    number: StateKey<u64>,
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let config = config::parse(uses, setup.warnings())?;
    setup.ends(setup.zones());
    let number = setup.state_key();
    setup.link(Erratic { config, queries: AtomicU64::new(0), number });
    Ok(())
}

/// The path that CoreDNS's own has, to try *autopath* on.
impl SearchPath for Erratic {
    fn search_path(&self, _: &Query, path: &mut Vec<Name>) {
        path.extend(
            [name!("a.example.org."), name!("b.example.org."), name!(".")]
                .into_iter()
                .filter_map(|name| Name::from_wire(name).ok()),
        );
    }
}

impl ServeDns for Erratic {
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        let number = self.queries.fetch_add(1, Ordering::Relaxed);
        let is_each = |amount: u64| amount > 0 && number.is_multiple_of(amount);
        if is_each(self.config.drop) {
            return Ok(Step::Drop);
        }
        if is_each(self.config.delay) {
            *query.plugin_state(self.number) = number;
            return Ok(Step::Wait);
        }
        self.answer(number, query, reply)
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        _: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            tokio::time::sleep(self.config.duration).await;
            let number = *query.plugin_state(self.number);
            self.answer(number, query, reply)
        })
    }

    fn roles(&self) -> Roles<'_> {
        Roles {
            sees: Sees::TRANSFERS,
            ready: Some(self),
            search_path: Some(self),
            ..Roles::default()
        }
    }
}

impl Ready for Erratic {
    /// Ready between the third query and the fifth, to show changes of readiness.
    fn ready(&self) -> Result<(), String> {
        match self.queries.load(Ordering::Relaxed) {
            3..5 => Ok(()),
            count => Err(format!("ready after 3 and before 5 queries; received {count}")),
        }
    }
}

impl Erratic {
    fn answer(&self, number: u64, query: &Query, reply: &mut Reply) -> Served {
        let cut_off = self.config.truncate > 0 && number.is_multiple_of(self.config.truncate);
        match query.qtype() {
            Rtype::A => {
                let copies = if self.config.large { LARGE } else { 1 };
                (0..copies).for_each(|_| reply.answer(0, ADDRESS_V4));
            }
            Rtype::AAAA => reply.answer(0, ADDRESS_V6),
            Rtype::AXFR if query.client.transport.is_datagram() => {
                // RFC 5936 section 4.2: not over UDP.
                return Err(Failure::rcode(Rcode::REFUSED));
            }
            Rtype::AXFR => transfer(query.original_name(), reply, cut_off),
            _ => return Err(Failure::rcode(Rcode::SERVFAIL)),
        }
        reply.set_rcode(Rcode::NOERROR);
        reply.set_authoritative(true);
        // A transfer that is cut off lacks its end instead.
        reply.truncated |= cut_off && query.qtype() != Rtype::AXFR;
        Ok(Step::Done)
    }
}

/// A small zone in one message; cut off, the SOA record that ends it is missing.
fn transfer(zone: &[u8], reply: &mut Reply, cut_off: bool) {
    let servers = [
        (name!("b."), Ipv6Addr::new(0x2001, 0x0500, 0, 0, 0, 0, 0, 0x54)),
        (name!("a."), Ipv6Addr::new(0x2001, 0x0bd8, 0, 0, 0, 0, 0, 0x53)),
    ];
    // A name too long for one more label is used as it is.
    let names = servers.map(|(label, _)| NameBuf::joined(label, zone).ok());
    let names = names.each_ref().map(|name| name.as_ref().map_or(zone, NameBuf::as_wire));
    reply.answer(0, SOA);
    names.iter().for_each(|name| reply.answer(0, Rdata::Ns(name)));
    for (owner, (_, address)) in names.iter().zip(servers).rev() {
        reply.push(Section::Answer, NewRecord::new(owner, 0, Rdata::Aaaa(address)));
    }
    if !cut_off {
        reply.answer(0, SOA);
    }
}
