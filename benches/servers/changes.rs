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
    let ratio = |what: fn(&Figures) -> f64| {
        median(rounds.iter().map(|round| what(&round.changing) / what(&round.quiet)).collect())
    };
    let confirmed = median(rounds.iter().map(|round| round.confirmed).collect());
    println!(
        "\nchanging beside at rest: {:.3} times the CPU time of a query, the changes' own included; {:.2} times \
         its p99; {confirmed:.0} changes a second confirmed",
        ratio(Figures::cpu),
        ratio(|f| f.p99_us)
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
    let quiet = measure(&server, queries, 0, Shape::saturating(time));
    let (stop, confirmed) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    let changing = std::thread::scope(|scope| {
        scope.spawn(|| change(&stop, &confirmed));
        let changing = measure(&server, queries, 0, Shape::saturating(time));
        stop.store(true, Ordering::Relaxed);
        changing
    });
    let confirmed = confirmed.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    Ok(Round { quiet, changing, confirmed })
}

/// Sends changes at their pace, and counts those that are confirmed.
fn change(stop: &AtomicBool, confirmed: &AtomicU64) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", PORT)).unwrap();
    socket.set_read_timeout(Some(Duration::from_micros(500))).unwrap();
    let name = Name::from_text("k.").unwrap();
    let key = Arc::new(Key::from_base64(&name, tsig::Algorithm::Sha256, SECRET).unwrap());
    let (began, mut sent) = (Instant::now(), 0u64);
    let mut buffer = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * RATE) as u64;
        while sent < due {
            socket.send(&update(sent, &key)).unwrap();
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
