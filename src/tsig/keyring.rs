//! Keys by name.

use std::sync::Arc;

use wire::Name;

use crate::Key;

/// Keys by name. No two have one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring {
    /// In the order of their names.
    keys: Vec<Arc<Key>>,
}

impl Keyring {
    /// No keys.
    pub const fn new() -> Self {
        Self { keys: Vec::new() }
    }

    /// Adds a key.
    ///
    /// # Errors
    /// There is a key of that name: it stays, and the new one comes back.
    pub fn insert(&mut self, key: Key) -> Result<(), Key> {
        match self.place(key.name().as_wire()) {
            Ok(_) => Err(key),
            Err(at) => {
                self.keys.insert(at, Arc::new(key));
                Ok(())
            }
        }
    }

    /// The key of this name, in lower case and wire form.
    pub fn find(&self, name: &[u8]) -> Option<&Arc<Key>> {
        self.place(name).ok().and_then(|at| self.keys.get(at))
    }

    /// The key of this name.
    pub fn get(&self, name: &Name) -> Option<&Arc<Key>> {
        self.find(name.to_lower().as_wire())
    }

    /// All keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.iter()
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn place(&self, name: &[u8]) -> Result<usize, usize> {
        self.keys.binary_search_by(|key| key.name().as_wire().cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_once() {
        let mut keys = Keyring::new();
        for name in ["b", "a.b", "C"] {
            keys.insert(Key::from_text(&format!("{name}:c2VjcmV0")).unwrap()).unwrap();
        }
        let again = keys.insert(Key::from_text("c:YW5vdGhlcg==").unwrap()).unwrap_err();
        assert_eq!((again.name().to_string(), keys.len()), ("c.".into(), 3));
        let find = |text: &str| {
            keys.get(&Name::from_text(text).unwrap()).map(|key| key.name().to_string())
        };
        assert_eq!(find("c."), Some("c.".into()));
        assert_eq!(find("A.B"), Some("a.b.".into()));
        assert_eq!(find("a."), None);
    }
}
