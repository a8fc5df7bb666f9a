//! Files that are no sources of the product: the map, manifests, locks, the Makefile.

use crate::repository::{files, none, read, root};

#[test]
fn the_map_is_right() {
    let exists = |path: &str| root().join(path).exists();
    none(map(&read("ARCHITECTURE.md"), exists));
}

/// Every path between backticks exists.
fn map(text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    let path = |span: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        span.contains('/') && !span.starts_with('/') && span.chars().all(plain)
    };
    let missing = spans.filter(path).filter(|path| !exists(path));
    missing.map(|path| format!("ARCHITECTURE.md: `{path}` does not exist")).collect()
}

#[test]
fn decisions_are_listed_once_and_in_order() {
    let list = read("docs/decisions/README.md");
    let link = |line: &str| {
        Some(line.strip_prefix("| [")?.split_once("](")?.1.split_once(')')?.0.to_owned())
    };
    let listed: Vec<String> = list.lines().filter_map(link).collect();
    let file = |path: &String| Some(path.strip_prefix("docs/decisions/")?.to_owned());
    let is_decision = |file: &String| file != "README.md";
    let there: Vec<String> = files().iter().filter_map(file).filter(is_decision).collect();
    assert_eq!(listed, there, "the list, and the files of docs/decisions");
}

#[test]
fn fuzz_targets_are_run() {
    let file = |path: &String| {
        Some(path.strip_prefix("fuzz/fuzz_targets/")?.strip_suffix(".rs")?.to_owned())
    };
    let targets: Vec<String> = files().iter().filter_map(file).collect();
    assert!(!targets.is_empty());
    none(unrun(&targets, &read("Makefile"), &read("fuzz/Cargo.toml")));
}

/// Each target is in the Makefile's list and in the manifest.
fn unrun(targets: &[String], makefile: &str, manifest: &str) -> Vec<String> {
    let list = makefile.lines().find_map(|line| line.strip_prefix("FUZZ_TARGETS :="));
    let listed: Vec<&str> = list.unwrap_or_default().split_whitespace().collect();
    let missing = targets.iter().filter(|target| {
        !listed.contains(&target.as_str()) || !manifest.contains(&format!("name = \"{target}\""))
    });
    missing.map(|target| format!("fuzz target `{target}` is not run by `make fuzz`")).collect()
}

#[test]
fn dependencies_say_what_they_are_for() {
    none(unexplained(&read("Cargo.toml")));
}

/// In `[workspace.dependencies]` each crate has a comment above it; our own rooms share one.
fn unexplained(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut above = "";
    let mut complaints = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        } else if inside && line.contains(" = ") && !line.starts_with('#') {
            let ours = line.contains("path = ") && above.contains("path = ");
            if !above.starts_with('#') && !ours {
                complaints.push(format!("Cargo.toml: why is this here? {line}"));
            }
        }
        above = line;
    }
    complaints
}

#[test]
fn one_crypto_provider() {
    none(locked(&read("Cargo.lock")));
    none(locked(&read("fuzz/Cargo.lock")));
}

fn locked(lock: &str) -> Vec<String> {
    let banned = ["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls"];
    let found = banned.iter().filter(|name| lock.contains(&format!("name = \"{name}\"\n")));
    found.map(|name| format!("`{name}` came in: see `cargo tree -i {name}`")).collect()
}

#[test]
fn no_path_of_one_machine() {
    let mut complaints = Vec::new();
    for path in files() {
        let text = read(&path);
        complaints.extend(local(&path, &text));
    }
    none(complaints);
}

fn local(path: &str, text: &str) -> Vec<String> {
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/fa", "rm/")];
    let found = text.lines().enumerate().filter(|(_, line)| {
        places.iter().any(|place| {
            // `../work/` or `src/root/` are other paths.
            line.match_indices(place).any(|(at, _)| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}>".contains(c))
            })
        })
    });
    found.map(|(index, line)| format!("{path}:{}: {}", index + 1, line.trim())).collect()
}

mod fires {
    use super::*;

    #[test]
    fn on_other_files() {
        assert_eq!(map("see `src/gone.rs`, `/metrics` and `a::b`", |_| false).len(), 1);
        let targets = ["query".to_owned()];
        assert!(unrun(&targets, "FUZZ_TARGETS := query x\n", "name = \"query\"").is_empty());
        assert_eq!(unrun(&targets, "FUZZ_TARGETS := x\n", "name = \"query\"").len(), 1);
        let head = "[workspace.dependencies]\n";
        assert_eq!(unexplained(&format!("{head}a = \"1\"\n")).len(), 1);
        assert!(unexplained(&format!("{head}# why\na = \"1\"\n")).is_empty());
        assert_eq!(locked("name = \"openssl-sys\"\n").len(), 1);
        assert_eq!(local("x", concat!("cd /wo", "rk/main")).len(), 1);
        assert!(local("x", concat!("cd a/wo", "rk/main")).is_empty());
    }
}
