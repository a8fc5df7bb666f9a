//! The shape of sources: lengths, folders, open ends, lints.

use std::collections::BTreeMap;

use crate::repository::{EVERYTHING, each, has_word, none, product_sources, read, sources};

const MAX_LINES: usize = 600;

#[test]
fn files_are_short() {
    none(each(product_sources(), |_, text| long(text)));
}

fn long(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().count();
    if lines <= MAX_LINES {
        return Vec::new();
    }
    vec![(lines, format!("more than {MAX_LINES} lines: split by concept"))]
}

const MAX_FILES: usize = 12;

#[test]
fn folders_are_rooms() {
    let paths: Vec<String> = product_sources().into_iter().map(|(path, _)| path).collect();
    none(crowded(&paths));
}

/// A folder has at most twelve sources side by side.
fn crowded(paths: &[String]) -> Vec<String> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for path in paths {
        *folders.entry(path.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default() += 1;
    }
    folders.retain(|_, count| *count > MAX_FILES);
    let shown = |(folder, count)| format!("{folder}: {count} sources, more than {MAX_FILES}");
    folders.into_iter().map(shown).collect()
}

#[test]
fn todos_name_an_issue() {
    none(each(sources(&EVERYTHING), |_, text| todos(text)));
}

fn todos(text: &str) -> Vec<(usize, String)> {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let Some(word) = words.iter().find(|word| has_word(line, word)) else { return false };
        let behind = line.split(word).nth(1).unwrap_or_default();
        !behind
            .strip_prefix("(#")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    lines.map(|(index, _)| (index + 1, "name the issue, as in (#12)".to_owned())).collect()
}

#[test]
fn rooms_with_unsafe_code_have_the_lints_of_the_others() {
    for own in ["src/sys/Cargo.toml", "src/wire/Cargo.toml"] {
        assert_eq!(lints(&read(own)), lints(&read("Cargo.toml")), "{own}");
    }
}

/// The tables of lints of a manifest, with unsafe code only denied.
fn lints(manifest: &str) -> String {
    let text = manifest.replace("[workspace.lints", "[lints").replace("forbid", "deny");
    let table = text.split("[lints.rust]").nth(1).and_then(|rest| rest.split("[package]").next());
    table.expect("tables of lints").trim().to_owned()
}

mod fires {
    use super::*;

    #[test]
    fn on_shapes() {
        assert_eq!(long(&"\n".repeat(601)).len(), 1);
        assert!(long(&"\n".repeat(600)).is_empty());
        let paths = |count: usize| -> Vec<String> {
            (0..count).map(|number| format!("src/a/{number}.rs")).collect()
        };
        assert_eq!(crowded(&paths(13)).len(), 1);
        assert!(crowded(&paths(12)).is_empty());
        assert_eq!(todos(concat!("// TO", "DO: later")).len(), 1);
        assert!(todos(concat!("// TO", "DO(#12): later")).is_empty());
        let table = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n\n[package]\n";
        assert_eq!(lints(table), lints("[lints.rust]\nunsafe_code = \"deny\"\n"));
    }
}
