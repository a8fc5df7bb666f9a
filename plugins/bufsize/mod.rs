//! `bufsize`: caps UDP replies, and lowers the UDP payload size that clients offer.
//!
//! It changes the query in place, so that upstreams and the end of the reply see the same. It never
//! raises an offer, and makes none.

mod config;

use chain::{Kind, Query, Reply, Roles, Sees, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};

/// The `bufsize` directive.
pub static PLUGIN: Kind =
    Kind { name: "bufsize", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

struct Bufsize {
    size: u16,
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let config = config::parse(uses)?;
    setup.link(Bufsize { size: config.size });
    Ok(())
}

impl ServeDns for Bufsize {
    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::ALL, ..Roles::default() }
    }

    #[inline]
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        query.limit_udp_size(self.size);
        Ok(Step::Next)
    }
}
