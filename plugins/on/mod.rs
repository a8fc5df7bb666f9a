//! `on`: runs commands when the server starts and stops.
//!
//! It never sees a query, and no query waits for a command.

mod config;
mod run;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

use config::Event;

/// The `on` directive.
pub static PLUGIN: Kind =
    Kind { name: "on", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let (commands, warnings) = config::parse(uses)?;
    setup.warn_all(warnings);
    for (event, command) in commands {
        match event {
            Event::Startup => setup.on_startup(|| run::run(command)),
            Event::Shutdown => setup.on_shutdown(|| run::run(command)),
            // Nothing renews certificates; the warning says so.
            Event::Certrenew => {}
        }
    }
    Ok(())
}
