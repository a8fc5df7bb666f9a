//! From a name to the chain that answers it: the longest suffix that a server block has as a zone.

use std::sync::Arc;

use chain::Chain;
use chain::dns_metrics::{DROPPED, DnsMetrics};
use wire::prefetch::fetch;
use wire::{Name, Query, Rtype, hash, name};

/// A server block as seen from one of its zones on one listener.
#[derive(Clone)]
pub(crate) struct Target {
    /// The plugins.
    pub(crate) chain: Arc<Chain>,
    /// Index of the key in the block: which labels its metrics carry.
    pub(crate) key: u16,
    /// A block without plugins: it knows its zones and answers nothing in them.
    pub(crate) empty: bool,
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
    slots: Box<[Slot]>,
    /// The zones' names in wire form, one behind the other.
    names: Box<[u8]>,
    targets: Box<[Target]>,
    /// Bit `n` is set if a zone has `n` labels: other depths need no look.
    depths: u128,
    /// Whether any block takes classes other than IN, which opens the listener for them.
    pub(crate) all_classes: bool,
    /// Counts the queries that no block takes.
    pub(crate) dropped: Option<DnsMetrics>,
}

/// A zone in the table; four of them share a cache line.
#[derive(Clone, Copy)]
struct Slot {
    hash: u64,
    /// Where its name starts.
    name: u32,
    /// Index of its target, or [`FREE`].
    target: u32,
}

const FREE: u32 = u32::MAX;

/// With so many zones the router is worth a prefetch.
const LARGE: usize = 32;

/// Depths that are prefetched: a name is seldom in more zones than that.
const MOST_DEPTHS: u32 = 3;

impl Router {
    /// The router for these zones, no zone twice, on the listener that metrics call `server`.
    pub(crate) fn new(server: &str, zones: Vec<(Name, Target)>) -> Self {
        let size = (zones.len() * 2).next_power_of_two().max(2);
        let mut slots = vec![Slot { hash: 0, name: 0, target: FREE }; size].into_boxed_slice();
        let mut depths = 0;
        let (mut names, mut targets) = (Vec::new(), Vec::with_capacity(zones.len()));
        for (zone, target) in zones {
            let hash = hash::name(zone.as_wire());
            let mut slot = hash as usize & (size - 1);
            while slots[slot].target != FREE {
                slot = (slot + 1) & (size - 1);
            }
            slots[slot] = Slot { hash, name: names.len() as u32, target: targets.len() as u32 };
            depths |= 1u128 << name::label_count(zone.as_wire());
            names.extend(zone.as_wire().to_ascii_lowercase());
            targets.push(target);
        }
        let all_classes = targets.iter().any(|target| target.all_classes);
        let dropped = Some(DnsMetrics::new(server, DROPPED, ""));
        Self { slots, names: names.into(), targets: targets.into(), depths, all_classes, dropped }
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

    /// Whether some block takes `name` (wire form, lower case).
    pub(crate) fn serves(&self, name: &[u8]) -> bool {
        !self.slots.is_empty()
            && name::label_starts(name)
                .map(|(at, _)| &name[at..])
                .chain([&[0][..]])
                .any(|suffix| self.zone(hash::name(suffix), suffix).is_some())
    }

    /// Whether there are so many zones that [`Router::prefetch`] pays.
    #[inline]
    pub(crate) fn is_large(&self) -> bool {
        self.targets.len() >= LARGE
    }

    /// Starts to fetch what [`Router::find`] will read: the table (stage 0), then what that points
    /// to (stage 1).
    #[inline]
    pub(crate) fn prefetch(&self, query: &Query, stage: u8) {
        let labels = query.labels();
        let mut depths = self.depths & (u128::MAX >> (127 - labels));
        for _ in 0..MOST_DEPTHS.min(depths.count_ones()) {
            let depth = 127 - depths.leading_zeros();
            depths &= !(1 << depth);
            let hash = query.suffix_hash(labels - depth as usize);
            let slot = &self.slots[hash as usize & (self.slots.len() - 1)];
            if stage == 0 {
                fetch(slot);
            } else if slot.hash == hash && slot.target != FREE {
                fetch(&self.names[slot.name as usize]);
                fetch(&self.targets[slot.target as usize]);
            }
        }
    }

    #[inline]
    fn zone(&self, hash: u64, name: &[u8]) -> Option<&Target> {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let zone = &self.slots[slot];
            if zone.target == FREE {
                return None;
            }
            // A name in wire form ends itself: no zone is a part of a longer one's bytes.
            if zone.hash == hash && self.names[zone.name as usize..].starts_with(name) {
                return Some(&self.targets[zone.target as usize]);
            }
            slot = (slot + 1) & mask;
        }
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
            empty: false,
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
    fn serves_what_is_in_a_zone() {
        let served = router(&["example.org.", "net."]);
        let serves = |text: &str| served.serves(Name::from_text(text).unwrap().as_wire());
        assert!(serves("example.org.") && serves("a.b.example.org.") && serves("x.net."));
        assert!(!serves("org.") && !serves(".") && !serves("xexample.org."));
        assert!(router(&["."]).serves(Name::root().as_wire()));
        assert!(!Router::default().serves(Name::root().as_wire()));
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
