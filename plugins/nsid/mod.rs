//! `nsid`: identifies the server to clients that request it (RFC 5001).
//!
//! It adds one EDNS option to a reply, only if the query asks for it.

mod config;

use chain::{Kind, Query, Reply, Roles, Sees, ServeDns, Setup};
use corefile::{Diagnostics, Directive};
use wire::edns::option;

/// The `nsid` directive.
pub static PLUGIN: Kind =
    Kind { name: "nsid", doc: include_str!("README.md"), once: true, setup, ..Kind::DEFAULT };

struct Nsid {
    data: Box<[u8]>,
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    setup.link(Nsid { data: config::parse(uses)? });
    Ok(())
}

impl ServeDns for Nsid {
    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::ALL, ..Roles::default() }
    }

    #[inline]
    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        if query.edns().is_none() || !query.options().any(|asked| asked.code == option::NSID) {
            return;
        }
        // The option of an upstream names the upstream.
        reply.opt.retain(|known| known.code != option::NSID);
        reply.opt.push(option::NSID, &self.data);
    }
}
