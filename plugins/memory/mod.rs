//! `memory`: how much the process may use.
//!
//! It only fills a setting. What is done to stay below is the server's business.

mod config;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `memory` directive.
pub static PLUGIN: Kind =
    Kind { name: "memory", doc: include_str!("README.md"), once: true, answers: false, setup };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        let limit = config::parse(directive)?;
        setup.settings.memory = Some((limit, directive.span));
    }
    Ok(())
}
