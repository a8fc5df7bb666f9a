//! Where imported files and variables come from.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The largest Corefile, and the largest file imported: nobody writes such a one by hand.
pub const MAX_FILE: u64 = 16 << 20;

/// Reads files and variables for the parser.
pub trait Loader {
    /// The text of a file.
    ///
    /// # Errors
    /// Whatever keeps the file from being read.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// The files that match a pattern with `*` and `?` in its last parts, sorted.
    ///
    /// # Errors
    /// A directory cannot be listed. One that does not exist matches nothing.
    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>>;

    /// An environment variable.
    fn env(&self, name: &str) -> Option<String>;
}

/// The real files and the real environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsLoader;

impl Loader for OsLoader {
    fn read(&self, path: &Path) -> io::Result<String> {
        files::read_text(path, MAX_FILE)
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found = vec![PathBuf::new()];
        for part in pattern.components() {
            let text = part.as_os_str().to_string_lossy();
            let wild = text.contains(['*', '?']);
            let mut next = Vec::new();
            for base in found {
                if !wild {
                    next.push(base.join(part));
                    continue;
                }
                let entries = match std::fs::read_dir(&base) {
                    Ok(entries) => entries,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
                    Err(error) => return Err(error),
                };
                for entry in entries {
                    let name = entry?.file_name();
                    if matches(&text, &name.to_string_lossy()) {
                        next.push(base.join(name));
                    }
                }
            }
            found = next;
        }
        found.retain(|path| path.exists());
        found.sort();
        Ok(found)
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Whether `name` fits a pattern with `*` and `?`; a hidden name must be asked for by its dot, as
/// shells have it.
fn matches(pattern: &str, name: &str) -> bool {
    fn fits(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|skip| fits(rest, &name[skip..])),
            Some(('?', rest)) => name.split_first().is_some_and(|(_, name)| fits(rest, name)),
            Some((letter, rest)) => {
                name.split_first().is_some_and(|(first, name)| first == letter && fits(rest, name))
            }
        }
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    fits(&pattern, &name)
}

/// No files and no variables.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Loader for NoFiles {
    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn glob(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }
}

/// Files and variables that a test made up.
#[derive(Clone, Debug, Default)]
pub struct MemoryLoader {
    /// Files by path.
    pub files: BTreeMap<PathBuf, String>,
    /// Variables by name.
    pub env: BTreeMap<String, String>,
}

impl Loader for MemoryLoader {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let pattern = pattern.to_string_lossy();
        let fits = |path: &&PathBuf| matches(&pattern, &path.to_string_lossy());
        Ok(self.files.keys().filter(fits).cloned().collect())
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("*.override", "a.override"));
        assert!(!matches("*.override", "a.server"));
        assert!(matches("zone?", "zone1"));
        assert!(!matches("zone?", "zone"));
        assert!(matches("*", "anything"));
    }
}
