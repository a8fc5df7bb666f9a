//! A walk over the names of a version.

use crate::patch::Entry;
use crate::store::Zone;
use crate::store::node::{FIRST, Node, TOMBSTONE};

/// A walk over all names that have records, the apex first, then in the order of the store. It borrows
/// nothing, so that it may wait between two steps; each step needs the version that it began with.
pub struct Walk {
    begun: bool,
    /// Offset of the next node of the flat version.
    at: u64,
    /// Offsets of its nodes that changed, the next one last.
    skip: Vec<u64>,
    /// The names that changed and are there, the next one last.
    changed: Vec<Entry>,
}

impl Walk {
    /// A walk over `zone` from its apex.
    pub fn new(zone: &Zone) -> Self {
        let mut walk = Self { begun: false, at: FIRST, skip: Vec::new(), changed: Vec::new() };
        if let Some(overlay) = &zone.overlay {
            overlay.names.for_each(&mut |entry| {
                if entry.base_at() != 0 {
                    walk.skip.push(entry.base_at());
                }
                if !entry.is_gone() && !entry.node().is_empty() {
                    walk.changed.push(entry.clone());
                }
            });
            walk.skip.sort_unstable_by(|a, b| b.cmp(a));
        }
        walk
    }

    /// The next name.
    #[inline]
    pub(crate) fn next<'z>(&mut self, zone: &'z Zone) -> Option<Node<'z>> {
        if !self.begun {
            self.begun = true;
            return Some(zone.top());
        }
        let flat = zone.flat();
        while self.at < flat.arena().len() as u64 {
            let at = self.at;
            let node = flat.node(at);
            self.at += node.size() as u64;
            if self.skip.last() == Some(&at) {
                self.skip.pop();
            } else if at != flat.apex_at && !node.has(TOMBSTONE) && !node.is_empty() {
                return Some(node);
            }
        }
        let entry = self.changed.pop()?;
        zone.find(entry.hash(), entry.node().name())
    }
}
