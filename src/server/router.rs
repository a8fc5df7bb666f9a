//! From a name to the chain that answers it: the longest suffix that a server block has as a zone.

use std::sync::Arc;

use chain::Chain;
use chain::dns_metrics::{DROPPED, DnsMetrics};
use wire::{Name, Query, Rtype, hash, name};

/// A server block as seen from one of its zones on one listener.
#[derive(Clone)]
pub(crate) struct Target {
    /// The plugins.
    pub(crate) chain: Arc<Chain>,
    /// Index of the key in the block: which labels its metrics carry.
    pub(crate) key: u16,
    /// Queries of classes other than IN enter the chain.
    pub(crate) all_classes: bool,
    /// Panics end the process instead of the query (`debug`).
    pub(crate) debug: bool,
    /// Log the stack of a panic.
    pub(crate) stacktrace: bool,
    /// Collect metadata for queries in these zones.
    pub(crate) metadata: Option<Arc<chain::ZoneSet>>,
}

/// The zones of one listener.
#[derive(Default)]
pub(crate) struct Router {
    /// Open addressing over the hash of the zone name; a power of two, at most half full.
    slots: Box<[Option<(u64, u32)>]>,
    zones: Vec<(Name, Target)>,
    /// Bit `n` is set if a zone has `n` labels: other depths need no look.
    depths: u128,
    /// Whether any block takes classes other than IN, which opens the listener for them.
    pub(crate) all_classes: bool,
    /// Counts the queries that no block takes.
    pub(crate) dropped: Option<DnsMetrics>,
}

impl Router {
    /// The router for these zones, no zone twice, on the listener that metrics call `server`.
    pub(crate) fn new(server: &str, zones: Vec<(Name, Target)>) -> Self {
        let size = (zones.len() * 2).next_power_of_two().max(2);
        let mut slots = vec![None; size].into_boxed_slice();
        let mut depths = 0;
        for (index, (zone, _)) in zones.iter().enumerate() {
            let hash = hash::name(zone.as_wire());
            let mut slot = hash as usize & (size - 1);
            while slots[slot].is_some() {
                slot = (slot + 1) & (size - 1);
            }
            slots[slot] = Some((hash, index as u32));
            depths |= 1u128 << name::label_count(zone.as_wire());
        }
        let all_classes = zones.iter().any(|(_, target)| target.all_classes);
        let dropped = Some(DnsMetrics::new(server, DROPPED, ""));
        Self { slots, zones, depths, all_classes, dropped }
    }

    /// The block for a query and the label where its zone starts.
    ///
    /// A DS query for a zone's own name goes to the parent's block if there is one: the DS record
    /// lives on the parent's side of the cut (RFC 4035 section 3.1.4.1).
    #[inline]
    pub(crate) fn find(&self, query: &Query) -> Option<(&Target, usize)> {
        let labels = query.labels();
        let mut own = None;
        for label in 0..=labels {
            let depth = labels - label;
            if self.depths >> depth & 1 == 0 {
                continue;
            }
            let Some(target) = self.zone(query.suffix_hash(label), query.suffix(label)) else {
                continue;
            };
            if query.qtype() == Rtype::DS && own.is_none() && label == 0 && labels > 0 {
                own = Some((target, label));
                continue;
            }
            if depth == 0 && own.is_some() {
                break;
            }
            return Some((target, label));
        }
        own
    }

    /// Whether some block takes `name` (wire form).
    pub(crate) fn serves(&self, name: &[u8]) -> bool {
        self.zones.iter().any(|(zone, _)| name::is_under(name, zone.as_wire()))
    }

    #[inline]
    fn zone(&self, hash: u64, name: &[u8]) -> Option<&Target> {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while let Some((found, index)) = self.slots[slot] {
            if found == hash {
                let (zone, target) = &self.zones[index as usize];
                if zone.as_wire() == name {
                    return Some(target);
                }
            }
            slot = (slot + 1) & mask;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::Clock;
    use wire::Moment;

    fn router(zones: &[&str]) -> Router {
        let chain = Arc::new(Chain::new(Vec::new(), Clock { now: || Moment(0), unix: |_| 0 }));
        let target = |key| Target {
            chain: Arc::clone(&chain),
            key,
            all_classes: false,
            debug: false,
            stacktrace: false,
            metadata: None,
        };
        Router::new(
            "dns://:53",
            zones
                .iter()
                .enumerate()
                .map(|(key, zone)| (Name::from_text(zone).unwrap(), target(key as u16)))
                .collect(),
        )
    }

    fn route(router: &Router, text: &str, qtype: Rtype) -> Option<(u16, usize)> {
        let mut query = Query::new();
        let name = Name::from_text(text).unwrap();
        query.ask_on_behalf(&Query::new(), name.as_wire(), qtype, false);
        router.find(&query).map(|(target, label)| (target.key, label))
    }

    #[test]
    fn the_longest_zone_takes_the_query() {
        let router = router(&["example.org.", "sub.example.org.", "net."]);
        assert_eq!(route(&router, "www.SUB.example.org.", Rtype::A), Some((1, 1)));
        assert_eq!(route(&router, "sub.example.org.", Rtype::A), Some((1, 0)));
        assert_eq!(route(&router, "www.example.org.", Rtype::A), Some((0, 1)));
        assert_eq!(route(&router, "xexample.org.", Rtype::A), None);
        assert_eq!(route(&router, ".", Rtype::NS), None);
    }

    #[test]
    fn ds_goes_to_the_parent_if_it_is_served_here() {
        let router = router(&["example.org.", "sub.example.org.", "."]);
        assert_eq!(route(&router, "sub.example.org.", Rtype::DS), Some((0, 1)));
        assert_eq!(route(&router, "example.org.", Rtype::DS), Some((0, 0)), "not to the root");
        assert_eq!(route(&router, "x.sub.example.org.", Rtype::DS), Some((1, 1)));
        assert_eq!(route(&router, "com.", Rtype::DS), Some((2, 1)));
    }
}
