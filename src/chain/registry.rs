//! How a plugin declares itself, and the registry: all plugins of a build, in the order in which they
//! run.
//!
//! A build with plugins of its own adds them to the registry of this repository, each before or after
//! a plugin that it names. It must never know: what a plugin does.

use std::ops::Deref;

use corefile::{Diagnostics, Directive};

use crate::Setup;

/// A plugin as the registry sees it. [`Kind::DEFAULT`] gives the fields that most plugins leave out.
pub struct Kind {
    /// The directive's name.
    pub name: &'static str,
    /// Its README: `catena help` shows it.
    pub doc: &'static str,
    /// Whether a server block may use it only once.
    pub once: bool,
    /// Whether it answers queries from its own data or an upstream's: `catena check` warns where the
    /// order of such plugins may surprise.
    pub answers: bool,
    /// Turns the directives of one server block (all of this name, in order) into links and
    /// settings.
    ///
    /// Errors: everything that is wrong with them, each with its place.
    pub setup: fn(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics>,
    /// Registers the metrics that are exposed, at zero, even if no server block uses the plugin:
    /// dashboards and alerts of CoreDNS's operators rely on these series.
    pub baseline_metrics: fn(),
    /// Whether it sets up listeners only: the body of a listener inside a server block may have it, too.
    pub listener: bool,
    /// What the plugin does where there is no Corefile, if it is part of the configuration that serves
    /// then: `every name is answered by …`.
    pub without_corefile: Option<&'static str>,
}

impl Kind {
    /// A directive that may be repeated and does nothing.
    pub const DEFAULT: Self = Self {
        name: "",
        doc: "",
        once: false,
        answers: false,
        setup: |_, _| Ok(()),
        baseline_metrics: || (),
        listener: false,
        without_corefile: None,
    };
}

/// One line of the registry.
#[derive(Clone, Copy)]
pub enum Entry {
    /// A plugin of this build.
    Built(&'static Kind),
    /// A directive that CoreDNS knows and this build does not have yet.
    Known(&'static str),
}

impl Entry {
    /// The directive's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Built(kind) => kind.name,
            Self::Known(name) => name,
        }
    }

    /// The plugin, if it is in this build.
    pub const fn kind(&self) -> Option<&'static Kind> {
        match self {
            Self::Built(kind) => Some(kind),
            Self::Known(_) => None,
        }
    }
}

/// All directives in the order in which their plugins run.
#[derive(Clone, Copy)]
pub struct Registry {
    entries: &'static [Entry],
    mistakes: &'static [String],
}

impl Registry {
    /// A registry of these directives.
    pub const fn new(entries: &'static [Entry]) -> Self {
        Self { entries, mistakes: &[] }
    }

    /// Adds a plugin that runs directly before the plugin `anchor`.
    #[must_use]
    pub fn before(self, anchor: &str, plugin: &'static Kind) -> Self {
        self.insert(anchor, 0, plugin)
    }

    /// Adds a plugin that runs directly after the plugin `anchor`.
    #[must_use]
    pub fn after(self, anchor: &str, plugin: &'static Kind) -> Self {
        self.insert(anchor, 1, plugin)
    }

    /// Adds a plugin `offset` places behind where `anchor` is. A plugin that CoreDNS has and this build
    /// had only by name replaces that entry. What is wrong is kept for [`Registry::mistakes`]: it is a
    /// mistake of the program, which reports it when it starts.
    fn insert(self, anchor: &str, offset: usize, plugin: &'static Kind) -> Self {
        let name = plugin.name;
        if self.iter().any(|entry| matches!(entry, Entry::Built(kind) if kind.name == name)) {
            return self.mistaken(format!("the registry has a plugin `{name}` already"));
        }
        let Some(at) = self.iter().position(|entry| entry.name() == anchor) else {
            let near = corefile::nearest(anchor, self.iter().map(Entry::name))
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let mistake = format!("the place of plugin `{name}`: no plugin `{anchor}`{near}");
            return self.mistaken(mistake);
        };
        let mut entries = self.entries.to_vec();
        entries.insert(at + offset, Entry::Built(plugin));
        entries.retain(|entry| !matches!(entry, Entry::Known(known) if *known == name));
        // A registry is made once, and lives as long as the process.
        Self { entries: entries.leak(), ..self }
    }

    fn mistaken(self, mistake: String) -> Self {
        let mut mistakes = self.mistakes.to_vec();
        mistakes.push(mistake);
        Self { mistakes: mistakes.leak(), ..self }
    }

    /// What is wrong with the additions.
    pub const fn mistakes(self) -> &'static [String] {
        self.mistakes
    }

    /// All entries in order.
    pub fn iter(self) -> std::slice::Iter<'static, Entry> {
        self.entries.iter()
    }
}

impl IntoIterator for Registry {
    type Item = &'static Entry;
    type IntoIter = std::slice::Iter<'static, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Deref for Registry {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static MINE: Kind = kind("mine");
    static ETCD: Kind = kind("etcd");
    static FILE: Kind = kind("file");

    const ENTRIES: &[Entry] = &[Entry::Known("etcd"), Entry::Built(&FILE), Entry::Known("sign")];
    const OURS: Registry = Registry::new(ENTRIES);

    const fn kind(name: &'static str) -> Kind {
        Kind { name, ..Kind::DEFAULT }
    }

    fn names(registry: Registry) -> Vec<&'static str> {
        registry.iter().map(Entry::name).collect()
    }

    #[test]
    fn a_plugin_is_added_beside_the_one_that_is_named() {
        assert_eq!(names(OURS.before("file", &MINE)), ["etcd", "mine", "file", "sign"]);
        assert_eq!(names(OURS.after("sign", &MINE)), ["etcd", "file", "sign", "mine"]);
        let replaced = OURS.after("file", &ETCD);
        assert_eq!(names(replaced), ["file", "etcd", "sign"]);
        assert!(matches!(replaced[1], Entry::Built(_)) && replaced.mistakes().is_empty());
    }

    #[test]
    fn mistakes_are_kept_for_the_start() {
        let wrong = OURS.before("fiel", &MINE).after("etcd", &FILE).before("nonsense", &MINE);
        assert_eq!(names(wrong), names(OURS));
        assert_eq!(
            wrong.mistakes(),
            [
                "the place of plugin `mine`: no plugin `fiel`; did you mean `file`?",
                "the registry has a plugin `file` already",
                "the place of plugin `mine`: no plugin `nonsense`",
            ]
        );
    }
}
