//! `metadata`: lets plugins of the block say what they know about a query before the chain runs.
//!
//! It only fills a setting: the server asks the plugins that take the role. It never provides a
//! label itself.

mod config;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `metadata` directive.
pub static PLUGIN: Kind =
    Kind { name: "metadata", doc: include_str!("README.md"), once: true, answers: false, setup };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let zones = config::parse(uses, &setup.zones())?;
    setup.settings.metadata = Some(zones);
    Ok(())
}
