//! `erratic`: answers with constants, and sometimes late, truncated or not at all, to test clients.
//!
//! It counts queries and decides by their number. It never queries another server.

mod config;

use std::sync::atomic::{AtomicU64, Ordering};

use chain::{
    BoxFuture, Kind, Next, Query, Ready, Reply, Roles, SearchPath, ServeDns, Served, Setup, Step,
};
use corefile::{Diagnostics, Directive};
use wire::{Class, Failure, Name, NameBuf, Rcode, Rtype, Section, Slot};

use config::Config;

/// The `erratic` directive.
pub static PLUGIN: Kind =
    Kind { name: "erratic", doc: include_str!("README.md"), once: false, answers: true, setup };

/// RFC 5737.
const ADDRESS_V4: [u8; 4] = [192, 0, 2, 53];
/// RFC 3849.
const ADDRESS_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];
/// How often `large` repeats an A record.
const LARGE: usize = 30;

struct Erratic {
    config: Config,
    queries: AtomicU64,
    /// The number of a query that is delayed.
    number: Slot<u64>,
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let config = config::parse(uses, setup.warnings())?;
    setup.ends(setup.zones());
    let number = setup.slot();
    setup.link(Erratic { config, queries: AtomicU64::new(0), number });
    Ok(())
}

/// The path that CoreDNS's own has, to try *autopath* on.
impl SearchPath for Erratic {
    fn search_path(&self, _: &Query, path: &mut Vec<Name>) {
        path.extend(
            ["a.example.org.", "b.example.org.", "."]
                .iter()
                .map_while(|it| Name::from_text(it).ok()),
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
            *query.slot(self.number) = number;
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
            let number = *query.slot(self.number);
            self.answer(number, query, reply)
        })
    }

    fn roles(&self) -> Roles<'_> {
        Roles { ready: Some(self), search_path: Some(self), ..Roles::default() }
    }
}

impl Ready for Erratic {
    /// Ready between the third query and the fifth, to show how readiness comes and goes.
    fn ready(&self) -> Result<(), String> {
        match self.queries.load(Ordering::Relaxed) {
            3..5 => Ok(()),
            count => Err(format!("ready after 3 and before 5 queries; received {count}")),
        }
    }
}

impl Erratic {
    fn answer(&self, number: u64, query: &Query, reply: &mut Reply) -> Served {
        let name = query.original_name();
        let cut_off = self.config.truncate > 0 && number.is_multiple_of(self.config.truncate);
        match query.qtype() {
            Rtype::A => {
                let copies = if self.config.large { LARGE } else { 1 };
                for _ in 0..copies {
                    reply.push(Section::Answer, name, Rtype::A, Class::IN, 0, &ADDRESS_V4);
                }
            }
            Rtype::AAAA => {
                reply.push(Section::Answer, name, Rtype::AAAA, Class::IN, 0, &ADDRESS_V6);
            }
            Rtype::AXFR if query.transport.is_datagram() => {
                // RFC 5936 section 4.2: not over UDP.
                return Err(Failure::rcode(Rcode::REFUSED));
            }
            Rtype::AXFR => transfer(name, reply, cut_off),
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
    let mut soa = Vec::with_capacity(64);
    soa.extend_from_slice(b"\x03sns\x03dns\x05icann\x03org\0\x03noc\x03dns\x05icann\x03org\0");
    for number in [2_018_050_825u32, 7200, 3600, 1_209_600, 3600] {
        soa.extend_from_slice(&number.to_be_bytes());
    }
    let mut push = |owner: &[u8], rtype: Rtype, rdata: &[u8]| {
        reply.push(Section::Answer, owner, rtype, Class::IN, 0, rdata);
    };
    push(zone, Rtype::SOA, &soa);
    let servers: [(&[u8], [u8; 16]); 2] = [
        (b"\x01b", [0x20, 0x01, 0x05, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x54]),
        (b"\x01a", [0x20, 0x01, 0x0b, 0xd8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53]),
    ];
    let names = servers.map(|(label, _)| {
        let mut name = NameBuf::new();
        // A name too long for one more label stands for itself.
        if name.push_name(label).and_then(|()| name.push_name(zone)).is_err() {
            name.clear();
            let _ = name.push_name(zone);
        }
        name
    });
    for name in &names {
        push(zone, Rtype::NS, name.as_wire());
    }
    for (name, (_, address)) in names.iter().zip(&servers).rev() {
        push(name.as_wire(), Rtype::AAAA, address);
    }
    if !cut_off {
        push(zone, Rtype::SOA, &soa);
    }
}
