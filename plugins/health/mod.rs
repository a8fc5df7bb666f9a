//! `health`: reports over HTTP that the process is alive, and measures how long such a request takes.
//!
//! It never looks at queries or at other plugins: `ready` reports whether these work.

mod config;
mod probe;

use std::time::Duration;

use chain::settings::Lameduck;
use chain::{HttpReply, Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `health` directive.
pub static PLUGIN: Kind = Kind {
    name: "health",
    doc: include_str!("README.md"),
    setup,
    baseline_metrics: probe::register_metrics,
    ..Kind::DEFAULT
};

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let config = config::parse(uses)?;
    setup.http(&config.address, "/health", |_| HttpReply::text(200, "OK"));
    if let Some((time, span)) = config.lameduck {
        setup.set_lameduck(Lameduck { time, announce }, span);
    }
    let probe = probe::Probe::new(&config.address.text);
    setup.task(|| probe.run());
    Ok(())
}

/// The words of CoreDNS when the process keeps serving after a stop signal.
fn announce(time: Duration) {
    telemetry::info!(
        "plugin/health: Going into lameduck mode for {}",
        corefile::show_duration(time)
    );
}
