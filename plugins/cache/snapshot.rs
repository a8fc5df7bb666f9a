//! Snapshots: the entries of a block on disk, for a warm start.
//!
//! The time of expiry is written as Unix time, so a snapshot does not extend any lifetime. A file that
//! is damaged, of another version or of another block stays untouched, and the cache starts empty. No
//! query waits for a snapshot.

mod format;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use chain::{Clock, Setup};
use corefile::Diagnostic;
use wire::Rcode;

use super::config::{Config, SnapshotConfig};
use super::entry::Entry;
use super::partition::Partition;
use super::store::{Store, Tenant};
use format::{Saved, SavedEntry, Writer};

/// Entries that are loaded before the task yields.
const BATCH: usize = 1_000;

/// The background task of a block's snapshot.
struct SnapshotTask {
    path: PathBuf,
    /// The zones and the view, which identify the block.
    zones: String,
    view: String,
    store: Arc<Store>,
    clock: Clock,
    config: Config,
}

/// The diagnostic for a file that another block uses.
pub(super) fn conflict(snapshot: &SnapshotConfig) -> Diagnostic {
    Diagnostic::error(snapshot.file.span, "two server blocks use the same snapshot file")
        .label("another block writes to this file")
        .help("give each block a file of its own")
}

/// Starts the task: it reads the snapshot when the configuration serves, and writes it regularly and at
/// shutdown.
pub(super) fn start(
    snapshot: &SnapshotConfig,
    config: &Config,
    store: &Arc<Store>,
    setup: &mut Setup<'_>,
) {
    let task = Arc::new(SnapshotTask {
        path: setup.path(&snapshot.file),
        zones: config.zones_label.clone(),
        view: setup.view().to_owned(),
        store: Arc::clone(store),
        clock: setup.clock(),
        config: config.clone(),
    });
    let folder = task.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let problem = format!("there is no directory `{}`", folder.display());
        setup.warn(
            Diagnostic::warning(snapshot.file.span, problem)
                .label("the snapshot cannot be written here")
                .help("create the directory, or check the path and `root`"),
        );
    }
    let (interval, last) = (snapshot.interval, Arc::clone(&task));
    setup.task(move || async move {
        if task.store.is_new() {
            task.read().await;
        }
        loop {
            tokio::time::sleep(interval).await;
            task.write().await;
        }
    });
    setup.on_shutdown(move || async move { last.write().await });
}

impl SnapshotTask {
    async fn read(&self) {
        let path = self.path.clone();
        // No snapshot of this store is larger.
        let most = self.store.capacity().saturating_add(1 << 20);
        let read = tokio::task::spawn_blocking(move || files::read(&path, most)).await;
        let octets = match read {
            Ok(Ok(octets)) => octets,
            // The first start has no snapshot.
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return,
            Ok(Err(error)) => return self.warn(&error.to_string()),
            Err(_) => return,
        };
        let saved = match Saved::new(&octets) {
            Ok(saved) if saved.zones != self.zones || saved.view != self.view => {
                let of =
                    format!("it belongs to the server block for {} {}", saved.zones, saved.view);
                return self.warn(of.trim_end());
            }
            Ok(saved) => saved,
            Err(problem) => return self.warn(problem),
        };
        let (mut taken, mut left_out) = (0u64, 0u64);
        let mut entries = saved.entries();
        loop {
            let now = (self.clock.now)();
            let unix = (self.clock.unix)(now);
            for record in entries.by_ref().take(BATCH) {
                match record.and_then(|record| self.admit(&record, now, unix)) {
                    Some(true) => taken += 1,
                    Some(false) => {}
                    None => left_out += 1,
                }
            }
            if entries.is_done() {
                break;
            }
            tokio::task::yield_now().await;
        }
        if left_out > 0 {
            let path = self.path.display();
            telemetry::warning!(
                "plugin/cache: snapshot {path}: skipped {}",
                corefile::counted(left_out, "unreadable entry", "unreadable entries")
            );
        }
        let taken = corefile::counted(taken, "entry", "entries");
        telemetry::info!("plugin/cache: loaded {taken} from snapshot {}", self.path.display());
    }

    fn warn(&self, problem: &str) {
        let path = self.path.display();
        telemetry::warning!("plugin/cache: snapshot {path} is ignored: {problem}");
    }

    /// Stores an entry unless it is expired or known. `None` if it is invalid.
    fn admit(&self, saved: &SavedEntry<'_>, now: wire::Moment, unix: u64) -> Option<bool> {
        let content = saved.content()?;
        let most = i64::from(content.ttl);
        // The system clock may have been set back since the write.
        let left = saved.expires.checked_sub(i64::try_from(unix).ok()?)?.min(most);
        let stale_for = self.config.stale.map_or(0, |stale| i64::from(stale.up_to));
        let partition = self.store.tenant(saved.partition);
        let key = saved.key();
        if left <= -stale_for || partition.peek(&key).is_some() {
            return Some(false);
        }
        let entry = Entry::expiring(&key, partition.id(), now, left, content)?;
        if let Some(subnet) = saved.subnet {
            self.store.lengths.note(&subnet);
        }
        partition.insert(entry);
        Some(true)
    }

    async fn write(&self) {
        let now = (self.clock.now)();
        let unix = (self.clock.unix)(now);
        let stale_for = self.config.stale.map_or(0, |stale| i64::from(stale.up_to));
        let mut writer = Writer::new(unix, &self.zones, &self.view);
        for partition in [Partition::Success, Partition::Denial] {
            let tenant = self.store.tenant(partition);
            for shard in 0..Tenant::shards() {
                for entry in tenant.entries_of(shard) {
                    let left = entry.ttl(now);
                    let fails = matches!(entry.facts().rcode, Rcode::SERVFAIL | Rcode::NOTIMP);
                    // The versions of own zones mean nothing to another process.
                    let lasts = entry.is_answer() && !fails && !entry.has_own_data();
                    if left > -stale_for && lasts {
                        writer.push(partition, &entry, unix as i64 + left);
                    }
                }
                tokio::task::yield_now().await;
            }
        }
        let (path, octets) = (self.path.clone(), writer.finish());
        let written =
            tokio::task::spawn_blocking(move || files::replace(&path, &octets, files::PRIVATE))
                .await;
        if let Ok(Err(error)) = written {
            let path = self.path.display();
            telemetry::warning!("plugin/cache: cannot write snapshot {path}: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
