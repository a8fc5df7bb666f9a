//! Runs every scenario: `plugins/*/tests.md`, `tests/scenarios/*.md` and the worked examples of
//! `docs`, and loads every `corefile` example of every README and guide.
//!
//! A scenario is a Corefile, files, upstreams, questions and what must come back, in Markdown. Time
//! is simulated and nothing leaves the process. `UPDATE=1` rewrites the expectations; `ONLY=text`
//! runs the scenarios whose file or title contains the text.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a scenario that cannot be set up has failed")]

mod ask;
mod contributing;
#[allow(unreachable_pub, reason = "in the repository it is a module of `plugins`")]
mod hello;
mod markdown;
mod mmdb;
mod run;
mod upstream;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The log's capture is the process's: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The Markdown files named `name` in the plugins' folders.
fn of_plugins(name: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(root().join("plugins"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join(name))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn scenarios() {
    let _alone = alone();
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut files = of_plugins("tests.md");
    let own = std::fs::read_dir(root().join("tests/scenarios")).unwrap();
    let mut more: Vec<PathBuf> = own
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    more.sort();
    files.append(&mut more);
    files.push(root().join("docs/split-horizon.md"));
    let (mut ran, mut failures) = (0, Vec::new());
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        let scenarios = markdown::parse(&text).unwrap_or_else(|problem| {
            panic!("{}:{problem}", shown(path));
        });
        let mut updates = Vec::new();
        for scenario in scenarios {
            let title = format!("{} # {}", shown(path), scenario.title);
            if !title.contains(&only) {
                continue;
            }
            ran += 1;
            match run::run(&scenario, &mut updates) {
                Ok(()) => {}
                Err(problem) => failures.push(format!("{title}\n{problem}")),
            }
        }
        if std::env::var_os("UPDATE").is_some() {
            let updated = markdown::replace(&text, updates);
            if updated != text {
                std::fs::write(path, updated).unwrap();
            }
        }
    }
    assert!(ran > 0 || !only.is_empty(), "there are scenarios");
    let count = failures.len();
    assert!(count == 0, "{count} of {ran} scenarios fail:\n\n{}", failures.join("\n\n"));
    println!("{ran} scenarios");
}

#[test]
fn readme_examples_load() {
    let _alone = alone();
    let mut readmes = of_plugins("README.md");
    readmes.push(root().join("README.md"));
    for guide in
        ["differences.md", "coredns.md", "authority.md", "split-horizon.md", "encrypted.md"]
    {
        readmes.push(root().join("docs").join(guide));
    }
    let mut count = 0;
    let mut failures = Vec::new();
    for path in readmes.iter().filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(path).unwrap();
        for (line, corefile) in markdown::blocks(&text, "corefile") {
            count += 1;
            if let Err(problem) = run::load_only(&corefile) {
                failures.push(format!("{}:{line}\n{problem}", shown(path)));
            }
        }
    }
    assert!(count > 0, "READMEs have examples");
    let failed = failures.len();
    assert!(failed == 0, "{failed} of {count} examples fail:\n\n{}", failures.join("\n\n"));
}

/// The guide for operators lists the directives of CoreDNS that this build lacks.
#[test]
fn the_guide_lists_what_is_not_built() {
    let path = root().join("docs/coredns.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let known = plugins::REGISTRY.iter().filter_map(|entry| match entry {
        chain::Entry::Known(name) => Some(format!("`{name}`")),
        chain::Entry::Built(_) => None,
    });
    let mut lines = vec![String::new()];
    for name in known {
        if lines.last().unwrap().len() + name.len() > 105 {
            lines.push(String::new());
        }
        let line = lines.last_mut().unwrap();
        *line += &format!("{}{name},", if line.is_empty() { "" } else { " " });
    }
    let list = lines.join("\n").trim_end_matches(',').to_owned() + ".";
    let lacks = list.contains("`kubernetes`");
    assert_eq!(text.contains("\nWhile `kubernetes` is in this list"), lacks, "that paragraph");
    let (before, rest) = text.split_once("writes them. -->\n").unwrap();
    let (listed, after) = rest.split_once("\n\n").unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, format!("{before}writes them. -->\n{list}\n\n{after}")).unwrap();
    } else {
        assert_eq!(listed, list, "UPDATE=1 writes it");
    }
}
