//! From a name to the chain that answers it: the longest suffix that a server block has as a zone.
//!
//! Several blocks may have one zone if they have views: the first that takes the query gets it.

use std::collections::HashMap;
use std::sync::Arc;

use chain::{Chain, Clock, Filter};
use exchange::Query;
use telemetry::dns_metrics::{DROPPED, DnsMetrics};
use wire::{Name, Rtype, SuffixTable, Zoned};

use super::block::Block;
use super::signature;

/// A server block as seen from one of its zones on one listener; one cache line.
#[derive(Clone)]
#[repr(align(64))]
pub(crate) struct Target {
    /// The zone.
    pub(crate) zone: Name,
    /// The plugins: those of the block, here because every query needs them.
    pub(crate) chain: Arc<Chain>,
    /// The block.
    pub(crate) block: Arc<Block>,
    /// Index of the key in the block: which labels its metrics carry.
    pub(crate) key: u16,
    /// A block without plugins: it knows its zones and answers nothing in them.
    pub(crate) empty: bool,
    /// Queries of classes other than IN enter the chain.
    pub(crate) all_classes: bool,
    /// What it wants to know of a query before its chain runs.
    pub(crate) admission: Option<Arc<Admission>>,
    /// Index of the next block with this zone, or [`NONE`].
    pub(crate) next: u32,
}

const _: () = assert!(size_of::<Target>() <= 64);

/// What a block does with a query before its chain runs.
pub(crate) struct Admission {
    /// Collect metadata for queries in these zones.
    pub(crate) metadata: Option<chain::ZoneSet>,
    /// Takes some queries only.
    pub(crate) filter: Option<Arc<dyn Filter>>,
}

impl Target {
    /// The place of `block` for its key with index `key`.
    pub(crate) fn new(zone: Name, block: Arc<Block>, key: u16) -> Self {
        Self {
            zone: zone.to_lower(),
            empty: block.chain.plugins().is_empty(),
            chain: Arc::clone(&block.chain),
            block,
            key,
            all_classes: false,
            admission: None,
            next: NONE,
        }
    }

    /// Lets the plugins of the block tell what they know about the query.
    #[cold]
    pub(crate) fn collect_metadata(&self, query: &mut Query) {
        let zones = self.admission.as_ref().and_then(|of| of.metadata.as_ref());
        if !zones.is_some_and(|zones| zones.contains(query)) {
            return;
        }
        query.collect_metadata();
        for plugin in self.chain.plugins() {
            if let Some(source) = plugin.roles().metadata {
                source.collect(query);
            }
        }
    }

    /// Whether the block takes the query. Its filter sees the metadata of its own plugins, and the signature
    /// as its own keys judge it.
    fn takes(&self, query: &mut Query, clock: Clock) -> bool {
        self.look_at(query, clock);
        self.filter().is_none_or(|filter| filter.takes(query))
    }

    /// Judges the signature of the query and collects metadata, as this block would.
    fn look_at(&self, query: &mut Query, clock: Clock) {
        if query.tsig_at().is_some() {
            // A record that cannot be read is refused where the query is admitted.
            let _ = signature::judge(query, self.block.keys.as_deref(), clock);
        }
        query.forget_metadata();
        self.collect_metadata(query);
    }

    fn filter(&self) -> Option<&dyn Filter> {
        self.admission.as_ref()?.filter.as_deref()
    }
}

/// The zones of one listener.
#[derive(Default)]
pub(crate) struct Router {
    /// Finds the first target of each zone; others follow by [`Target::next`].
    targets: SuffixTable<Target>,
    /// Whether any block takes classes other than IN, which opens the listener for them.
    pub(crate) all_classes: bool,
    /// Whether any block has a filter: then metadata is collected on the way here.
    pub(crate) views: bool,
    /// Whether any block takes UPDATE messages.
    pub(crate) updates: bool,
    /// Limits the replies that no chain makes: the first chain of the listener that limits any.
    pub(crate) limit: Option<Arc<Chain>>,
    /// Counts the queries that no block takes.
    pub(crate) dropped: Option<DnsMetrics>,
}

impl Zoned for Target {
    #[inline]
    fn zone_name(&self) -> &Name {
        &self.zone
    }
}

/// No further target.
const NONE: u32 = u32::MAX;

/// With so many zones the router is worth a prefetch.
const LARGE: usize = 32;

impl Router {
    /// The router for these zones, in the order of the Corefile, on the listener that metrics call `server`.
    pub(crate) fn new(server: &str, mut targets: Vec<Target>) -> Self {
        // Each block points to the next one with its zone.
        let mut last_of = HashMap::new();
        for index in 0..targets.len() {
            let last = last_of.insert(targets[index].zone.clone(), index);
            if let Some(target) = last.and_then(|last| targets.get_mut(last)) {
                target.next = index as u32;
            }
        }
        let all_classes = targets.iter().any(|target| target.all_classes);
        let views = targets.iter().any(|target| target.filter().is_some());
        let updates = targets.iter().any(|target| target.chain.takes_updates());
        let limit = targets.iter().find(|target| target.chain.limits());
        let limit = limit.map(|target| Arc::clone(&target.chain));
        let targets = SuffixTable::new(targets);
        let dropped = Some(DnsMetrics::new(server, DROPPED, ""));
        Self { targets, all_classes, views, updates, limit, dropped }
    }

    /// The block for a query and the label where its zone starts.
    ///
    /// A DS query for a zone's own name goes to the parent's block if there is one: the DS record
    /// lives on the parent's side of the cut (RFC 4035 section 3.1.4.1).
    #[inline]
    pub(crate) fn find(&self, query: &Query) -> Option<(&Target, usize)> {
        let mut own = None;
        for label in 0..=query.labels() {
            let Some(target) = self.targets.at(query, label) else { continue };
            match side(query, label, own.is_some()) {
                Side::Here => return Some((target, label)),
                Side::Child => own = Some((target, label)),
                Side::Above => break,
            }
        }
        own
    }

    /// The same where blocks have views: the first block of the longest zone that takes the query.
    /// Collects the metadata of the blocks it asks.
    #[cold]
    pub(crate) fn find_viewed(&self, query: &mut Query, clock: Clock) -> Option<(&Target, usize)> {
        let mut own = None;
        for label in 0..=query.labels() {
            let mut next = self.targets.at(query, label);
            while let Some(target) = next {
                // A block without plugins refuses, but for the root, where others may follow.
                if (!target.empty || label < query.labels()) && target.takes(query, clock) {
                    break;
                }
                next = self.targets.values().get(target.next as usize);
            }
            let Some(target) = next else { continue };
            match side(query, label, own.is_some()) {
                Side::Here => return Some((target, label)),
                Side::Child => own = Some((target, label)),
                Side::Above => break,
            }
        }
        // The metadata is that of the block last asked.
        if let Some((target, _)) = own {
            target.look_at(query, clock);
        }
        own
    }

    /// Whether some block takes `name` (wire form, lower case).
    pub(crate) fn serves(&self, name: &[u8]) -> bool {
        self.targets.find_name(name).is_some()
    }

    /// Whether there are so many zones that [`Router::prefetch`] pays.
    #[inline]
    pub(crate) fn is_large(&self) -> bool {
        self.targets.values().len() >= LARGE
    }

    /// Starts to fetch what [`Router::find`] will read: the table (stage 0), then what that points
    /// to (stage 1).
    #[inline]
    pub(crate) fn prefetch(&self, query: &Query, stage: u8) {
        self.targets.prefetch(query, stage);
    }
}

/// What a block is to a query, seen from the zone that starts at `label`.
enum Side {
    /// It answers.
    Here,
    /// It is the zone's own: the parent's is asked for first.
    Child,
    /// The root is not taken for the parent.
    Above,
}

#[inline]
fn side(query: &Query, label: usize, own: bool) -> Side {
    let labels = query.labels();
    if query.qtype() == Rtype::DS && !own && label == 0 && labels > 0 {
        Side::Child
    } else if label == labels && own {
        Side::Above
    } else {
        Side::Here
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::Counts;
    use super::*;
    use wire::Moment;

    fn router(zones: &[&str]) -> Router {
        let chain = Arc::new(Chain::new(Vec::new(), Clock { now: || Moment(0), unix: |_| 0 }));
        let block = Arc::new(Block::new(chain, Arc::new(Counts::new())));
        let target = |(key, zone): (usize, &&str)| {
            let zone = Name::from_text(zone).unwrap();
            Target { empty: false, ..Target::new(zone, Arc::clone(&block), key as u16) }
        };
        Router::new("dns://:53", zones.iter().enumerate().map(target).collect())
    }

    fn route(router: &Router, text: &str, qtype: Rtype) -> Option<(u16, usize)> {
        let mut query = Query::new();
        let name = Name::from_text(text).unwrap();
        query.make_subquery(&Query::new(), name.as_wire(), qtype, false);
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
