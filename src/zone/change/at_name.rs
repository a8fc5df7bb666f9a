//! The records of one name, for those who change them.

use wire::name;

use crate::RecordRef;
use crate::store::Zone;

impl Zone {
    /// Calls `each` with every record at exactly `owner` (wire form, any case): no wildcards, no delegation,
    /// no aliases, and what lies below zone cuts too.
    pub fn each_record_at(&self, owner: &[u8], each: impl FnMut(RecordRef<'_>)) {
        let apex = self.apex().as_wire();
        if !name::is_under(owner, apex) {
            return;
        }
        let relative = owner[..owner.len() - apex.len()].to_ascii_lowercase();
        if let Some(node) = self.node_of_any(&relative) {
            self.each_record(node, each);
        }
    }
}
