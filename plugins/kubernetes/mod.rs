//! `kubernetes`: answers for the names of a Kubernetes cluster, from a copy of what its API server knows.
//!
//! `kubeapi` follows the API server, `cluster` holds what names need, and this plugin computes answers from it.
//! Nothing is stored for a name.

mod answer;
mod config;
mod metrics;
mod names;
mod own;
mod selector;
mod serve;
mod sink;
mod state;
mod time;
mod whole;

use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};

use config::Config;
use serve::Kubernetes;

/// The `kubernetes` directive.
pub static PLUGIN: Kind = Kind {
    name: "kubernetes",
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
        let plugin = Kubernetes::new(config, setup);
        setup.link(plugin);
    }
    Ok(())
}
