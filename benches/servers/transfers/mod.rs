//! Zone transfers out of a zone of 1,000,000 records (AXFR), beside knotd: wall time, CPU time and octets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wire::Rtype;

use super::data::{self, Set};
use super::peers::Recipe;
use super::server::{Server, find, write};
use super::{PORT, Settings};

/// Transfers of one server in one round.
const TRANSFERS: usize = 5;

/// One transfer.
#[derive(Clone, Copy)]
struct Taken {
    wall: Duration,
    octets: usize,
    messages: usize,
    records: usize,
}

/// The figures of one server in one round: for one transfer.
struct Figures {
    wall: f64,
    cpu: f64,
    last: Taken,
}

/// Measures all servers in turn, in each round.
pub(crate) fn run(settings: &Settings) {
    let set = data::zone(&settings.dir, "mil.lab.", 1_000_000, 1);
    let mut recipes = vec![catena(&settings.binary, &settings.dir, &set, "catena")];
    for (at, other) in settings.against.iter().enumerate() {
        recipes.push(catena(other, &settings.dir, &set, &format!("other {}", at + 1)));
    }
    recipes.extend(find("knotd").map(|program| knotd(program, &settings.dir, &set)));
    println!("\n## transfers out: AXFR of 1,000,000 names\n");
    println!("| server | wall ms (range) | CPU ms (range) | octets | messages | records |");
    println!("|---|---|---|---|---|---|");
    let mut all: Vec<Vec<Figures>> = recipes.iter().map(|_| Vec::new()).collect();
    for _ in 0..settings.rounds {
        for (recipe, figures) in recipes.iter().zip(&mut all) {
            match measure(recipe, &set) {
                Ok(one) => figures.push(one),
                Err(problem) => println!("{}: {problem}", recipe.name),
            }
        }
    }
    for (recipe, figures) in recipes.iter().zip(&all) {
        let Some(Figures { last, .. }) = figures.last() else { continue };
        let (wall, cpu) = (spread(figures, |one| one.wall), spread(figures, |one| one.cpu));
        let Taken { octets, messages, records, .. } = last;
        println!("| {} | {wall} | {cpu} | {octets} | {messages} | {records} |", recipe.name);
    }
}

/// The median and the range, in milliseconds.
fn spread(figures: &[Figures], of: impl Fn(&Figures) -> f64) -> String {
    let mut all: Vec<f64> = figures.iter().map(|one| of(one) * 1000.0).collect();
    all.sort_by(f64::total_cmp);
    match (all.first(), all.get(all.len() / 2), all.last()) {
        (Some(least), Some(median), Some(most)) => {
            format!("{median:.0} ({least:.0}-{most:.0})")
        }
        _ => String::new(),
    }
}

fn measure(recipe: &Recipe, set: &Set) -> Result<Figures, String> {
    let probe = data::query(set.origin, Rtype::SOA);
    let server =
        Server::start(&recipe.program, &recipe.arguments, &recipe.environment, PORT, &probe)?;
    let mut last = take(set.origin)?;
    let (before, mut wall) = (server.cpu(), Duration::MAX);
    for _ in 0..TRANSFERS {
        last = take(set.origin)?;
        wall = wall.min(last.wall);
    }
    let after = server.cpu();
    let cpu = after.user + after.system - before.user - before.system;
    Ok(Figures { wall: wall.as_secs_f64(), cpu: cpu / TRANSFERS as f64, last })
}

/// Reads a whole transfer, and nothing but the counts of its messages.
fn take(origin: &str) -> Result<Taken, String> {
    let words = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", PORT)).map_err(words)?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(words)?;
    let query = data::query(origin, Rtype::AXFR);
    let begin = Instant::now();
    stream.write_all(&(query.len() as u16).to_be_bytes()).map_err(words)?;
    stream.write_all(&query).map_err(words)?;
    let (mut buffer, mut filled) = (vec![0; 4 << 20], 0);
    let mut taken = Taken { wall: Duration::ZERO, octets: 0, messages: 0, records: 0 };
    loop {
        let read = stream.read(&mut buffer[filled..]).map_err(words)?;
        if read == 0 {
            return Err(format!("the connection ended after {} records", taken.records));
        }
        filled += read;
        let mut at = 0;
        while let Some(&[high, low]) = buffer[at..filled].first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes([high, low]));
            let Some(message) = buffer[..filled].get(at + 2..at + 2 + len) else { break };
            if message[3] & 15 != 0 {
                return Err(format!("rcode {}", message[3] & 15));
            }
            taken.messages += 1;
            taken.records += usize::from(u16::from_be_bytes([message[6], message[7]]));
            taken.octets += 2 + len;
            at += 2 + len;
            if ends_in_soa(message) && (taken.messages > 1 || taken.records > 1) {
                taken.wall = begin.elapsed();
                return Ok(taken);
            }
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
}

/// Whether the last record is the SOA record of the bench zones: its last three numbers are 600, 86400 and
/// 3600.
fn ends_in_soa(message: &[u8]) -> bool {
    message.ends_with(&[0, 0, 2, 88, 0, 1, 81, 128, 0, 0, 14, 16])
}

fn catena(program: &Path, dir: &Path, set: &Set, name: &str) -> Recipe {
    let (origin, zone) = (set.origin, set.zone.display());
    let corefile = write(
        &dir.join("Corefile.transfers"),
        &format!(
            "{origin}:{PORT} {{\n    bind 127.0.0.1\n    errors\n    prometheus 127.0.0.1:0\n    transfer \
             {{\n        to *\n    }}\n    file {zone}\n}}\n"
        ),
    );
    Recipe {
        name: name.into(),
        program: program.to_owned(),
        arguments: vec!["-conf".into(), corefile],
        environment: vec![("GOMAXPROCS", "1")],
    }
}

fn knotd(program: PathBuf, dir: &Path, set: &Set) -> Recipe {
    let (origin, zone, dir_text) = (set.origin, set.zone.display(), dir.display());
    let config = write(
        &dir.join("knot.transfers.conf"),
        &format!(
            "server:\n    listen: 127.0.0.1@{PORT}\n    rundir: {dir_text}\n    tcp-workers: 1\n    \
             udp-workers: 1\n    background-workers: 1\nlog:\n  - target: stderr\n    any: \
             error\ndatabase:\n    storage: {dir_text}\nacl:\n  - id: all\n    address: 127.0.0.0/8\n    \
             action: transfer\nzone:\n  - domain: {origin}\n    file: {zone}\n    storage: {dir_text}\n    \
             zonefile-sync: -1\n    zonefile-load: whole\n    journal-content: none\n    acl: all\n"
        ),
    );
    Recipe {
        name: "knotd".into(),
        program,
        arguments: vec!["-c".into(), config],
        environment: Vec::new(),
    }
}
