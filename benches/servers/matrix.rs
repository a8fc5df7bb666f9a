//! `upstream matrix`: three upstreams, one of which falls ill in each way there is. Clients should not
//! notice.

use std::time::Duration;

use super::paced::{Flow, Load, Tally, question};
use super::server::{Server, write};
use super::upstream::{Mood, Own};
use super::{PORT, Settings, median};

const CASES: [(&str, Mood); 8] = [
    ("healthy", Mood::Healthy),
    ("silent", Mood::Silent),
    ("refusing (port closed)", Mood::Refusing),
    ("SERVFAIL", Mood::Failing),
    ("2 s slow", Mood::Slow),
    ("truncates everything", Mood::Truncating),
    ("answers another question", Mood::Wrong),
    ("flaps each second", Mood::Flapping),
];
/// New names a second.
const RATE: f64 = 5_000.0;
/// No query may take longer than the server's own bound of five seconds.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long all three are well before.
const WARM: Duration = Duration::from_secs(1);

pub(crate) fn run(settings: &Settings) {
    let mut results: Vec<Vec<Tally>> = vec![Vec::new(); CASES.len()];
    for round in 0..settings.rounds {
        for ((title, mood), results) in CASES.iter().zip(&mut results) {
            match case(settings, *mood) {
                Ok(tally) => results.push(tally),
                Err(problem) => println!("{title} skipped in round {round}: {problem}"),
            }
        }
    }
    report(settings, &results);
}

/// One server, one illness.
fn case(settings: &Settings, mood: Mood) -> Result<Tally, String> {
    let upstreams = [Own::start(), Own::start(), Own::start()];
    let to = upstreams.each_ref().map(|one| format!("127.0.0.1:{}", one.port)).join(" ");
    let corefile = write(
        &settings.dir.join("Corefile.matrix"),
        &format!(
            ".:{PORT} {{\n    bind 127.0.0.1\n    errors\n    prometheus 127.0.0.1:0\n    cache\n    \
             forward . {to} {{\n        health_check 500ms\n        failover SERVFAIL REFUSED\n        \
             circuit_breaker\n    }}\n}}\n"
        ),
    );
    let mut probe = Vec::new();
    question("probe", &mut probe);
    let arguments = ["-conf".to_owned(), corefile];
    let server = Server::start(&settings.binary, &arguments, &[("GOMAXPROCS", "1")], PORT, &probe)?;
    let flow = Flow::new(PORT, 4, RATE, |number, into| question(&format!("n{number:08x}"), into));
    let mut load = Load::new(vec![flow]);
    load.phase(WARM, || {});
    upstreams[1].set(mood);
    load.phase(settings.time * 3, || {});
    load.finish(PATIENCE);
    drop(server);
    Ok(load.tallies.swap_remove(1).swap_remove(0))
}

fn report(settings: &Settings, results: &[Vec<Tally>]) {
    println!("\n## upstream matrix\n");
    println!(
        "One of three upstreams fails, with {RATE} new names a second; {} rounds. SERVFAIL, other \
         failures and lost are totals of all rounds.\n",
        settings.rounds
    );
    println!(
        "| one upstream | p50 µs | p99 µs (range) | max ms | p99 ÷ healthy p99 | SERVFAIL | other failures | lost | queries |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for ((title, _), tallies) in CASES.iter().zip(results) {
        let of = |pick: &dyn Fn(&Tally) -> f64| tallies.iter().map(pick).collect::<Vec<f64>>();
        let sum = |pick: &dyn Fn(&Tally) -> u64| tallies.iter().map(pick).sum::<u64>();
        let p99 = of(&|tally| tally.percentile(0.99));
        let ratios = tallies.iter().zip(&results[0]);
        let ratios = ratios.map(|(ill, well)| ill.percentile(0.99) / well.percentile(0.99));
        println!(
            "| {title} | {:.0} | {:.0} ({:.0}–{:.0}) | {:.1} | {:.2} | {} | {} | {} | {} |",
            median(of(&|tally| tally.percentile(0.5))),
            median(p99.clone()),
            p99.iter().copied().fold(f64::INFINITY, f64::min),
            p99.iter().copied().fold(0.0, f64::max),
            of(&|tally| tally.percentile(1.0) / 1e3).into_iter().fold(0.0, f64::max),
            median(ratios.collect()),
            sum(&|tally| tally.rcodes[1]),
            sum(&|tally| tally.rcodes[2] + tally.rcodes[3]),
            sum(&|tally| tally.lost),
            sum(&|tally| tally.sent),
        );
    }
}
