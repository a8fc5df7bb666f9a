//! The changes that led to the current version, as far back as their bytes fit: what an IXFR sends.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::change::Changes;

/// Changes of this size are kept in any case.
const FLOOR: usize = 64 << 10;
/// The part of the zone's memory that its changes may take.
const PART: usize = 32;

/// The last changes of a zone, each leading to the version where the next begins.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    changes: VecDeque<Arc<Changes>>,
    bytes: usize,
}

impl History {
    /// Adds the changes that lead to the new version; `memory` is the zone's size in bytes. Changes that
    /// do not begin where the last ones end make all before them useless.
    pub(super) fn push(&mut self, changes: Arc<Changes>, memory: usize) {
        let last = self.changes.back().and_then(|last| last.to_serial());
        if last.is_some() && last != changes.from_serial() {
            self.clear();
        }
        if changes.from_serial().is_none() || changes.to_serial().is_none() {
            return self.clear();
        }
        self.bytes += changes.size();
        self.changes.push_back(changes);
        let room = (memory / PART).max(FLOOR);
        while self.bytes > room {
            match self.changes.pop_front() {
                Some(oldest) => self.bytes -= oldest.size(),
                None => break,
            }
        }
    }

    /// Adds the changes to a version that was made elsewhere. Without any, what led to the last one is useless.
    pub(super) fn follow(&mut self, changes: Option<Changes>, memory: usize) {
        match changes {
            Some(changes) => self.push(Arc::new(changes), memory),
            None => self.clear(),
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The changes since the version with this serial, oldest first. `None` if they do not reach back
    /// that far.
    pub(super) fn since(&self, serial: u32) -> Option<Vec<Arc<Changes>>> {
        let first = self.changes.iter().rposition(|one| one.from_serial() == Some(serial))?;
        Some(self.changes.range(first..).cloned().collect())
    }
}
