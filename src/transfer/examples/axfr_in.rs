//! Transfers a zone from a server, several times, and prints how long each took: until the last message had
//! come, and until the zone could be served.
//!
//! `cargo run --release -p catena-transfer --example axfr_in -- 127.0.0.1:53 example.org. [KEY]`

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]
#![allow(clippy::print_stdout, reason = "its result")]

use std::sync::Arc;
use std::time::Instant;

use net::client::Network;
use transfer::{Client, Limits, Outcome, Peer};
use wire::Name;

fn main() {
    let mut words = std::env::args().skip(1);
    let address = words.next().unwrap().parse().unwrap();
    let zone = Name::from_text(&words.next().unwrap()).unwrap();
    let key = words.next().map(|text| Arc::new(tsig::Key::from_text(&text).unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut hint = 0;
    for _ in 0..5 {
        let peer = Peer { key: key.clone(), ..Peer::new(address) };
        let client = Client::new(Network::Os, peer, Limits::default());
        let (wall, processor) = (Instant::now(), processor_time());
        let received = runtime.block_on(client.axfr(&zone, None, hint)).unwrap();
        let Outcome::Zone(fetched) = received.outcome else { unreachable!() };
        let spent = processor_time() - processor;
        println!(
            "{:.3} s, {spent:.3} s of processor, {} records in {} messages, {} octets; zone of {} octets",
            wall.elapsed().as_secs_f64(),
            received.tally.records,
            received.tally.messages,
            received.tally.received,
            fetched.memory(),
        );
        // The second and later ones know how large it is.
        hint = fetched.memory() as u64;
    }
}

/// Seconds that this process has computed.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
