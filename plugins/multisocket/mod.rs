//! `multisocket`: the number of sockets of a listener.
//!
//! It only sets a setting. The server opens the sockets and assigns them to workers.

mod config;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `multisocket` directive.
pub static PLUGIN: Kind = Kind {
    name: "multisocket",
    listener: true,
    doc: include_str!("README.md"),
    once: true,
    setup,
    ..Kind::DEFAULT
};

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        let count = config::parse(directive)?.unwrap_or_else(|| setup.workers());
        setup.set_sockets(count, directive.span);
    }
    Ok(())
}
