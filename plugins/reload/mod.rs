//! `reload`: how often the server checks whether its Corefile changed.
//!
//! It only sets a setting. The server checks, compares and swaps
//! configurations.

mod config;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `reload` directive.
pub static PLUGIN: Kind =
    Kind { name: "reload", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let (config, warnings) = config::parse(uses)?;
    setup.requests.warnings.extend(warnings);
    setup.settings.reload = Some(config.into());
    Ok(())
}
