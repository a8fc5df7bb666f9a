//! The namespaces that exist.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

/// Namespaces by name.
#[derive(Default)]
pub struct Namespaces {
    names: ArcSwap<HashSet<Box<[u8]>>>,
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Writer {
    /// The last list that each was seen in.
    seen: HashMap<String, u32>,
    list: u32,
}

impl Namespaces {
    /// Whether the namespace with this name, in lower case, exists.
    #[inline]
    pub fn has(&self, name: &[u8]) -> bool {
        self.names.load().contains(name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.load().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.writer().seen.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Begins a list.
    pub fn begin_list(&self) {
        self.writer().list += 1;
    }

    /// Adds a namespace. While a list runs, it is visible at its end.
    pub fn put(&self, name: &str, is_listed: bool) {
        let mut writer = self.writer();
        let list = writer.list;
        if writer.seen.insert(name.to_owned(), list).is_none() && !is_listed {
            self.publish(&writer);
        }
    }

    /// Removes a namespace.
    pub fn remove(&self, name: &str) {
        let mut writer = self.writer();
        if writer.seen.remove(name).is_some() {
            self.publish(&writer);
        }
    }

    /// Ends a list: what was not put since it began goes.
    pub fn end_list(&self) {
        let mut writer = self.writer();
        let list = writer.list;
        writer.seen.retain(|_, seen| *seen >= list);
        self.publish(&writer);
    }

    fn publish(&self, writer: &Writer) {
        let names = writer.seen.keys().map(|name| name.as_bytes().into()).collect();
        self.names.store(Arc::new(names));
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
