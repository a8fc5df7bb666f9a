//! The house rules, checked: one test per rule, and for each checker a proof that it fires.
//!
//! A checker is a function from text to complaints. The tests feed it the repository; `fires` feeds
//! it something bad.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

// --- the repository

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of the repository (not what was built), as paths from its root, sorted.
fn files() -> Vec<String> {
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

fn read(path: &str) -> String {
    let bytes = std::fs::read(root().join(path)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The Rust sources under `folders`.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let inside = |path: &String| folders.iter().any(|folder| path.starts_with(folder));
    let rust = files().into_iter().filter(|path| path.ends_with(".rs") && inside(path));
    rust.map(|path| (path.clone(), read(&path))).collect()
}

const PRODUCT: [&str; 2] = ["src/", "plugins/"];
const EVERYTHING: [&str; 5] = ["src/", "plugins/", "tests/", "benches/", "fuzz/"];

/// The folders of plugins.
fn plugins() -> BTreeSet<String> {
    let inside = |path: &String| Some(path.strip_prefix("plugins/")?.split_once('/')?.0.to_owned());
    files().iter().filter_map(inside).collect()
}

/// Fails with all complaints.
fn none(complaints: Vec<String>) {
    let count = complaints.len();
    assert!(count == 0, "{count} complaints:\n{}", complaints.join("\n"));
}

/// Runs a checker of one source over all.
fn each(
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
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| {
        let comment = line.find("//").filter(|&at| !line[..at].ends_with(':'));
        (index + 1, &line[..comment.unwrap_or(line.len())])
    })
}

/// Whether `word` stands in `line` and is not a part of a longer word.
fn has_word(line: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(letter)
            && !line[at + word.len()..].chars().next().is_some_and(letter)
    })
}

/// The text without the unit tests at its bottom.
fn product(text: &str) -> &str {
    text.split("\n#[cfg(test)]\n").next().unwrap_or(text)
}

fn lines_with(text: &str, words: &[String], why: &str) -> Vec<(usize, String)> {
    let found = code(text).filter_map(|(number, line)| {
        let word = words.iter().find(|word| has_word(line, word))?;
        Some((number, format!("`{word}`: {why}")))
    });
    found.collect()
}

// --- plugin folders

#[test]
fn plugin_folders_are_complete() {
    let all: BTreeSet<String> = files().into_iter().collect();
    let registry = read("plugins/lib.rs");
    let mut complaints = Vec::new();
    for plugin in plugins() {
        let path = |name: &str| format!("plugins/{plugin}/{name}");
        let readme = read(&path("README.md"));
        let has = |name: &str| all.contains(&path(name));
        complaints.extend(folder(&plugin, &readme, has, &registry));
    }
    none(complaints);
}

/// README with its sections in order, `mod.rs`, `tests.md`, `config.rs` where there are arguments,
/// a line in the registry.
fn folder(name: &str, readme: &str, has: impl Fn(&str) -> bool, registry: &str) -> Vec<String> {
    let mut wanted = vec!["README.md", "mod.rs", "tests.md"];
    if takes_arguments(name, readme) {
        wanted.push("config.rs");
    }
    let mut complaints: Vec<String> = wanted
        .into_iter()
        .filter(|file| !has(file))
        .map(|file| format!("plugins/{name}: {file} is missing"))
        .collect();
    let headings: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut places = Vec::new();
    for section in ["Name", "Description", "Syntax", "Examples"] {
        match headings.iter().position(|heading| heading.trim() == section) {
            Some(place) => places.push(place),
            None => complaints.push(format!("plugins/{name}/README.md: no section {section}")),
        }
    }
    if !places.is_sorted() {
        complaints.push(format!("plugins/{name}/README.md: sections are out of order"));
    }
    if !registry.contains(&format!("(&{name}::PLUGIN)"))
        && !registry.contains(&format!("(&r#{name}::PLUGIN)"))
        && !registry.contains(&format!("(&{name}_::PLUGIN)"))
    {
        complaints.push(format!("plugins/{name}: no line in the registry"));
    }
    complaints
}

/// Whether the Syntax section shows more than the bare name.
fn takes_arguments(name: &str, readme: &str) -> bool {
    let syntax = readme.split("\n## ").find(|section| section.starts_with("Syntax"));
    let block = syntax.and_then(|section| section.split("```").nth(1)).unwrap_or_default();
    block.lines().skip(1).any(|line| !line.trim().is_empty() && line.trim() != name)
}

#[test]
fn plugins_do_not_import_each_other() {
    let names = plugins();
    let complaints = each(sources(&["plugins/"]), |path, text| {
        let own = path.strip_prefix("plugins/").and_then(|rest| rest.split_once('/'));
        own.map_or_else(Vec::new, |(own, _)| imports(own, text, &names))
    });
    none(complaints);
}

fn imports(own: &str, text: &str, names: &BTreeSet<String>) -> Vec<(usize, String)> {
    let others = names.iter().filter(|name| *name != own);
    let ways = |name: &String| [format!("crate::{name}"), format!("super::super::{name}")];
    lines_with(text, &others.flat_map(ways).collect::<Vec<_>>(), "what two need lives in a room")
}

// --- what sources may say

#[test]
fn sockets_are_opened_in_net() {
    let allowed = |path: &str| {
        ["src/net/", "src/sys/"].iter().any(|room| path.starts_with(room))
            || path == "src/server/process/admin.rs"
    };
    let mut all = sources(&PRODUCT);
    all.retain(|(path, _)| !allowed(path) && !path.contains("tests"));
    none(each(all, |_, text| sockets(product(text))));
}

fn sockets(text: &str) -> Vec<(usize, String)> {
    let words = ["TcpListener", "UdpSocket", "UnixListener", "UnixDatagram"].map(str::to_owned);
    lines_with(text, &words, "sockets are the business of `net` and `server/process/admin`")
}

#[test]
fn files_are_opened_in_files() {
    // These read the kernel's own files.
    let kernel =
        ["src/server/process/memory.rs", "plugins/pprof/threads.rs", "src/net/descriptors.rs"];
    let mut all = sources(&PRODUCT);
    all.retain(|(path, _)| {
        !path.starts_with("src/files/")
            && !path.contains("tests")
            && !kernel.contains(&path.as_str())
    });
    none(each(all, |_, text| opened(product(text))));
}

/// Pipes, devices, links and files without end are known in one place.
fn opened(text: &str) -> Vec<(usize, String)> {
    let words = ["fs::read", "fs::read_to_string", "fs::write", "File::open", "File::create"];
    let mut found = lines_with(text, &words.map(str::to_owned), "use the room `files`");
    let lines: Vec<&str> = text.lines().collect();
    found.retain(|(number, _)| {
        let line = lines[number - 1];
        !line.contains("\"/proc/") && !line.contains("\"/sys/")
    });
    found
}

#[test]
fn time_is_an_argument_and_work_is_bounded() {
    let mut all = sources(&PRODUCT);
    all.retain(|(path, _)| !path.contains("tests") && !path.contains("/benches/"));
    none(each(all, |path, text| clocks(path, product(text))));
}

/// No clock in the rooms; no clock but the simulated one and no task of their own in plugins and
/// where they ask upstreams.
fn clocks(path: &str, text: &str) -> Vec<(usize, String)> {
    let room = ["src/wire/", "src/zone/", "src/corefile/", "src/telemetry/", "src/chain/"];
    let words: &[&str] = if room.iter().any(|room| path.starts_with(room)) {
        &["Instant::now", "SystemTime::now", "tokio::spawn", "thread::spawn", "thread::sleep"]
    } else if path.starts_with("plugins/") || path.starts_with("src/upstream/") {
        &["std::time::Instant", "SystemTime::now", "tokio::spawn", "thread::spawn", "thread::sleep"]
    } else {
        &[]
    };
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    lines_with(text, &words, "`query.client.now`, `world.clock` and `setup.task` are there for it")
}

/// What CoreDNS 1.14.7 exports, read from its sources.
const COREDNS_METRICS: [&str; 53] = [
    "acl_allowed_requests_total",
    "acl_blocked_requests_total",
    "acl_dropped_requests_total",
    "acl_filtered_requests_total",
    "autopath_success_total",
    "build_info",
    "cache_drops_total",
    "cache_entries",
    "cache_evictions_total",
    "cache_hits_total",
    "cache_misses_total",
    "cache_prefetch_total",
    "cache_requests_total",
    "cache_served_stale_total",
    "dns64_requests_translated_total",
    "dns_do_requests_total",
    "dns_https3_responses_total",
    "dns_https_responses_total",
    "dns_quic_responses_total",
    "dns_request_duration_seconds",
    "dns_request_size_bytes",
    "dns_requests_total",
    "dns_response_size_bytes",
    "dns_responses_total",
    "dnssec_cache_entries",
    "dnssec_cache_hits_total",
    "dnssec_cache_misses_total",
    "forward_healthcheck_broken_total",
    "forward_max_concurrent_rejects_total",
    "grpc_request_duration_seconds",
    "grpc_requests_total",
    "grpc_responses_total",
    "health_request_duration_seconds",
    "health_request_failures_total",
    "hosts_entries",
    "hosts_reload_timestamp_seconds",
    "kubernetes_dns_programming_duration_seconds",
    "kubernetes_rest_client_rate_limiter_duration_seconds",
    "kubernetes_rest_client_request_duration_seconds",
    "kubernetes_rest_client_requests_total",
    "local_localhost_requests_total",
    "panics_total",
    "plugin_enabled",
    "proxy_conn_cache_hits_total",
    "proxy_conn_cache_misses_total",
    "proxy_healthcheck_failures_total",
    "proxy_request_duration_seconds",
    "reload_failed_total",
    "reload_version_info",
    "shed_dropped_total",
    "template_matches_total",
    "template_rr_failures_total",
    "template_template_failures_total",
];

/// What outside plugins export whose directives are understood here.
const OUTSIDE_METRICS: [&str; 7] = [
    "fanout_request_count_total",
    "fanout_request_duration_seconds",
    "fanout_response_rcode_count_total",
    "redisc_drops_total",
    "redisc_hits_total",
    "redisc_misses_total",
    "redisc_set_errors_total",
];

#[test]
fn metrics_have_their_names() {
    none(each(sources(&PRODUCT), metrics));
}

/// `coredns_*` to the letter where CoreDNS has the metric, else `catena_<plugin>_<noun>_<unit>`.
fn metrics(path: &str, text: &str) -> Vec<(usize, String)> {
    let plugin = path.strip_prefix("plugins/").and_then(|rest| Some(rest.split_once('/')?.0));
    let mut complaints = Vec::new();
    let mut before = "";
    for (number, line) in code(text) {
        // Whole literals: every second part between quotes.
        for name in line.split('"').skip(1).step_by(2) {
            let plain =
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if !plain {
                continue;
            }
            if let Some(rest) = name.strip_prefix("coredns_") {
                if !COREDNS_METRICS.contains(&rest) && !OUTSIDE_METRICS.contains(&rest) {
                    complaints.push((number, format!("`{name}`: CoreDNS exports no such metric")));
                }
            } else if let Some(rest) = name.strip_prefix("catena_") {
                // `prometheus` speaks for the process.
                let owned = plugin.is_none_or(|plugin| {
                    plugin == "prometheus" || rest.starts_with(&format!("{plugin}_"))
                });
                let counted = line.contains("counter(") || before.contains("counter(");
                let abbreviated = ["_ms", "_us", "_ns", "_sec", "_secs", "_num", "_kb", "_mb"];
                if !owned
                    || counted && !rest.ends_with("_total")
                    || abbreviated.iter().any(|unit| rest.ends_with(unit))
                {
                    let wanted = "catena_<plugin>_<noun>_<unit>, with _total for counters";
                    complaints.push((number, format!("`{name}` is not {wanted}")));
                }
            }
        }
        before = line;
    }
    complaints
}

const MAX_LINES: usize = 600;

#[test]
fn files_are_short() {
    let mut all = sources(&PRODUCT);
    all.retain(|(path, _)| !path.contains("/tests"));
    none(each(all, |_, text| long(text)));
}

fn long(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().count();
    if lines <= MAX_LINES {
        return Vec::new();
    }
    vec![(lines, format!("more than {MAX_LINES} lines: split by concept"))]
}

#[test]
fn no_test_is_ignored() {
    none(each(sources(&EVERYTHING), |_, text| ignored(text)));
}

fn ignored(text: &str) -> Vec<(usize, String)> {
    let found = code(text).filter(|(_, line)| line.contains(concat!("#[", "ignore")));
    found.map(|(number, _)| (number, "assert what happens today instead".to_owned())).collect()
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
fn nothing_is_left_undone() {
    none(each(sources(&PRODUCT), |_, text| undone(text)));
}

fn undone(text: &str) -> Vec<(usize, String)> {
    let words = [concat!("to", "do!"), concat!("unimpl", "emented!"), concat!("d", "bg!")];
    let found = code(text).filter(|(_, line)| words.iter().any(|word| line.contains(word)));
    found.map(|(number, line)| (number, format!("`{}`", line.trim()))).collect()
}

#[test]
fn unsafe_is_where_it_may_be() {
    let mut all = sources(&PRODUCT);
    all.retain(|(path, _)| !path.contains("/tests/"));
    none(each(all, unsafety));
    // The crates that may allow it have the workspace's lints otherwise.
    let lints = |path| {
        let text = read(path).replace("[workspace.lints", "[lints").replace("forbid", "deny");
        let table =
            text.split("[lints.rust]").nth(1).and_then(|rest| rest.split("[package]").next());
        table.map(|table| table.trim().to_owned())
    };
    for own in ["src/sys/Cargo.toml", "src/wire/Cargo.toml"] {
        assert_eq!(lints(own), lints("Cargo.toml"), "{own}");
    }
}

/// `unsafe` only in `src/sys` and one file of `wire`, each time explained.
fn unsafety(path: &str, text: &str) -> Vec<(usize, String)> {
    let word = [concat!("un", "safe").to_owned()];
    let complaints = lines_with(text, &word, "only `src/sys` and `src/wire/prefetch.rs` may");
    if !path.starts_with("src/sys/") && path != "src/wire/prefetch.rs" {
        return complaints;
    }
    let lines: Vec<&str> = text.lines().collect();
    let explained = |number: usize| {
        let mut before = lines[..number].iter().rev().take(12);
        before.any(|line| line.contains("// SAFETY:") || line.contains("/// # Safety"))
    };
    let found = complaints.into_iter().filter(|(number, _)| !explained(*number));
    found.map(|(number, _)| (number, "no `// SAFETY:` above".to_owned())).collect()
}

#[test]
fn hickory_is_behind_its_bridge() {
    let mut all = sources(&PRODUCT);
    all.retain(|(path, _)| path != "src/wire/typed.rs" && !path.contains("/tests"));
    none(each(all, |_, text| hickory(product(text))));
}

fn hickory(text: &str) -> Vec<(usize, String)> {
    lines_with(text, &["hickory_proto".to_owned()], "only `src/wire/typed.rs` names it")
}

// --- what other files say

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

// --- each checker fires

mod fires {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn on_plugin_folders() {
        let good =
            "# x\n\n## Name\n\n## Description\n\n## Syntax\n\n```\nx ARG\n```\n\n## Examples\n";
        let registry = "Built(&x::PLUGIN),";
        assert_eq!(folder("x", good, |_| true, registry), Vec::<String>::new());
        let missing = folder("x", good, |file| file != "config.rs", registry);
        assert_eq!(missing, ["plugins/x: config.rs is missing"]);
        assert_eq!(folder("x", good, |file| file != "tests.md", registry).len(), 1);
        let bare = good.replace("x ARG", "x");
        assert!(folder("x", &bare, |file| file != "config.rs", registry).is_empty());
        assert_eq!(folder("x", &good.replace("## Syntax", "## Use"), |_| true, registry).len(), 1);
        let turned = good.replace("Name", "-").replace("Examples", "Name").replace("-", "Examples");
        assert_eq!(folder("x", &turned, |_| true, registry).len(), 1);
        assert_eq!(folder("x", good, |_| true, "Built(&xy::PLUGIN),").len(), 1);
    }

    #[test]
    fn on_imports() {
        let all = names(&["cache", "file"]);
        assert_eq!(imports("cache", "use crate::file::Zones;", &all).len(), 1);
        assert_eq!(imports("cache", "super::super::file::x()", &all).len(), 1);
        assert!(imports("cache", "use crate::cache::x; // crate::file", &all).is_empty());
        assert!(imports("cache", "use crate::files;", &all).is_empty());
    }

    #[test]
    fn on_words_in_sources() {
        assert_eq!(sockets("\nlet s = UdpSocket::bind(a)?;")[0].0, 2);
        assert!(sockets("// a UdpSocket").is_empty());
        assert_eq!(opened("let text = std::fs::read(path)?;").len(), 1);
        assert_eq!(opened("let file = File::open(path)?;").len(), 1);
        assert!(opened("fs::read_dir(path)?; fs::read(\"/proc/stat\")?;").is_empty());
        assert_eq!(clocks("src/zone/x.rs", "let now = Instant::now();").len(), 1);
        assert_eq!(clocks("plugins/x/mod.rs", "tokio::spawn(work());").len(), 1);
        assert_eq!(clocks("src/upstream/x.rs", "tokio::spawn(work());").len(), 1);
        assert!(clocks("src/net/x.rs", "let now = Instant::now();").is_empty());
        assert_eq!(ignored(concat!("#[", "ignore]")).len(), 1);
        assert_eq!(todos(concat!("// TO", "DO: later")).len(), 1);
        assert!(todos(concat!("// TO", "DO(#12): later")).is_empty());
        assert_eq!(undone(concat!("to", "do!()")).len(), 1);
        assert_eq!(hickory("use hickory_proto::op::Message;").len(), 1);
        assert_eq!(long(&"\n".repeat(601)).len(), 1);
        assert!(long(&"\n".repeat(600)).is_empty());
    }

    #[test]
    fn on_metrics() {
        let check = |path: &str, name: &str| metrics(path, &format!("f(\"{name}\")")).len();
        assert_eq!(check("plugins/cache/mod.rs", "coredns_cache_hits_total"), 0);
        assert_eq!(check("plugins/cache/mod.rs", "coredns_cache_hit_total"), 1);
        assert_eq!(check("plugins/cache/mod.rs", "catena_cache_refused_total"), 0);
        assert_eq!(check("plugins/cache/mod.rs", "catena_file_refused_total"), 1);
        assert_eq!(check("src/server/x.rs", "catena_wait_ms"), 1);
        assert_eq!(metrics("src/x.rs", "counter(\n\"catena_waiting\",").len(), 1);
    }

    #[test]
    fn on_unsafe() {
        let block = concat!("// SAFETY: fine\nun", "safe { f() }");
        assert_eq!(unsafety("src/wire/x.rs", block).len(), 1);
        assert!(unsafety("src/sys/batch.rs", block).is_empty());
        assert_eq!(unsafety("src/sys/batch.rs", concat!("un", "safe { f() }")).len(), 1);
    }

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
