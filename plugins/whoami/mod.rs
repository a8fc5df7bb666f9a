//! `whoami`: answers with the client's address, port and transport.
//!
//! It needs nothing but the query.

use chain::{Kind, Query, Reply, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use wire::{NameBuf, NewRecord, Rcode, Rdata, Section, name};

/// The `whoami` directive.
pub static PLUGIN: Kind = Kind {
    name: "whoami",
    doc: include_str!("README.md"),
    answers: true,
    setup,
    without_corefile: Some("every name is answered by `whoami`"),
    ..Kind::DEFAULT
};

struct Whoami;

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    setup.no_arguments(uses)?;
    setup.ends(setup.zones());
    setup.link(Whoami);
    Ok(())
}

impl ServeDns for Whoami {
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        reply.set_rcode(Rcode::NOERROR);
        reply.set_authoritative(true);
        let (name, class) = (query.original_name(), query.qclass());
        let mut add = |owner, rdata| {
            reply.push(Section::Additional, NewRecord::new(owner, 0, rdata).class(class));
        };
        add(name, Rdata::from(query.client.peer.ip().to_canonical()));
        let label =
            if query.client.transport.proto() == "tcp" { name!("_tcp.") } else { name!("_udp.") };
        // A name too long for one more label has no SRV record.
        if let Ok(owner) = NameBuf::joined(label, name) {
            let port = query.client.peer.port();
            let target = name!(".");
            add(owner.as_wire(), Rdata::Srv { priority: 0, weight: 0, port, target });
        }
        Ok(Step::Done)
    }
}
