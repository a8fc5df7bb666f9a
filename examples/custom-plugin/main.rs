//! A server with one plugin more: `custom` answers a query for a service from constants.

use std::process::ExitCode;

use catena::chain::{Kind, Query, Reply, ServeDns, Served, Setup, Step};
use catena::corefile::{Diagnostics, Directive};
use catena::wire::{Rdata, Rtype, name};

/// The `custom` directive.
static PLUGIN: Kind =
    Kind { name: "custom", doc: include_str!("README.md"), answers: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    setup.no_arguments(uses)?;
    setup.link(Custom);
    Ok(())
}

struct Custom;

impl ServeDns for Custom {
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        let service = name!("_services._tcp.example.com.");
        if query.name() != service || query.qtype() != Rtype::SRV {
            return Ok(Step::Next);
        }
        let target = name!("service-1.example.com.");
        reply.answer(300, Rdata::Srv { priority: 10, weight: 5, port: 8080, target });
        Ok(Step::Done)
    }
}

fn main() -> ExitCode {
    catena::main(catena::REGISTRY.before("file", &PLUGIN))
}
