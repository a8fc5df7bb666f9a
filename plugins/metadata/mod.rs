//! `metadata`: collects metadata about a query from the plugins of the block before the chain runs.
//!
//! It only sets a setting: the server calls the plugins that provide metadata. It provides no label
//! itself.

mod config;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `metadata` directive.
pub static PLUGIN: Kind =
    Kind { name: "metadata", doc: include_str!("README.md"), once: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let zones = config::parse(uses, &setup.zones())?;
    if let [first, ..] = uses {
        setup.collect_metadata(zones, first.span);
    }
    Ok(())
}
