//! `any`: answers queries of type ANY with a minimal response (RFC 8482).

use chain::{Kind, Query, Reply, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use wire::{Class, Rcode, Rtype, Section};

/// The `any` directive.
pub static PLUGIN: Kind =
    Kind { name: "any", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

/// The TTL that tells people where to read more.
const TTL: u32 = 8482;
/// HINFO: two character strings (RFC 1035 section 3.3.2).
const RDATA: &[u8] = b"\x0dANY obsoleted\x0cSee RFC 8482";

struct Any;

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let mut errors = Diagnostics::default();
    for directive in uses {
        errors.extend(directive.args().end().err());
        errors.extend(directive.no_body().err());
    }
    if errors.has_errors() {
        return Err(errors);
    }
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
        reply.push(Section::Answer, query.original_name(), Rtype::HINFO, Class::IN, TTL, RDATA);
        Ok(Step::Done)
    }
}
