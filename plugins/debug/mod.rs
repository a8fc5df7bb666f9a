//! `debug`: enables debug lines in the log, and lets a panic end the process.
//!
//! It only sets a setting. It never logs anything itself and never sees a query.

mod config;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `debug` directive.
pub static PLUGIN: Kind =
    Kind { name: "debug", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    config::parse(uses)?;
    if let [first, ..] = uses {
        setup.set_debug(first.span);
    }
    Ok(())
}
