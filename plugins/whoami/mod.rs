//! `whoami`: answers with the client's address, port and transport.
//!
//! It needs nothing but the query.

use chain::{Kind, Query, Reply, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use std::net::IpAddr;
use wire::{NameBuf, Rcode, Rtype, Section};

/// The `whoami` directive.
pub static PLUGIN: Kind =
    Kind { name: "whoami", doc: include_str!("README.md"), answers: true, setup, ..Kind::DEFAULT };

struct Whoami;

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let mut errors = Diagnostics::default();
    for directive in uses {
        errors.extend(directive.args().end().err());
        errors.extend(directive.no_body().err());
    }
    if errors.has_errors() {
        return Err(errors);
    }
    setup.ends(setup.zones());
    setup.link(Whoami);
    Ok(())
}

impl ServeDns for Whoami {
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        reply.set_rcode(Rcode::NOERROR);
        reply.set_authoritative(true);
        let (name, class) = (query.original_name(), query.qclass());
        match query.peer.ip().to_canonical() {
            IpAddr::V4(address) => {
                reply.push(Section::Additional, name, Rtype::A, class, 0, &address.octets());
            }
            IpAddr::V6(address) => {
                reply.push(Section::Additional, name, Rtype::AAAA, class, 0, &address.octets());
            }
        }
        let mut owner = NameBuf::new();
        let label: &[u8] = if query.transport.proto() == "tcp" { b"\x04_tcp" } else { b"\x04_udp" };
        if owner.push_name(label).and_then(|()| owner.push_name(name)).is_ok() {
            // Priority and weight 0, the port, and no target.
            let [high, low] = query.peer.port().to_be_bytes();
            let rdata = [0, 0, 0, 0, high, low, 0];
            reply.push(Section::Additional, owner.as_wire(), Rtype::SRV, class, 0, &rdata);
        }
        Ok(Step::Done)
    }
}
