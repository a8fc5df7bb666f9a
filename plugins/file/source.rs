//! One zone and the file it comes from: what serves now, and how it is renewed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use chain::watch::Looks;
use wire::{Name, Query};
use zone::{Whereabouts, Zone};

use super::config::Watch;
use super::load::{self, Loaded, Problem, Stamp};

/// Stages of [`Source::prefetch`].
pub(super) const PREFETCH_STAGES: u8 = 3;

/// A zone and its file. Lives through reloads of the Corefile. What a query needs of it is one
/// cache line.
#[repr(C, align(64))]
pub(super) struct Source {
    pub(super) origin: Name,
    /// The version that answers; none before the file could be read.
    zone: ArcSwapOption<Zone>,
    whereabouts: Whereabouts,
    path: PathBuf,
    /// The files that it was read from, as they were then.
    stamps: Mutex<Vec<(PathBuf, Stamp)>>,
}

const _: () = assert!(std::mem::offset_of!(Source, path) <= 64);

impl Source {
    /// A zone that is not loaded yet.
    pub(super) fn new(origin: Name, path: PathBuf) -> Self {
        Self {
            origin,
            zone: ArcSwapOption::empty(),
            whereabouts: Whereabouts::default(),
            path,
            stamps: Mutex::default(),
        }
    }

    /// The version that answers now.
    #[inline]
    pub(super) fn zone(&self) -> arc_swap::Guard<Option<Arc<Zone>>> {
        self.zone.load()
    }

    /// Starts to fetch what answering these queries will read: the source, then the zone with the line
    /// of its table that each name hashes to, then of a large zone the node that may be the name's.
    #[inline]
    pub(super) fn prefetch<'a>(&self, stage: u8, queries: impl Iterator<Item = &'a Query>) {
        match stage {
            0 => wire::prefetch::fetch(self),
            1 => {
                self.whereabouts.prefetch();
                queries.for_each(|query| self.whereabouts.prefetch_slot(query));
            }
            _ if self.whereabouts.is_small() => {}
            // One look at the current version for all: taking it is a fence, and fences between the
            // hints would make them wait for each other.
            _ => {
                if let Some(zone) = &*self.zone.load() {
                    queries.for_each(|query| zone.prefetch_node(query));
                }
            }
        }
    }

    /// The version that answers now, to hold on to while waiting.
    pub(super) fn zone_to_keep(&self) -> Option<Arc<Zone>> {
        self.zone.load_full()
    }

    /// The files to watch: the zone's own; what it includes counts when its serial changes.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the zone is loaded and no file that it was read from has changed.
    pub(super) fn is_current(&self) -> bool {
        let stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let same =
            |(path, stamp): &(PathBuf, Stamp)| Stamp::of(path).is_ok_and(|now| now == *stamp);
        !stamps.is_empty() && stamps.iter().all(same)
    }

    /// Whether there is a zone to answer from.
    pub(super) fn is_loaded(&self) -> bool {
        self.zone.load().is_some()
    }

    /// Reads the file. What served before goes on if that fails. Returns the serial, and which records
    /// are not part of the zone.
    pub(super) fn load(&self) -> Result<(u32, Vec<String>), Problem> {
        let Loaded { zone, stamps, left_out } = load::load(&self.path, &self.origin)?;
        let serial = zone.serial();
        *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) = stamps;
        let zone = Arc::new(zone);
        self.whereabouts.set(&zone);
        self.zone.store(Some(zone));
        Ok((serial, left_out))
    }

    /// Looks whether there is a new version and loads it. Reads files: never on a worker.
    pub(super) fn renew(&self, by_mtime: bool) {
        match self.is_changed(by_mtime) {
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => {
                let (zone, path) = (self.origin.to_string(), self.path.display().to_string());
                let verb = if by_mtime { "stat" } else { "open" };
                let why = load::words(&error);
                chain::error!("plugin/file: Failed to {verb} zone {zone:?} in {path:?}: {why}");
                return;
            }
        }
        let zone = self.origin.to_string();
        match self.load() {
            Ok((serial, left_out)) => {
                let path = self.path.display().to_string();
                for why in left_out {
                    chain::warning!("plugin/file: {path}: {why}; left out");
                }
                chain::info!(
                    "plugin/file: Successfully reloaded zone {zone:?} in {path:?} with {serial} \
                     SOA serial"
                );
            }
            Err(Problem::Open(error)) => {
                let path = self.path.display().to_string();
                let why = load::words(&error);
                chain::error!("plugin/file: Failed to open zone {zone:?} in {path:?}: {why}");
            }
            Err(Problem::Text(errors)) => {
                for error in errors {
                    chain::error!("plugin/file: Parsing zone {zone:?}: {error}");
                }
            }
            Err(Problem::Zone(errors)) => {
                for error in errors {
                    let path = self.path.display();
                    chain::error!("plugin/file: Parsing zone {zone:?}: {path}: {error}");
                }
            }
        }
    }

    /// Whether the file holds another version than the one that serves: another time, older ones
    /// included (a ConfigMap that was rolled back), or any other serial.
    fn is_changed(&self, by_mtime: bool) -> std::io::Result<bool> {
        if by_mtime {
            let now = Stamp::of(&self.path)?;
            let stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(stamps.first().is_none_or(|(_, stamp)| *stamp != now));
        }
        let found = load::serial(&self.path, &self.origin)?;
        Ok(self.zone.load().as_ref().is_none_or(|zone| found != Some(zone.serial())))
    }
}

/// Looks at the files again and again, one at a time, until the configuration is replaced.
pub(super) async fn watch(sources: Vec<Arc<Source>>, looks: Looks, watch: Watch) {
    let Watch { every, by_mtime } = watch;
    loop {
        looks.next(every.max(Duration::from_millis(1))).await;
        for source in &sources {
            let source = Arc::clone(source);
            // A load that panics has told so and is tried again with the next look.
            let _ = tokio::task::spawn_blocking(move || source.renew(by_mtime)).await;
        }
    }
}
