//! `cancel`: limits how long the server works on a query.
//!
//! It sets the query's deadline. At that time the chain ends every wait for the query. Transfers have none.

mod config;

use std::time::Duration;

use chain::{Kind, Query, Reply, Roles, Sees, ServeDns, Served, Setup, Step};
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
    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::ALL, ..Roles::default() }
    }

    #[inline]
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        // A transfer lasts as long as the zone is large; the plugin that sends it has bounds of its own.
        if query.qtype().is_transfer() {
            return Ok(Step::Next);
        }
        let end = query.client.now.plus(self.timeout);
        query.state.deadline = Some(query.state.deadline.map_or(end, |earlier| earlier.min(end)));
        Ok(Step::Next)
    }
}
