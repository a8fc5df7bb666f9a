//! A walk over the names of a version that can rest: it holds a place, not a borrow.

use crate::patch::Entry;
use crate::store::Zone;
use crate::store::node::{FIRST, Node, TOMBSTONE};

/// A walk over all names that have records, the apex first, then in the order of the store. Each step needs
/// the version that the walk began with.
pub(crate) struct Walk {
    current: Place,
    /// Offset of the next node of the flat version.
    next: u64,
    /// Offsets of its nodes that changed, the next one last.
    skip: Vec<u64>,
    /// The names that changed and are there, the next one last.
    changed: Vec<Entry>,
}

/// Where a node is.
enum Place {
    Top,
    /// At this offset of the flat version.
    Flat(u64),
    /// Among the names that changed.
    Changed(Entry),
}

impl Walk {
    /// A walk at the apex of `zone`.
    pub(crate) fn new(zone: &Zone) -> Self {
        let (mut skip, mut changed) = (Vec::new(), Vec::new());
        if let Some(overlay) = &zone.overlay {
            overlay.names.for_each(&mut |entry| {
                if entry.base_at() != 0 {
                    skip.push(entry.base_at());
                }
                if !entry.is_gone() && !entry.node().is_empty() {
                    changed.push(entry.clone());
                }
            });
            skip.sort_unstable_by(|a, b| b.cmp(a));
        }
        Self { current: Place::Top, next: FIRST, skip, changed }
    }

    /// The current node.
    #[inline]
    pub(crate) fn node<'z>(&self, zone: &'z Zone) -> Node<'z> {
        match &self.current {
            Place::Top => zone.top(),
            Place::Flat(at) => zone.flat().node(*at),
            Place::Changed(entry) => {
                let found = zone.find(entry.hash(), entry.node().name());
                debug_assert!(found.is_some(), "each step needs the same version");
                found.unwrap_or(Node::EMPTY)
            }
        }
    }

    /// Goes on to the next node; `false` if there is none.
    #[inline]
    pub(crate) fn advance(&mut self, zone: &Zone) -> bool {
        let flat = zone.flat();
        while self.next < flat.arena().len() as u64 {
            let at = self.next;
            let node = flat.node(at);
            self.next += node.size() as u64;
            if self.skip.last() == Some(&at) {
                self.skip.pop();
            } else if at != flat.apex_at && !node.has(TOMBSTONE) && !node.is_empty() {
                self.current = Place::Flat(at);
                return true;
            }
        }
        let changed = self.changed.pop().map(Place::Changed);
        changed.map(|place| self.current = place).is_some()
    }
}
