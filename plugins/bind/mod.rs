//! `bind`: which addresses a server block listens on.
//!
//! It only fills a setting. Interfaces are looked up and sockets opened by the server.

mod config;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `bind` directive.
pub static PLUGIN: Kind =
    Kind { name: "bind", doc: include_str!("README.md"), once: false, answers: false, setup };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let binds = config::parse(uses)?;
    setup.settings.bind.extend(binds);
    Ok(())
}
