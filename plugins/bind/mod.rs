//! `bind`: the addresses that a server block listens on.
//!
//! It only sets a setting. The server looks up the interfaces and opens the sockets.

mod config;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `bind` directive.
pub static PLUGIN: Kind =
    Kind { name: "bind", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let binds = config::parse(uses)?;
    setup.bind(binds);
    Ok(())
}
