//! `any`: answers queries of type ANY with a minimal response (RFC 8482).

use chain::{Kind, Query, Reply, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use wire::{Rcode, Rdata, Rtype};

/// The `any` directive.
pub static PLUGIN: Kind =
    Kind { name: "any", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

/// A TTL that refers people to the RFC.
const TTL: u32 = 8482;
const HINFO: Rdata<'_> = Rdata::Hinfo { cpu: b"ANY obsoleted", os: b"See RFC 8482" };

struct Any;

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    setup.no_arguments(uses)?;
    setup.link(Any);
    Ok(())
}

impl ServeDns for Any {
    #[inline]
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        if query.qtype() != Rtype::ANY {
            return Ok(Step::Next);
        }
        reply.set_rcode(Rcode::NOERROR);
        // RFC 8482 section 4.2: a synthesized HINFO record.
        reply.answer(TTL, HINFO);
        Ok(Step::Done)
    }
}
