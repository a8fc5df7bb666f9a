//! Finds the files below a directory.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The deepest level that is looked at.
const MAX_DEPTH: u32 = 32;

/// What is below a directory.
#[derive(Debug, Default)]
pub struct Tree {
    /// Everything that is no directory, in the order of the names: files, and links to them.
    pub files: Vec<PathBuf>,
    /// The directories, the one at the top first.
    pub directories: Vec<PathBuf>,
    /// Directories below the one at the top that cannot be read, and why.
    pub unreadable: Vec<(PathBuf, io::Error)>,
    /// Whether there is more than was looked at.
    pub is_cut: bool,
}

impl Tree {
    /// Looks at most at `most` entries below `top`. As with Go's `filepath.Walk`, links to directories are not
    /// followed, except `top` itself. Directories whose name begins with `..` are skipped: what kubelet keeps
    /// there is found by the links beside them. Touches the file system: never call it on a worker.
    ///
    /// # Errors
    /// `top` cannot be read.
    pub fn below(top: &Path, most: usize) -> io::Result<Self> {
        let mut tree = Self::default();
        let mut left = most;
        tree.enter(top, 0, &mut left)?;
        Ok(tree)
    }

    fn enter(&mut self, directory: &Path, depth: u32, left: &mut usize) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory)? {
            if *left == 0 {
                self.is_cut = true;
                break;
            }
            *left -= 1;
            let entry = entry?;
            entries.push((entry.file_name(), entry.file_type()?));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.directories.push(directory.to_owned());
        for (name, kind) in entries {
            let path = directory.join(&name);
            if kind.is_dir() {
                if is_hidden(&name) {
                    continue;
                }
                if depth == MAX_DEPTH {
                    self.is_cut = true;
                } else if let Err(error) = self.enter(&path, depth + 1, left) {
                    self.unreadable.push((path, error));
                }
            } else if !kind.is_symlink() || fs::metadata(&path).is_ok_and(|data| !data.is_dir()) {
                self.files.push(path);
            }
        }
        Ok(())
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"..")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_mounted_config_map_has_each_file_once() {
        let here = std::env::temp_dir().join(format!("catena-walk-{}", std::process::id()));
        let real = here.join("..2026_11_30");
        fs::create_dir_all(&real).unwrap();
        fs::create_dir_all(here.join("a/b")).unwrap();
        fs::write(real.join("db.one"), "1").unwrap();
        fs::write(here.join("a/b/db.two"), "2").unwrap();
        symlink("..2026_11_30", here.join("..data")).unwrap();
        symlink("..data/db.one", here.join("db.one")).unwrap();
        symlink("nowhere", here.join("db.lost")).unwrap();
        let below = |tree: &[PathBuf]| -> Vec<String> {
            let relative = |path: &PathBuf| path.strip_prefix(&here).unwrap().display().to_string();
            tree.iter().map(relative).collect()
        };
        let tree = Tree::below(&here, 100).unwrap();
        assert_eq!(below(&tree.files), ["a/b/db.two", "db.one"]);
        assert_eq!(below(&tree.directories), ["", "a", "a/b"]);
        assert!(!tree.is_cut && tree.unreadable.is_empty());
        // The top may be a link itself.
        let link = here.with_extension("link");
        symlink(&here, &link).unwrap();
        assert_eq!(Tree::below(&link, 100).unwrap().files.len(), 2);
        assert!(Tree::below(&here, 2).unwrap().is_cut);
        assert!(Tree::below(&here.join("db.one"), 100).is_err());
        fs::remove_file(&link).unwrap();
        fs::remove_dir_all(&here).unwrap();
    }
}
