//! The changes that lead from one version of a zone to another.

use super::changes::Changes;
use crate::store::node::Node;
use crate::store::{self, Zone};

impl Zone {
    /// The changes that make `to` of this zone. The SOA record is among them if it differs.
    pub fn difference(&self, to: &Self) -> Changes {
        let mut changes = Changes::new();
        self.each_node(|node| {
            let other = to.node_of_any(node.name());
            if other.is_none_or(|other| !other.equals(node)) {
                self.each_record(node, |record| {
                    if !other.is_some_and(|other| to.has_record(other, record)) {
                        changes.remove(record);
                    }
                });
            }
        });
        to.each_node(|node| {
            let other = self.node_of_any(node.name());
            if other.is_none_or(|other| !other.equals(node)) {
                to.each_record(node, |record| {
                    if !other.is_some_and(|other| self.has_record(other, record)) {
                        changes.add(record);
                    }
                });
            }
        });
        changes
    }

    fn has_record(&self, node: Node<'_>, record: crate::RecordRef<'_>) -> bool {
        let mut found = false;
        self.each_record(node, |own| {
            found |= own.rtype == record.rtype
                && own.ttl == record.ttl
                && store::same_rdata(own.rtype, own.rdata, record.rdata);
        });
        found
    }
}
