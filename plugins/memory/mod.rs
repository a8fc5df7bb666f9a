//! `memory`: limits the memory of the process.
//!
//! It only sets a setting. The server enforces the limit.

mod config;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `memory` directive.
pub static PLUGIN: Kind =
    Kind { name: "memory", doc: include_str!("README.md"), once: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        let limit = config::parse(directive)?;
        setup.set_memory_limit(limit, directive.span);
    }
    Ok(())
}
