//! No circles: the files of a room import each other in one direction.
//!
//! `lib.rs` and `mod.rs` are doors. An import of a name that a door re-exports leads to the file that
//! defines it, and a re-export that the door does not use itself is no import.

use std::collections::{BTreeMap, BTreeSet};

use crate::paths::{Mention, Mentions, Place, mentions};
use crate::repository::{files, none, product, product_sources};

#[test]
fn files_of_a_room_form_no_circle() {
    let mut rooms: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let manifests: BTreeSet<String> =
        files().into_iter().filter(|path| path.ends_with("/Cargo.toml")).collect();
    for (path, text) in product_sources() {
        let inner = path.split('/').take(2).collect::<Vec<_>>().join("/");
        let room = match path.split('/').next() {
            Some("src") if manifests.contains(&format!("{inner}/Cargo.toml")) => inner,
            Some(first) => first.to_owned(),
            None => continue,
        };
        let inside = path[room.len() + 1..].to_owned();
        rooms.entry(room).or_default().push((inside, product(&text).to_owned()));
    }
    assert!(rooms.len() > 8, "{:?}", rooms.keys());
    let complaints = rooms.iter().flat_map(|(room, files)| {
        let shown = move |circle: Vec<String>| format!("{room}: {}", circle.join(" <-> "));
        circles(files).into_iter().map(shown)
    });
    none(complaints.collect());
}

/// Sets of files that reach each other. `files` are paths inside a crate, and texts.
fn circles(files: &[(String, String)]) -> Vec<Vec<String>> {
    let room = Room::new(files);
    let arrows: BTreeMap<&str, BTreeSet<&str>> =
        room.modules.values().map(|module| (module.file, room.imports(module))).collect();
    let reach = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&str> = arrows[from].iter().copied().collect();
        while let Some(file) = next.pop() {
            if seen.insert(file) {
                next.extend(arrows[file].iter().copied());
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|&file| (file, reach(file))).collect();
    let mut found = BTreeSet::new();
    for (file, seen) in &reached {
        let circle: Vec<String> = seen
            .iter()
            .filter(|other| reached[**other].contains(file))
            .map(ToString::to_string)
            .collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

/// The modules of a crate by their paths.
struct Room<'t> {
    modules: BTreeMap<Vec<String>, Module<'t>>,
}

struct Module<'t> {
    path: Vec<String>,
    file: &'t str,
    text: &'t str,
    mentions: Mentions,
}

/// What names inside each other are followed at most.
const DEEPEST: usize = 12;

impl<'t> Room<'t> {
    fn new(files: &'t [(String, String)]) -> Self {
        let module = |(file, text): &'t (String, String)| {
            let mut path: Vec<String> =
                file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            if matches!(path.last().map(String::as_str), Some("mod" | "lib")) {
                path.pop();
            }
            (path.clone(), Module { path, file, text, mentions: mentions(text) })
        };
        Self { modules: files.iter().map(module).collect() }
    }

    /// The files that a module imports.
    fn imports(&self, module: &Module<'t>) -> BTreeSet<&'t str> {
        let counts = |mention: &&Mention| match &mention.place {
            Place::Export(name) => module.mentions.words.contains(name),
            Place::Use(_) | Place::Code => true,
        };
        let paths = module.mentions.paths.iter().filter(counts);
        let files = paths.filter_map(|mention| self.file_of(module, &mention.segments, 0));
        files.filter(|file| *file != module.file).collect()
    }

    /// The file that defines what a path in `module` leads to; `None` if it leads out of the crate.
    fn file_of(&self, module: &Module<'t>, path: &[String], depth: usize) -> Option<&'t str> {
        let (first, rest) = path.split_first()?;
        let mut here = match first.as_str() {
            "crate" => self.modules.get(&Vec::new())?,
            "self" => module,
            "super" => self.modules.get(module.path.split_last()?.1)?,
            name => match self.child(module, name) {
                Some(child) => child,
                None => return self.named(module, name, rest, depth),
            },
        };
        for (at, name) in rest.iter().enumerate() {
            here = match (name.as_str(), self.child(here, name)) {
                ("super", _) => self.modules.get(here.path.split_last()?.1)?,
                (_, Some(child)) => child,
                (_, None) if self.uses(here, name) => {
                    return self.named(here, name, &rest[at + 1..], depth);
                }
                (_, None) => {
                    return Some(self.through_globs(here, name, depth).unwrap_or(here.file));
                }
            };
        }
        Some(here.file)
    }

    fn child(&self, module: &Module<'t>, name: &str) -> Option<&Module<'t>> {
        let mut path = module.path.clone();
        path.push(name.to_owned());
        self.modules.get(&path)
    }

    fn uses(&self, module: &Module<'t>, name: &str) -> bool {
        module.mentions.paths.iter().any(|mention| is_named(mention, name))
    }

    /// The file of a name that `module` imports.
    fn named(
        &self,
        module: &Module<'t>,
        name: &str,
        rest: &[String],
        depth: usize,
    ) -> Option<&'t str> {
        let import = module.mentions.paths.iter().find(|mention| is_named(mention, name))?;
        let path = [&import.segments[..], rest].concat();
        (depth < DEEPEST).then(|| self.file_of(module, &path, depth + 1)).flatten()
    }

    /// The file of a name that `module` has from a module all of whose names it imports.
    fn through_globs(&self, module: &Module<'t>, name: &str, depth: usize) -> Option<&'t str> {
        if depth >= DEEPEST || defines(module.text, name) {
            return None;
        }
        let globs = module.mentions.paths.iter().filter(|mention| is_named(mention, "*"));
        globs.into_iter().find_map(|glob| {
            let file = self.file_of(module, &glob.segments, depth + 1)?;
            let text = self.modules.values().find(|module| module.file == file)?.text;
            defines(text, name).then_some(file)
        })
    }
}

fn is_named(mention: &Mention, wanted: &str) -> bool {
    matches!(&mention.place, Place::Use(name) | Place::Export(name) if name == wanted)
}

fn defines(text: &str, name: &str) -> bool {
    let kinds =
        ["fn", "struct", "enum", "trait", "type", "const", "static", "union", "macro_rules!"];
    kinds.iter().any(|kind| {
        let definition = format!("{kind} {name}");
        text.match_indices(&definition).any(|(at, _)| {
            !text[at + definition.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
        })
    })
}

mod fires {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let owned: Vec<(String, String)> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        circles(&owned)
    }

    #[test]
    fn on_circles() {
        let door = ("lib.rs", "mod a; mod b; pub use a::A;");
        let a = ("a.rs", "pub struct A; fn f() { crate::b::g() }");
        // Through the door's name to the file behind it.
        assert_eq!(found(&[door, a, ("b.rs", "use crate::A; pub fn g() {}")]), [["a.rs", "b.rs"]]);
        assert_eq!(found(&[door, a, ("b.rs", "pub fn g() {}")]), Vec::<Vec<String>>::new());
        // A door that uses what its child uses of it.
        let busy = ("x/mod.rs", "mod y; use y::Y; pub struct X(Y);");
        let child = ("x/y.rs", "use super::X; pub struct Y;");
        assert_eq!(found(&[("lib.rs", "mod x;"), busy, child]), [["x/mod.rs", "x/y.rs"]]);
        let quiet = ("x/mod.rs", "mod y; pub use y::Y; pub struct X;");
        assert_eq!(found(&[("lib.rs", "mod x;"), quiet, child]), Vec::<Vec<String>>::new());
    }
}
