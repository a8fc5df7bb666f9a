//! `reload`: how often the server checks whether its Corefile changed.
//!
//! It only sets a setting and registers the counter. The server checks, compares and swaps
//! configurations.

mod config;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};
use telemetry::standing;

/// The `reload` directive.
pub static PLUGIN: Kind =
    Kind { name: "reload", doc: include_str!("README.md"), once: false, answers: false, setup };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let (config, warnings) = config::parse(uses)?;
    setup.requests.warnings.extend(warnings);
    // Shown from the start on, at zero: alerts on its growth need the series to exist.
    standing::reload_failures();
    setup.settings.reload = Some(config.into());
    Ok(())
}
