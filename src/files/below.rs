//! Whether a path stays inside a folder.

use std::env;
use std::path::{Component, Path, PathBuf};

/// Whether `path` lies in `folder` or below it, by its words: `..` goes up, and links are not followed. A folder
/// of zones is often full of links, as a mounted ConfigMap is.
pub fn is_below(path: &Path, folder: &Path) -> bool {
    words(path).starts_with(words(folder))
}

/// The absolute path without `.` and `..`.
fn words(path: &Path) -> PathBuf {
    let whole = match path.is_absolute() {
        true => path.to_owned(),
        false => env::current_dir().unwrap_or_default().join(path),
    };
    let mut out = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_followed_by_its_words() {
        let below = |path: &str, folder: &str| is_below(Path::new(path), Path::new(folder));
        assert!(below("/zones/part.inc", "/zones"));
        assert!(below("/zones/sub/../part.inc", "/zones/"));
        assert!(!below("/zones/../etc/passwd", "/zones"));
        assert!(!below("/zones-of-others/part.inc", "/zones"));
        assert!(!below("/etc/passwd", "/zones"));
        assert!(below("part.inc", "") && below("./sub/part.inc", "."));
        assert!(!below("../part.inc", ""));
        assert!(below("../zones/part.inc", "../zones"));
        assert!(!below("/etc/passwd", "zones"));
        assert!(below("/anything", "/"));
    }
}
