//! Black-box cases that others wrote, if they are at hand: a `cases` folder beside the checkout.
//! `CASES=dir` names another one, `SHOW=n` shows more failures.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

mod store_kit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use store_kit::{Record, ask, load, name, record, same, show};
use wire::Rtype;

fn cases() -> Option<PathBuf> {
    let root = std::env::var_os("CASES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases"),
        PathBuf::from,
    );
    root.is_dir().then_some(root)
}

#[derive(Default)]
struct Score {
    asked: usize,
    passed: usize,
    additional: usize,
    failures: Vec<String>,
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn files(suite: &str, prefix: &str) -> Vec<PathBuf> {
    let Some(root) = cases() else {
        return Vec::new();
    };
    let mut all: Vec<PathBuf> = std::fs::read_dir(root.join(suite))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        .collect();
    all.sort();
    all
}

fn lines(value: &Value) -> Option<Vec<Record>> {
    let list = value.as_array()?;
    Some(list.iter().map(|line| record(line.as_str().unwrap())).collect())
}

/// The levels of the runner that came with the cases: rcode and AA, answer, authority (left out
/// when both answers hold records, unless strict), additional.
fn judge(zone: &catena_zone::Zone, query: &Value, ttls: bool) -> (u8, String) {
    let qname = name(query["qname"].as_str().unwrap());
    let qtype = Rtype::from_text(query["qtype"].as_str().unwrap()).unwrap();
    let got = ask(zone, &qname, qtype, query["do"].as_bool().unwrap_or(false));
    let expected = &query["expected"];
    let title = format!("{qname} {qtype} do={} {:?}", query["do"], got.outcome);
    if expected["rcode"].as_str() != Some(&got.rcode.to_string()) {
        return (0, format!("{title}: rcode {}, want {}", got.rcode, expected["rcode"]));
    }
    if let Some(aa) = expected["aa"].as_bool()
        && aa != got.aa
    {
        return (0, format!("{title}: aa {}, want {aa}", got.aa));
    }
    let strict = expected["strict_authority"].as_bool().unwrap_or(false);
    let both = !got.sections[0].is_empty()
        && expected["answer"].as_array().is_some_and(|list| !list.is_empty());
    for (level, section) in ["answer", "authority", "additional"].into_iter().enumerate() {
        let Some(want) = lines(&expected[section]) else {
            continue;
        };
        if section == "authority" && both && !strict {
            continue;
        }
        if !same(&want, &got.sections[level], ttls) {
            let (got, want) = (show(&got.sections[level]), show(&want));
            return (
                1 + level as u8,
                format!("{title}: {section}\n  got  {got:#?}\n  want {want:#?}"),
            );
        }
    }
    (4, String::new())
}

fn run(suite: &str, prefix: &str) -> BTreeMap<String, Score> {
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    for file in files(suite, prefix) {
        let case = read(&file);
        let id = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let (origin, text) = match case["zone"].as_str() {
            Some(text) => (case["origin"].as_str().unwrap().to_owned(), text.to_owned()),
            None => {
                let Some(zone) = corefile_zone(&case) else {
                    continue;
                };
                zone
            }
        };
        let loaded = load(&origin, &text);
        let verdict = case["load"].as_str().unwrap_or("accept");
        let score = scores.entry(format!("load {verdict}")).or_default();
        score.asked += 1;
        let wrong = match (&loaded, verdict) {
            (Ok(_), "reject") => Some("loaded".to_owned()),
            (Err(errors), "accept") => Some(errors.join("; ")),
            _ => None,
        };
        match wrong {
            Some(why) => score.failures.push(format!("{id}: want {verdict}: {why}")),
            None => score.passed += 1,
        }
        let Ok(zone) = loaded else { continue };
        for query in case["queries"].as_array().unwrap() {
            if query["qclass"].as_str().is_some_and(|class| class != "IN") {
                continue;
            }
            let confidence = query["confidence"].as_str().unwrap_or("all").to_owned();
            let score = scores.entry(confidence).or_default();
            score.asked += 1;
            let (mut level, why) = judge(&zone, query, false);
            if query["confidence"] == "split" {
                for other in query["alternatives"].as_array().into_iter().flatten() {
                    let mut query = query.clone();
                    query["expected"] = other["expected"].clone();
                    level = level.max(judge(&zone, &query, false).0);
                }
            }
            score.passed += usize::from(level >= 3);
            score.additional += usize::from(level == 4);
            if level < 4 {
                score.failures.push(format!("{id} [{level}] {why}"));
            }
        }
    }
    report(suite, &scores);
    scores
}

/// Origin and text of the zone in a Corefile case with one `file`.
fn corefile_zone(case: &Value) -> Option<(String, String)> {
    let corefile = case["corefile"].as_str()?;
    let files = case["files"].as_object()?;
    let line = corefile.lines().find(|line| line.trim().starts_with("file "))?;
    let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "{").collect();
    let (_, text) = files.iter().find(|(file, _)| words[1].ends_with(file.as_str()))?;
    let key = corefile.split([' ', ':', '{']).next().unwrap();
    let origin = words.get(2).copied().unwrap_or(key);
    Some((origin.to_owned(), text.as_str()?.to_owned()))
}

fn report(suite: &str, scores: &BTreeMap<String, Score>) {
    let most = std::env::var("SHOW").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    for (kind, score) in scores {
        let (asked, passed, additional) = (score.asked, score.passed, score.additional);
        println!("{suite} {kind}: {passed} of {asked}, with additional {additional}");
        for failure in score.failures.iter().take(most) {
            println!("  {failure}");
        }
    }
}

#[test]
fn ferret() {
    let scores = run("ferret", "");
    hold(&scores, &["unanimous", "majority", "split", "load accept"]);
}

/// All of some kinds of cases must pass.
fn hold(scores: &BTreeMap<String, Score>, kinds: &[&str]) {
    for kind in kinds {
        if let Some(score) = scores.get(*kind) {
            assert_eq!(score.passed, score.asked, "{kind}");
        }
    }
}

#[test]
fn ferret_invalid() {
    let scores = run("ferret-invalid", "");
    hold(&scores, &["unanimous", "load accept", "load reject"]);
}

#[test]
fn signed() {
    let scores = run("signed", "");
    hold(&scores, &["unanimous", "load accept"]);
}

#[test]
fn coredns_file() {
    let scores = run("coredns", "file-");
    hold(&scores, &["load accept"]);
    // Not here: `fallthrough` is the plugin's, and for NODATA from a wildcard CoreDNS leaves out
    // the NSEC that covers the name asked for, which RFC 4035 section 3.1.3.4 wants.
    let elsewhere = |failure: &&String| {
        !failure.contains("TestLookupFallthrough") && !failure.contains("wild.dnssex.nl. SRV")
    };
    for score in scores.values() {
        assert_eq!(score.failures.iter().filter(elsewhere).collect::<Vec<_>>(), [""; 0]);
    }
}

#[test]
fn differential() {
    let Some(root) = cases() else { return };
    let all = read(&root.join("differential/answers.json"));
    let mut score = Score::default();
    for scenario in all.as_array().unwrap() {
        if !matches!(scenario["name"].as_str().unwrap(), "file-plain") {
            continue;
        }
        let zone = load("example.org.", scenario["files"]["db"].as_str().unwrap()).unwrap();
        let queries = scenario["queries"].as_array().unwrap();
        for (line, expected) in queries.iter().zip(scenario["answers"].as_array().unwrap()) {
            let words: Vec<&str> = line.as_str().unwrap().split(' ').collect();
            let other = words.iter().any(|word| *word == "chaos" || word.starts_with("opcode"));
            let outside = !name(words[0]).is_under(&name("example.org."));
            let flags = expected["flags"].as_str().unwrap_or("");
            let cut = flags.split(' ').any(|flag| flag == "tc");
            if other || outside || cut || words[1].ends_with("XFR") {
                continue;
            }
            let mut expected = expected.clone();
            expected["aa"] = Value::from(flags.split(' ').any(|flag| flag == "aa"));
            expected["strict_authority"] = Value::from(true);
            let query = serde_json::json!({
                "qname": words[0], "qtype": words[1], "do": words.contains(&"do"),
                "expected": expected,
            });
            score.asked += 1;
            let (level, why) = judge(&zone, &query, true);
            score.passed += usize::from(level >= 3);
            score.additional += usize::from(level == 4);
            if level < 4 {
                score.failures.push(why);
            }
        }
    }
    report("differential", &BTreeMap::from([("file-plain".to_owned(), score)]));
}
