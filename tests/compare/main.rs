//! `make compare`: every scenario that both load, put to this server and to a real CoreDNS.
//!
//! Questions go over real sockets on loopback, upstreams are served there too, and time is real: a
//! scenario is left where it needs simulated time or another client's address. Each question is asked
//! as it stands, and when all are asked, again over TCP and with DO. What differs is printed; what the
//! tables of docs/differences.md tell of is counted apart.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![expect(clippy::print_stdout, reason = "the differences are what was asked for")]
#![allow(clippy::unwrap_used, reason = "a comparison that cannot be set up has failed")]

#[allow(dead_code, reason = "the runner of scenarios uses all of it")]
#[path = "../scenarios/ask.rs"]
mod ask;
mod known;
#[allow(dead_code, reason = "the runner of scenarios uses all of it")]
#[path = "../scenarios/markdown.rs"]
mod markdown;
#[path = "../scenarios/mmdb.rs"]
mod mmdb;
mod peer;
mod play;
#[allow(dead_code, reason = "the runner of scenarios uses all of it")]
#[path = "../scenarios/upstream.rs"]
mod upstream;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use known::Known;
use play::Answer;

/// How long a reply may take at first: most that are later never come.
const SHORT: Duration = Duration::from_millis(1500);
/// How long it may take if one of the two was silent: more than the five seconds that CoreDNS looks
/// for an upstream, and the last one's two seconds.
const LONG: Duration = Duration::from_millis(7500);

/// What came of all questions.
#[derive(Default)]
struct Totals {
    corefiles: usize,
    not_loaded: usize,
    questions: usize,
    known: usize,
    different: usize,
}

/// Scenarios with upstreams that do not speak DNS: those that are played here do.
const ELSEWHERE: [&str; 1] = ["plugins/grpc/"];

fn main() -> ExitCode {
    let Some(coredns) = find("coredns") else {
        eprintln!("no `coredns` on PATH: build one from its source outside of this repository");
        return ExitCode::FAILURE;
    };
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_catena"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known = Known::read(&root.join("docs/differences.md"));
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut totals = Totals::default();
    let mut used = BTreeSet::new();
    for path in files(root) {
        let file = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        for scenario in markdown::parse(&text).unwrap() {
            let title = format!("{file} # {}", scenario.title);
            if !title.contains(&only) || ELSEWHERE.iter().any(|one| title.starts_with(one)) {
                continue;
            }
            // One after the other: both want the same ports.
            let play = |patience| {
                let mine = play::play(&ours, &scenario, patience).ok()?;
                Some((mine, play::play(&coredns, &scenario, patience)))
            };
            let Some((mut mine, mut theirs)) = play(SHORT) else { continue };
            if theirs.as_ref().is_ok_and(|theirs| one_is_silent(&mine, theirs)) {
                (mine, theirs) = play(LONG).unwrap();
            }
            let theirs = match theirs {
                Ok(theirs) => theirs,
                Err(why) => {
                    totals.not_loaded += 1;
                    println!("{title}\n  CoreDNS does not load it: {why}");
                    continue;
                }
            };
            totals.corefiles += 1;
            compare(&title, &mine, &theirs, &known, &mut used, &mut totals);
        }
    }
    for row in known.unused(&used).filter(|_| only.is_empty()) {
        println!("docs/differences.md tells of a difference that is none: {row}");
        totals.different += 1;
    }
    println!(
        "compare: {} questions through {} Corefiles ({} more are ours alone): {} the same, {} differ as \
         docs/differences.md says, {} differ otherwise",
        totals.questions,
        totals.corefiles,
        totals.not_loaded,
        totals.questions - totals.known - totals.different,
        totals.known,
        totals.different,
    );
    if totals.different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether one answered what the other did not.
fn one_is_silent(mine: &[(String, Answer)], theirs: &[(String, Answer)]) -> bool {
    mine.iter().zip(theirs).any(|((_, mine), (_, theirs))| mine.is_silence() != theirs.is_silence())
}

fn compare(
    title: &str,
    mine: &[(String, Answer)],
    theirs: &[(String, Answer)],
    known: &Known,
    used: &mut BTreeSet<usize>,
    totals: &mut Totals,
) {
    for ((question, mine), (_, theirs)) in mine.iter().zip(theirs) {
        totals.questions += 1;
        let lines = mine.differences(theirs);
        if lines.is_empty() {
            continue;
        }
        let lines = known.unknown(title, question, lines, used);
        if lines.is_empty() {
            totals.known += 1;
            continue;
        }
        totals.different += 1;
        println!("{title}\n  > {question}");
        for line in lines {
            println!("    {line}");
        }
    }
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join("plugins"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("tests.md"))
        .filter(|path| path.is_file())
        .collect();
    let own = std::fs::read_dir(root.join("tests/scenarios")).unwrap();
    let own = own.map(|entry| entry.unwrap().path());
    files.extend(own.filter(|path| path.extension().is_some_and(|it| it == "md")));
    files.sort();
    files
}

/// A program on PATH.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
