//! `minimal`: removes the sections that a positive answer does not need.
//!
//! It removes sections on the way out. It never touches denials, referrals and errors, whose authority
//! section carries the answer.

use chain::{Clock, Kind, Query, Reply, ServeDns, Setup};
use corefile::{Diagnostics, Directive};
use wire::{Rcode, Rtype, Section};

/// The `minimal` directive.
pub static PLUGIN: Kind =
    Kind { name: "minimal", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

struct Minimal {
    clock: Clock,
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    setup.no_arguments(uses)?;
    setup.link(Minimal { clock: setup.clock() });
    Ok(())
}

impl ServeDns for Minimal {
    #[inline]
    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        let nothing = reply.count(Section::Authority) == 0 && reply.count(Section::Additional) == 0;
        if nothing
            || reply.is_silent()
            || reply.rcode() != Rcode::NOERROR
            || !is_positive(reply)
            || (query.wants_dnssec()
                && has_expired_signature(reply, (self.clock.unix)(query.client.now)))
        {
            return;
        }
        reply.drop_section(Section::Additional);
        reply.drop_section(Section::Authority);
    }
}

/// Whether there are answers, or neither answers nor a denial.
fn is_positive(reply: &Reply) -> bool {
    reply.count(Section::Answer) > 0
        || !reply.records().filter_map(Result::ok).any(|record| {
            record.section == Section::Authority && matches!(record.rtype, Rtype::SOA | Rtype::NS)
        })
}

/// Whether a signature is invalid at `unix`. Such a reply is passed on unchanged.
fn has_expired_signature(reply: &Reply, unix: u64) -> bool {
    let now = unix as u32;
    reply.records().filter_map(Result::ok).filter(|record| record.rtype == Rtype::RRSIG).any(
        |record| {
            let time = |at: usize| {
                let bytes = record.rdata().get(at..).and_then(|rest| rest.first_chunk::<4>());
                bytes.map_or(now, |bytes| u32::from_be_bytes(*bytes))
            };
            // RFC 4034 section 3.1.5: serial number arithmetic.
            let (expiration, inception) = (time(8), time(12));
            (expiration.wrapping_sub(now) as i32) < 0 || (now.wrapping_sub(inception) as i32) < 0
        },
    )
}
