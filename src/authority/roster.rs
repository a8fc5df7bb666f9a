//! All zones of the server, for metrics and for the operator.

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

    /// All zones by name, each once, and then by source. A zone that two configurations share is one zone.
    pub fn zones(&self) -> Vec<Shown> {
        let groups: Vec<Arc<Group>> = self.lock().iter().filter_map(Weak::upgrade).collect();
        let mut zones: Vec<(Arc<Live>, &Group)> = Vec::new();
        // The newest configuration comes first.
        for group in groups.iter().rev() {
            zones.extend(group.zones.all().into_iter().map(|zone| (zone, &**group)));
        }
        let mut seen = std::collections::HashSet::new();
        zones.retain(|(zone, _)| seen.insert(Arc::as_ptr(zone)));
        let mut shown: Vec<Shown> =
            zones.iter().map(|(zone, group)| Shown::of(zone, group, now(group.clock))).collect();
        shown.sort_by(|a, b| {
            (&a.zone, &a.status.source, &a.view).cmp(&(&b.zone, &b.status.source, &b.view))
        });
        shown
    }
}
