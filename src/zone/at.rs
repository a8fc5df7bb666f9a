//! The records of one name, for callers that do not answer with them.

use wire::name;

use crate::RecordRef;
use crate::store::{Zone, target};

impl Zone {
    /// Calls `each` with every record at exactly `owner`: no wildcards, no delegation, no aliases.
    pub fn each_record_at(&self, owner: &[u8], each: impl FnMut(RecordRef<'_>)) {
        let mut buf = [0; name::MAX_NAME + 1];
        let node = target(owner, 0, self.apex().as_wire(), &mut buf)
            .and_then(|relative| self.node_of_any(relative));
        if let Some(node) = node {
            self.each_record(node, each);
        }
    }
}
