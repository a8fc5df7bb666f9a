//! A walk over the names of a zone that can rest: it holds a place, not a borrow.

use crate::store::Zone;
use crate::store::node::{FIRST, Node, TOMBSTONE};

/// The place of a walk over all names with records, the apex first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Offset of the current node.
    current: u64,
    /// Offset of the node to look at next.
    next: u64,
}

impl Walk {
    /// A walk at the apex.
    pub(super) fn new(zone: &Zone) -> Self {
        Self { current: zone.apex_at, next: FIRST }
    }

    /// The current node.
    #[inline]
    pub(super) fn node(self, zone: &Zone) -> Node<'_> {
        zone.node(self.current)
    }

    /// Goes on to the next node; `false` if there is none.
    #[inline]
    pub(super) fn advance(&mut self, zone: &Zone) -> bool {
        while self.next < zone.arena().len() as u64 {
            let at = self.next;
            let node = zone.node(at);
            self.next += node.size() as u64;
            if at != zone.apex_at && !node.has(TOMBSTONE) && !node.is_empty() {
                self.current = at;
                return true;
            }
        }
        false
    }
}
