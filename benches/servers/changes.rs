//! What 1,000 changes a second cost the queries of a zone of 1,000,000 names: each is an update of one record
//! (RFC 2136), signed, on the disk before it is confirmed, and answered from then on.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tsig::Key;
use wire::{Name, Rtype};

use super::load::{self, Shape};
use super::peers::Recipe;
use super::server::{Server, write};
use super::{Figures, PORT, Settings, data, measure, median};

/// Changes a second.
const RATE: f64 = 1000.0;
/// Names that change, one after the other.
const NAMES: u64 = 60_000;
const SECRET: &str = "i9M+00yrECfVZG2qCjr4mPpaGim/Bq+IWMiNrLjUO4Y=";

/// One server in one round.
struct Round {
    quiet: Figures,
    changing: Figures,
    confirmed: f64,
    /// CPU time of the changes alone, in each second.
    own: f64,
}

/// Measures the server with a zone at rest, then with one that changes, in each round.
pub(crate) fn run(settings: &Settings) {
    let set = data::zone(&settings.dir, "mil.lab.", 1_000_000, 200_000);
    let probe = data::query(set.origin, Rtype::SOA);
    let mut rounds = Vec::new();
    for _ in 0..settings.rounds {
        let database = settings.dir.join("changes");
        let _ = std::fs::remove_dir_all(&database);
        let corefile = format!(
            "{}:{PORT} {{\n bind 127.0.0.1\n prometheus 127.0.0.1:0\n tsig {{\n secret k. {SECRET}\n }}\n \
             dynupdate {{\n file {}\n database {}\n allow k. * *\n max_records 10000000\n \
             max_bytes 1000000000\n }}\n}}\n",
            set.origin,
            set.zone.display(),
            database.display()
        );
        let recipe = Recipe {
            name: "catena".into(),
            program: settings.binary.clone(),
            arguments: vec![
                "-conf".into(),
                write(&settings.dir.join("Corefile.changes"), &corefile),
            ],
            environment: Vec::new(),
        };
        match round(&recipe, &probe, &set.queries, settings.time) {
            Ok(round) => rounds.push(round),
            Err(problem) => println!("{}: {problem}", recipe.name),
        }
    }
    println!("\n## changes: {RATE} a second in 1,000,000 names, beside queries that saturate\n");
    println!("| zone | CPU µs/query | user | system | q/s | p50 µs | p99 µs | lost | RSS MiB |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, pick) in
        [("at rest", quiet as fn(&Round) -> &Figures), ("changing", |round| &round.changing)]
    {
        let of = |what: fn(&Figures) -> f64| median(rounds.iter().map(pick).map(what).collect());
        println!(
            "| {name} | {:.3} | {:.3} | {:.3} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} |",
            of(Figures::cpu),
            of(|f| f.user_us),
            of(|f| f.system_us),
            of(|f| f.rate),
            of(|f| f.p50_us),
            of(|f| f.p99_us),
            of(|f| f.lost),
            of(|f| f.rss)
        );
    }
    let of = |what: fn(&Round) -> f64| median(rounds.iter().map(what).collect());
    println!(
        "\nchanges alone: {:.1} µs each, {:.0} a second confirmed beside queries. Changing beside at rest: {:.3} \
         times the CPU time of a query, {:.3} with the changes' own; {:.2} times its p99",
        of(|round| round.own * 1e6 / RATE),
        of(|round| round.confirmed),
        of(|round| {
            let own = round.own / round.changing.rate * 1e6;
            (round.changing.cpu() - own) / round.quiet.cpu()
        }),
        of(|round| round.changing.cpu() / round.quiet.cpu()),
        of(|round| round.changing.p99_us / round.quiet.p99_us)
    );
}

fn quiet(round: &Round) -> &Figures {
    &round.quiet
}

fn round(
    recipe: &Recipe,
    probe: &[u8],
    queries: &[Vec<u8>],
    time: Duration,
) -> Result<Round, String> {
    let server = Server::start(&recipe.program, &recipe.arguments, &[], PORT, probe)?;
    load::press(PORT, queries, 0, Shape::saturating(time / 4));
    let saturated = || measure(&server, queries, 0, Shape::saturating(time));
    // The same messages leave the load's core, for a socket that nobody reads.
    let sink = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let nowhere = sink.local_addr().map_err(|error| error.to_string())?.port();
    let (quiet, _) = beside_changes(nowhere, 0, saturated);
    let (own, first) = beside_changes(PORT, 0, || {
        let before = server.cpu();
        std::thread::sleep(time / 4);
        let after = server.cpu();
        let spent = after.user - before.user + after.system - before.system;
        spent / (time / 4).as_secs_f64()
    });
    let began = Instant::now();
    let (changing, confirmed) = beside_changes(PORT, first, saturated);
    let confirmed = confirmed as f64 / began.elapsed().as_secs_f64();
    Ok(Round { quiet, changing, confirmed, own })
}

/// Does `work` while changes are sent to this port, numbered from `first` on. Returns how many were confirmed.
fn beside_changes<T>(port: u16, first: u64, work: impl FnOnce() -> T) -> (T, u64) {
    let (stop, confirmed) = (AtomicBool::new(false), AtomicU64::new(0));
    let done = std::thread::scope(|scope| {
        scope.spawn(|| change(port, first, &stop, &confirmed));
        let done = work();
        stop.store(true, Ordering::Relaxed);
        done
    });
    (done, confirmed.into_inner())
}

/// Sends changes at their pace, and counts those that are confirmed.
fn change(port: u16, first: u64, stop: &AtomicBool, confirmed: &AtomicU64) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_micros(500))).unwrap();
    let name = Name::from_text("k.").unwrap();
    let key = Arc::new(Key::from_base64(&name, tsig::Algorithm::Sha256, SECRET).unwrap());
    let (began, mut sent) = (Instant::now(), 0u64);
    let mut buffer = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * RATE) as u64;
        while sent < due {
            socket.send(&update(first + sent, &key)).unwrap();
            sent += 1;
        }
        while let Ok(len) = socket.recv(&mut buffer) {
            assert!(len > 12 && buffer[3] & 15 == 0, "a change is refused: {:?}", &buffer[..12]);
            confirmed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Gives one name another address: deletes the set, and adds a record.
fn update(number: u64, key: &Arc<Key>) -> Vec<u8> {
    let zone = Name::from_text("mil.lab.").unwrap();
    let owner = Name::from_text(&format!("target{}.c.mil.lab.", number % NAMES)).unwrap();
    let mut out = Vec::new();
    for word in [number as u16, 5 << 11, 1, 0, 2, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(zone.as_wire());
    out.extend_from_slice(&[0, 6, 0, 1]);
    out.extend_from_slice(owner.as_wire());
    // RFC 2136 section 2.5.2: class ANY, TTL 0, no RDATA.
    out.extend_from_slice(&[0, 1, 0, 255, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(owner.as_wire());
    out.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    out.extend_from_slice(&(number as u32).to_be_bytes());
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    tsig::sign(&mut out, key, now);
    out
}
