//! The files of the repository, and what checkers of text share.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(crate) const PRODUCT: [&str; 2] = ["src/", "plugins/"];
pub(crate) const EVERYTHING: [&str; 5] = ["src/", "plugins/", "tests/", "benches/", "fuzz/"];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of the repository (not what was built), as paths from its root, sorted.
pub(crate) fn files() -> Vec<String> {
    const BUILT: [&str; 6] =
        ["target", ".git", "fuzz/target", "fuzz/corpus", "fuzz/artifacts", "bench-data"];
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().expect("a kind");
            let shown = path.to_str().expect("plain names").to_owned();
            if BUILT.contains(&shown.as_str()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.push(shown);
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn read(path: &str) -> String {
    let bytes = std::fs::read(root().join(path)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The Rust sources under `folders`.
pub(crate) fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let inside = |path: &String| folders.iter().any(|folder| path.starts_with(folder));
    let rust = files().into_iter().filter(|path| path.ends_with(".rs") && inside(path));
    rust.map(|path| (path.clone(), read(&path))).collect()
}

/// The sources of the product without the files of tests.
pub(crate) fn product_sources() -> Vec<(String, String)> {
    let mut all = sources(&PRODUCT);
    all.retain(|(path, _)| !path.contains("/tests") && !path.contains("/benches/"));
    all
}

/// The folders of plugins.
pub(crate) fn plugins() -> BTreeSet<String> {
    let inside = |path: &String| Some(path.strip_prefix("plugins/")?.split_once('/')?.0.to_owned());
    files().iter().filter_map(inside).collect()
}

/// Fails with all complaints.
pub(crate) fn none(complaints: Vec<String>) {
    let count = complaints.len();
    assert!(count == 0, "{count} complaints:\n{}", complaints.join("\n"));
}

/// Runs a checker of one source over all.
pub(crate) fn each(
    sources: Vec<(String, String)>,
    check: impl Fn(&str, &str) -> Vec<(usize, String)>,
) -> Vec<String> {
    let of = |(path, text): (String, String)| {
        let complaints = check(&path, &text).into_iter();
        complaints.map(|(line, what)| format!("{path}:{line}: {what}")).collect::<Vec<_>>()
    };
    sources.into_iter().flat_map(of).collect()
}

/// Lines with their numbers, without comments.
pub(crate) fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| {
        let comment = line.find("//").filter(|&at| !line[..at].ends_with(':'));
        (index + 1, &line[..comment.unwrap_or(line.len())])
    })
}

/// Whether `word` occurs in `line` and is not a part of a longer word.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(letter)
            && !line[at + word.len()..].chars().next().is_some_and(letter)
    })
}

/// The text without the unit tests at its bottom.
pub(crate) fn product(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

pub(crate) fn lines_with(text: &str, words: &[String], why: &str) -> Vec<(usize, String)> {
    let found = code(text).filter_map(|(number, line)| {
        let word = words.iter().find(|word| has_word(line, word))?;
        Some((number, format!("`{word}`: {why}")))
    });
    found.collect()
}
