//! `cancel`: limits how long the server works on a query.
//!
//! It sets the query's deadline. At that time the chain ends every wait for the query.

mod config;

use std::time::Duration;

use chain::{Kind, Query, Reply, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};

/// The `cancel` directive.
pub static PLUGIN: Kind =
    Kind { name: "cancel", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let timeout = config::parse(uses)?;
    setup.link(Cancel { timeout });
    Ok(())
}

struct Cancel {
    timeout: Duration,
}

impl ServeDns for Cancel {
    #[inline]
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        let end = query.now.plus(self.timeout);
        query.deadline = Some(query.deadline.map_or(end, |earlier| earlier.min(end)));
        Ok(Step::Next)
    }
}
