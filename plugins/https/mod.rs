//! `https`: limits and paths of listeners for DNS over HTTPS.
//!
//! It only sets settings of listeners, and never sees a query.

mod config;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `https` directive.
pub static PLUGIN: Kind = Kind {
    name: "https",
    doc: include_str!("README.md"),
    listener: true,
    once: true,
    setup,
    ..Kind::DEFAULT
};

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        let options = config::parse(directive)?;
        setup.set_http(options, directive.name.span);
    }
    Ok(())
}
