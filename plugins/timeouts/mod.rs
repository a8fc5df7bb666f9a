//! `timeouts`: how long clients of streams may take.
//!
//! It only sets settings of listeners, and never sees a query.

mod config;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `timeouts` directive.
pub static PLUGIN: Kind = Kind {
    name: "timeouts",
    doc: include_str!("README.md"),
    listener: true,
    once: true,
    setup,
    ..Kind::DEFAULT
};

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        let timeouts = config::parse(directive, setup)?;
        setup.set_timeouts(timeouts);
    }
    Ok(())
}
