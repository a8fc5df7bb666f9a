//! A hosts file: what was read from it last, and when it has to be read again.

use std::io::{self, BufReader};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard};
use chain::watch::Looks;

use super::parse::{self, Rules};
use super::table::Table;

/// The largest hosts file: some twenty million names.
pub(super) const MAX_FILE: u64 = 1 << 30;

/// What tells whether a file is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    len: u64,
}

/// A hosts file. Lives through reloads of the Corefile.
pub(super) struct Source {
    path: PathBuf,
    rules: Rules,
    table: ArcSwap<Table>,
    stamp: Mutex<Option<Stamp>>,
    /// The problem that was logged last, empty where there is none.
    told: Mutex<String>,
}

impl Source {
    /// A file that is not read yet.
    pub(super) fn new(path: PathBuf, rules: Rules) -> Self {
        Self {
            path,
            rules,
            table: ArcSwap::default(),
            stamp: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// What the file says.
    #[inline]
    pub(super) fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// When the file that was read last had been changed, in seconds since 1970.
    pub(super) fn modified(&self) -> Option<f64> {
        let stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let since = stamp.as_ref()?.modified.duration_since(UNIX_EPOCH).ok()?;
        Some(since.as_secs_f64())
    }

    /// Reads the file if it changed; `true` if it did. A file that cannot be read, or is gone,
    /// changes nothing. Reads files: never on a worker.
    pub(super) fn renew(&self) -> bool {
        match self.read() {
            Ok(read) => {
                self.told.lock().unwrap_or_else(PoisonError::into_inner).clear();
                read
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                self.tell(&error.to_string());
                false
            }
        }
    }

    /// Says why the file cannot be read, once and not at each look.
    fn tell(&self, problem: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != problem {
            problem.clone_into(&mut told);
            let path = self.path.display();
            chain::error!("plugin/hosts: {path}: {problem}: what was read before stays in force");
        }
    }

    fn read(&self) -> io::Result<bool> {
        let file = files::open(&self.path, MAX_FILE)?;
        let found = file.metadata()?;
        let stamp = Stamp { modified: found.modified()?, len: found.len() };
        if *self.stamp.lock().unwrap_or_else(PoisonError::into_inner) == Some(stamp) {
            return Ok(false);
        }
        let table = parse::table(BufReader::with_capacity(1 << 16, file), &self.rules)?;
        chain::debug!("plugin/hosts: Parsed hosts file into {} entries", table.entries());
        self.table.store(Arc::new(table));
        *self.stamp.lock().unwrap_or_else(PoisonError::into_inner) = Some(stamp);
        Ok(true)
    }
}

/// Looks at the file again and again until the configuration is replaced.
pub(super) async fn watch(
    source: Arc<Source>,
    looks: Looks,
    every: Duration,
    changed: impl Fn(&Source),
) {
    loop {
        looks.next(every).await;
        let file = Arc::clone(&source);
        if let Ok(true) = tokio::task::spawn_blocking(move || file.renew()).await {
            changed(&source);
        }
    }
}
