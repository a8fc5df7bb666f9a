//! The folders of plugins.

use std::collections::BTreeSet;

use crate::repository::{each, files, lines_with, none, plugins, read, sources};

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
}
