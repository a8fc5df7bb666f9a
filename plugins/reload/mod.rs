//! `reload`: how often the server checks whether its Corefile changed.
//!
//! It only sets a setting. The server checks, compares and swaps
//! configurations.

mod config;

use chain::settings::Reload;
use chain::{Kind, Setup};
use corefile::{Diagnostics, Directive};
use telemetry::metrics;

use config::Config;

/// The `reload` directive.
pub static PLUGIN: Kind =
    Kind { name: "reload", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let (Config { interval, jitter }, warnings) = config::parse(uses)?;
    setup.warn_all(warnings);
    let refused = "plugin/reload: Corefile changed but reload failed";
    if let [first, ..] = uses {
        setup.set_reload(Reload { interval, jitter, announce, expose, refused }, first.span);
    }
    Ok(())
}

/// The words of CoreDNS for the configuration that is served.
fn announce(fingerprint: &str) {
    telemetry::info!("plugin/reload: Running configuration SHA512 = {fingerprint}");
}

/// Exposes the fingerprint of a reloaded configuration as CoreDNS does.
fn expose(fingerprint: Option<&str>) {
    const NAME: &str = "coredns_reload_version_info";
    metrics::forget(NAME, |_| true);
    let Some(fingerprint) = fingerprint else { return };
    metrics::gauge(
        NAME,
        "A metric with a constant '1' value labeled by hash, and value which type of hash \
         generated.",
        &["hash", "value"],
        &["sha512", fingerprint],
    )
    .set(1.0);
}
