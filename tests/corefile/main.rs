//! Golden pairs: `NAME.corefile` must give what `NAME.out` says: what `catena check` prints, and its
//! exit code.
//!
//! `UPDATE=1` rewrites the expectations; review the difference. The Corefiles under `platforms` are
//! those that clusters come with: they must load as they are.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The variables that the files name; all others of theirs are unset.
const VARIABLES: [(&str, &str); 11] = [
    ("CATENA_TEST_ZONE", "example.org"),
    ("CATENA_TEST_PORT", "1053"),
    ("CATENA_TEST_UPSTREAM", "192.0.2.1:5353"),
    ("CATENA_TEST_TEXT", "two words"),
    ("CATENA_TEST_BROKEN", "192.0.2.1:x"),
    ("CATENA_TEST_ZONES", "example.org:1053 example.net:1053"),
    ("CATENA_TEST_UPSTREAMS", "192.0.2.1 192.0.2.2"),
    ("CATENA_TEST_OPTION", " max_fails\n3 "),
    ("CATENA_TEST_BLANKS", " \t"),
    ("CATENA_TEST_BRACES", "{ log }"),
    ("CATENA_TEST_SECRET", "c2VjcmV0IG9mIGJvdGg="),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corefile")
}

fn corefiles(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "corefile")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn check(file: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_catena"));
    command.arg("check").args(more).arg("-conf").arg(file.file_name().unwrap());
    command.current_dir(file.parent().unwrap()).envs(VARIABLES);
    command.env_remove("CATENA_TEST_UNSET").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn corefiles_are_read_as_expected() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for file in corefiles(&folder()) {
        let output = check(&file, &[]);
        let code = output.status.code().unwrap();
        let shown = format!("{}{}exit {code}\n", text(&output.stdout), text(&output.stderr));
        let expected = file.with_extension("out");
        if update {
            std::fs::write(&expected, &shown).unwrap();
        }
        let known = std::fs::read_to_string(&expected).unwrap_or_default();
        if shown != known {
            let name = file.file_name().unwrap().to_string_lossy();
            wrong.push(format!("--- {name}\n{known}+++ got\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "not as expected (UPDATE=1 rewrites):\n{}", wrong.join("\n"));
}

/// The secrets of the files begin with the same octets.
#[test]
fn no_message_shows_a_secret() {
    for name in ["secrets.corefile", "secrets-brace.corefile", "secrets-file.corefile"] {
        let output = check(&folder().join(name), &[]);
        let json = check(&folder().join(name), &["--format", "json"]);
        for shown in [output.stdout, output.stderr, json.stdout, json.stderr].map(|it| text(&it)) {
            assert!(!shown.contains("c2Vj"), "{shown}");
        }
        assert_eq!(output.status.code(), Some(1));
    }
}

/// Editors and pipelines mark the file that has the mistake, and know the directive that names it.
#[test]
fn places_for_programs_are_as_expected() {
    let file = folder().join("zone-wrong.corefile");
    let got = text(&check(&file, &["--format", "json"]).stdout);
    let expected = file.with_extension("json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&expected, &got).unwrap();
    }
    let known = std::fs::read_to_string(&expected).unwrap_or_default();
    assert_eq!(got, known, "not as expected (UPDATE=1 rewrites)");
}

/// A plugin that is not built yet is the only mistake that may be told.
#[test]
fn the_corefiles_of_clusters_load() {
    for file in corefiles(&folder().join("platforms")) {
        let output = check(&file, &["--format", "json"]);
        let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let name = file.display();
        let mut missing = 0;
        for finding in findings.as_array().unwrap() {
            let message = finding["message"].as_str().unwrap();
            if message.ends_with("is not in this build") {
                missing += 1;
                continue;
            }
            // The files that clusters mount for their users are not there, and their order of plugins
            // is not that in which they run.
            let harmless = message.starts_with("No files matching import glob pattern: custom/")
                || message.ends_with("although it is written after it");
            assert!(harmless && finding["severity"] == "warning", "{name}: {finding}");
        }
        assert_eq!(output.status.success(), missing == 0, "{name}: {findings}");
    }
}
