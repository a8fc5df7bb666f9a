//! The changes that lead from one version of a zone to another.

use std::collections::HashSet;

use wire::Rtype;

use super::changes::Changes;
use crate::RecordRef;
use crate::store::node::Node;
use crate::store::{Zone, folded};

impl Zone {
    /// The changes that make `to` of this zone. The SOA record is among them if it differs.
    pub fn difference(&self, to: &Self) -> Changes {
        let mut changes = Changes::new();
        self.each_record_beyond(to, |record| changes.remove(record));
        to.each_record_beyond(self, |record| changes.add(record));
        changes
    }

    /// Calls `each` with every record that `other` does not have.
    fn each_record_beyond(&self, other: &Self, mut each: impl FnMut(RecordRef<'_>)) {
        self.each_node(|node| {
            let there = other.node_of_any(node.name());
            if there.is_some_and(|there| there.equals(node)) {
                return;
            }
            let known = there.map(|there| other.keys(there)).unwrap_or_default();
            self.each_record(node, |record| {
                if known.is_empty() || !known.contains(&key(record)) {
                    each(record);
                }
            });
        });
    }

    fn keys(&self, node: Node<'_>) -> HashSet<Key> {
        let mut keys = HashSet::new();
        self.each_record(node, |record| {
            keys.insert(key(record));
        });
        keys
    }
}

/// What tells the records of a name apart: type, TTL and RDATA.
type Key = (Rtype, u32, Vec<u8>);

fn key(record: RecordRef<'_>) -> Key {
    (record.rtype, record.ttl, folded(record.rtype, record.rdata).into_owned())
}
