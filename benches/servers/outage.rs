//! `outage`: the only upstream falls silent under a flood of new names, and comes back.
//!
//! Cached names, and expired ones, must be answered as if nothing were wrong; memory must stay below
//! its bound; and new names must be answered soon after the upstream is back.

use std::time::Duration;

use super::paced::{Flow, Load, Tally, question};
use super::server::{Server, write};
use super::upstream::{Mood, Own};
use super::{PORT, Settings};

/// New names a second.
const FLOOD: f64 = 20_000.0;
/// Queries a second for names that are cached, and as many for expired ones.
const KEPT: f64 = 1_000.0;
/// Names of either kind.
const NAMES: u64 = 2_000;
const MEMORY_MIB: u64 = 128;
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(6);

/// The flows, in this order.
const FLOWS: [&str; 3] = ["new", "cached", "expired"];
/// The phases, in this order.
const PHASES: [&str; 4] = ["filling", "before", "outage", "after"];

pub(crate) fn run(settings: &Settings, length: Duration) {
    match outage(settings, length) {
        Ok((load, peak)) => report(&load, peak, length),
        Err(problem) => println!("outage skipped: {problem}"),
    }
}

fn outage(settings: &Settings, length: Duration) -> Result<(Load, [f64; 2]), String> {
    let upstream = Own::start();
    let corefile = write(
        &settings.dir.join("Corefile.outage"),
        &format!(
            ".:{PORT} {{\n    bind 127.0.0.1\n    memory {MEMORY_MIB}MiB\n    errors {{\n        \
             consolidate 10s \".*\"\n    }}\n    prometheus 127.0.0.1:0\n    cache {{\n        success \
             100000 3600 1\n        serve_stale 1h\n    }}\n    forward . 127.0.0.1:{} {{\n        \
             health_check 500ms\n    }}\n}}\n",
            upstream.port
        ),
    );
    let mut probe = Vec::new();
    question("probe", &mut probe);
    let arguments = ["-conf".to_owned(), corefile];
    let server = Server::start(&settings.binary, &arguments, &[("GOMAXPROCS", "1")], PORT, &probe)?;
    let mut load = Load::new(vec![
        Flow::new(PORT, 8, 0.0, |number, into| question(&format!("n{number:010x}"), into)),
        Flow::new(PORT, 1, KEPT, |number, into| question(&format!("c{}", number % NAMES), into)),
        // The upstream gives names that begin so a second.
        Flow::new(PORT, 1, KEPT, |number, into| question(&format!("s{}", number % NAMES), into)),
    ]);
    // Each name twice, and once more for what was lost.
    load.phase(Duration::from_secs_f64(3.0 * NAMES as f64 / KEPT), || {});
    load.flows[2].rate = 0.0;
    load.flows[0].rate = FLOOD;
    load.phase(BEFORE, || {});
    load.flows[2].rate = KEPT;
    let mut peak = [0.0f64; 2];
    let mut look = || peak[0] = peak[0].max(server.memory().0);
    upstream.set(Mood::Silent);
    load.phase(length, &mut look);
    upstream.set(Mood::Healthy);
    load.phase(AFTER, &mut look);
    load.finish(PATIENCE);
    peak[1] = server.peak();
    Ok((load, peak))
}

fn report(load: &Load, [outage, whole]: [f64; 2], length: Duration) {
    println!("\n## outage\n");
    println!(
        "The upstream is silent for {:.0} s. {FLOOD} queries a second for new names, {KEPT} for cached \
         and {KEPT} for expired names.\n",
        length.as_secs_f64()
    );
    println!(
        "| phase | names | sent | NOERROR | SERVFAIL | refused | lost | p50 µs | p99 µs | max ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (phase, tallies) in PHASES.iter().zip(&load.tallies).skip(1) {
        for (flow, tally) in FLOWS.iter().zip(tallies).filter(|(_, tally)| tally.sent > 0) {
            let Tally { sent, rcodes: [good, failed, _, refused], lost, .. } = tally;
            println!(
                "| {phase} | {flow} | {sent} | {good} ({:.3} %) | {failed} | {refused} | {lost} | \
                 {:.0} | {:.0} | {:.1} |",
                *good as f64 / *sent as f64 * 100.0,
                tally.percentile(0.5),
                tally.percentile(0.99),
                tally.percentile(1.0) / 1e3,
            );
        }
    }
    let after = &load.tallies[3][0];
    let time = |time: Option<Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64());
    println!(
        "\nPeak resident memory: {outage:.1} MiB from the outage on, {whole:.1} MiB over the whole run, of \
         {MEMORY_MIB} MiB.\nThe first new name was answered {:.3} s after the upstream was back; the last query \
         without an answer was sent after {:.3} s.",
        time(after.first_good),
        after.last_bad.map_or(0.0, |time| time.as_secs_f64()),
    );
}
