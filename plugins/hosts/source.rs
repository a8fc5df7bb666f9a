//! A hosts file: its current table, and the detection of changes.

use std::io::{self, BufReader};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard};
use files::versions::Stamp;
use files::watch::PollSchedule;
use tokio::time::Instant;

use super::parse::{self, Rules};
use super::table::Table;

/// The largest hosts file: some twenty million names.
pub(super) const MAX_FILE: u64 = 1 << 30;

/// A hosts file. It survives a reload of the Corefile.
pub(super) struct HostsFile {
    path: PathBuf,
    rules: Rules,
    table: ArcSwap<Table>,
    seen: Mutex<Seen>,
}

/// The versions of the file.
#[derive(Debug, Default)]
struct Seen {
    /// The version that the table was made from.
    read: Option<Stamp>,
    /// The version of the last check, whether it could be read or not.
    last: Option<Stamp>,
}

impl HostsFile {
    /// A file that is not read yet.
    pub(super) fn new(path: PathBuf, rules: Rules) -> Self {
        Self { path, rules, table: ArcSwap::default(), seen: Mutex::default() }
    }

    /// The current table.
    #[inline]
    pub(super) fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// The modification time of the current version, in seconds since 1970.
    pub(super) fn modified(&self) -> Option<f64> {
        let modified = self.seen().read?.modified()?;
        modified.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file if it has changed. Returns whether it did. A file that cannot be read, or is gone,
    /// changes nothing and is logged once. It does blocking I/O: never call it on a worker.
    pub(super) fn renew(&self) -> bool {
        // A missing file is a version, too: it is logged once.
        let now = Stamp::of(&self.path);
        let before = std::mem::replace(&mut self.seen().last, now.as_ref().ok().copied());
        match now {
            Ok(now) if before == Some(now) => false,
            Ok(now) => match self.read() {
                Ok(()) => {
                    self.seen().read = Some(now);
                    true
                }
                Err(error) => {
                    let path = self.path.display();
                    telemetry::error!(
                        "plugin/hosts: {path}: {error}: its entries stay as they are"
                    );
                    false
                }
            },
            Err(error) => {
                if before.is_some() {
                    telemetry::debug!("plugin/hosts: {}: {error}", self.path.display());
                }
                false
            }
        }
    }

    fn read(&self) -> io::Result<()> {
        let file = files::open(&self.path, MAX_FILE)?;
        let table = parse::table(BufReader::with_capacity(1 << 16, file), &self.rules)?;
        telemetry::debug!("plugin/hosts: Parsed hosts file into {} entries", table.entries());
        self.table.store(Arc::new(table));
        Ok(())
    }
}

/// Checks the file regularly until the configuration is replaced.
pub(super) async fn watch(
    source: Arc<HostsFile>,
    mut schedule: PollSchedule,
    every: Duration,
    changed: impl Fn(&HostsFile),
) {
    loop {
        schedule.next(every).await;
        let (file, began) = (Arc::clone(&source), Instant::now());
        if let Ok(true) = tokio::task::spawn_blocking(move || file.renew()).await {
            changed(&source);
        }
        schedule.took(began.elapsed());
    }
}
