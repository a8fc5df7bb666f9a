//! All zones of the server, for metrics and for the operator.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chain::{Clock, Setup};
use wire::Name;
use zone::live::Status;
use zone::{Live, LiveSet};

/// The zones of one authority.
pub(crate) struct Group {
    plugin: &'static str,
    view: String,
    zones: Arc<LiveSet>,
    clock: Clock,
}

impl Group {
    pub(crate) fn new(
        plugin: &'static str,
        view: &str,
        zones: &Arc<LiveSet>,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self { plugin, view: view.to_owned(), zones: Arc::clone(zones), clock })
    }
}

/// The time of the server's clock, as the status of a zone has it.
pub fn now(clock: Clock) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs((clock.unix)((clock.now)()))
}

/// What the operator wants to know of a zone.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The name of the zone.
    pub zone: Name,
    /// The plugin that keeps it.
    pub plugin: &'static str,
    /// The view of its server block; empty without one.
    pub view: String,
    /// The serial of the version that serves; `None` if no version serves.
    pub serial: Option<u32>,
    /// Number of records of that version.
    pub records: usize,
    /// Bytes of memory of that version.
    pub memory: usize,
    /// Bytes of the changes that incremental transfers can send.
    pub history: usize,
    /// Where the zone comes from, and how current it is.
    pub status: Status,
    /// The time at which this was read.
    pub now: SystemTime,
}

impl Shown {
    fn of(zone: &Live, group: &Group, now: SystemTime) -> Self {
        let version = zone.zone_to_keep();
        let mut status = zone.status();
        if status.source.is_empty() {
            group.plugin.clone_into(&mut status.source);
        }
        Self {
            zone: zone.origin().clone(),
            plugin: group.plugin,
            view: group.view.clone(),
            serial: version.as_ref().map(|version| version.serial()),
            records: version.as_ref().map_or(0, |version| version.record_count()),
            memory: version.as_ref().map_or(0, |version| version.memory()),
            history: zone.history_bytes(),
            status,
            now,
        }
    }

    /// Time since the version was published.
    pub fn age(&self) -> Option<Duration> {
        Some(self.now.duration_since(self.status.changed?).unwrap_or_default())
    }
}

/// The zones of all authorities that there are. Configurations that follow each other share it.
#[derive(Default)]
pub struct Roster(Mutex<Vec<Weak<Group>>>);

impl Roster {
    /// The roster of this server.
    pub fn of(setup: &Setup<'_>) -> Arc<Self> {
        setup.keep("zones of the server", Self::default)
    }

    /// The roster of the process.
    pub(crate) fn of_process() -> &'static Self {
        static ALL: OnceLock<Roster> = OnceLock::new();
        ALL.get_or_init(Self::default)
    }

    pub(crate) fn add(&self, group: &Arc<Group>) {
        self.insert(group);
        Self::of_process().insert(group);
    }

    fn insert(&self, group: &Arc<Group>) {
        let mut groups = self.lock();
        groups.retain(|known| known.strong_count() > 0);
        groups.push(Arc::downgrade(group));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Group>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn groups(&self) -> Vec<Arc<Group>> {
        // The newest configuration comes first.
        self.lock().iter().rev().filter_map(Weak::upgrade).collect()
    }

    /// The first `limit` zones by name of those that are wanted, each once. A zone that two configurations share
    /// is one zone. The cost beside a look at each name is that of the zones that are returned.
    pub fn first(&self, limit: usize, wanted: impl Fn(&Name) -> bool) -> Vec<Shown> {
        let groups = self.groups();
        let sets: Vec<_> = groups.iter().map(|group| (group.zones.zones(), &**group)).collect();
        // Zones of one name are in an order that does not matter.
        let mut first: BTreeMap<(&Name, *const Live), (&Live, &Group)> = BTreeMap::new();
        for (zones, group) in &sets {
            for zone in zones.values() {
                let key = (zone.origin(), Arc::as_ptr(zone));
                let is_before = first.last_key_value().is_some_and(|(last, _)| key < *last);
                if (first.len() < limit || is_before) && wanted(zone.origin()) {
                    // The newest configuration keeps its own.
                    first.entry(key).or_insert((zone, group));
                    if first.len() > limit {
                        first.pop_last();
                    }
                }
            }
        }
        let shown = |(zone, group): &(&Live, &Group)| Shown::of(zone, group, now(group.clock));
        let mut shown: Vec<Shown> = first.values().map(shown).collect();
        shown.sort_by(|a, b| {
            (&a.zone, &a.status.source, &a.view).cmp(&(&b.zone, &b.status.source, &b.view))
        });
        shown
    }

    /// The number of zones of each plugin.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        let mut seen = HashSet::new();
        for group in self.groups() {
            for zone in group.zones.zones().values() {
                if seen.insert(Arc::as_ptr(zone)) {
                    *counts.entry(group.plugin).or_default() += 1;
                }
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Moment;

    const CLOCK: Clock = Clock { now: || Moment(0), unix: |_| 1_000 };

    fn zones(numbers: impl Iterator<Item = usize>) -> Vec<Arc<Live>> {
        let name = |number: usize| Name::from_text(&format!("z{number:05}.example.")).unwrap();
        numbers.map(|number| Arc::new(Live::new(name(number)))).collect()
    }

    #[test]
    fn the_first_zones_are_found_without_a_list_of_all() {
        const COUNT: usize = 20_000;
        let set = Arc::new(LiveSet::new(zones((0..COUNT).map(|at| at * 7919 % COUNT))));
        let (old, new) = (Group::new("file", "", &set, CLOCK), Group::new("file", "", &set, CLOCK));
        let other = Arc::new(LiveSet::new(zones([3, COUNT].into_iter())));
        let other = Group::new("auto", "", &other, CLOCK);
        let roster = Roster::default();
        [&old, &new, &other].into_iter().for_each(|group| roster.insert(group));
        let names = |shown: &[Shown]| -> Vec<String> {
            shown.iter().map(|one| format!("{} {}", one.zone, one.plugin)).collect()
        };
        let mut shown = Vec::new();
        let counted = allocation_counter::measure(|| shown = roster.first(6, |_| true));
        assert!(counted.bytes_total < 64 << 10, "{} octets for 6 of {COUNT}", counted.bytes_total);
        assert_eq!(
            names(&shown),
            [
                "z00000.example. file",
                "z00001.example. file",
                "z00002.example. file",
                "z00003.example. auto",
                "z00003.example. file",
                "z00004.example. file"
            ]
        );
        let last = Name::from_text("z20000.example.").unwrap();
        assert_eq!(names(&roster.first(9, |name| name.is_under(&last))), ["z20000.example. auto"]);
        assert_eq!(roster.first(0, |_| true).len(), 0);
        assert_eq!(roster.counts(), BTreeMap::from([("auto", 2), ("file", COUNT)]));
    }
}
