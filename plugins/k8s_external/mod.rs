//! `k8s_external`: answers for the addresses that services of a cluster have outside of it.
//!
//! The plugin *kubernetes* of the same block follows the cluster and offers what it knows
//! (`cluster::Exposed`). This one only reads that.

mod answer;
mod config;
mod serve;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

use config::Config;
use serve::External;

/// The `k8s_external` directive.
pub static PLUGIN: Kind = Kind {
    name: "k8s_external",
    doc: include_str!("README.md"),
    answers: true,
    setup,
    ..Kind::DEFAULT
};

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut configs = Vec::new();
    for directive in uses {
        setup.warn_outside(&directive.args);
        match Config::read(directive, setup) {
            Ok(config) => configs.push(config),
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    for config in configs {
        let plugin = External::new(config, setup);
        setup.link(plugin);
    }
    Ok(())
}
