//! Checks files for new versions, and logs what the checks find.

use std::sync::Arc;
use std::time::Duration;

use files::watch::PollSchedule;
use tokio::time::Instant;

use crate::load::Problem;
use crate::report;
use crate::zone_file::{Renewed, ZoneFile};

/// How a file is checked for changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The time between two checks. Zero means no checks.
    pub every: Duration,
    /// Whether the modification time decides, and not the serial of the SOA record.
    pub by_mtime: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Self { every: Duration::from_secs(60), by_mtime: false }
    }
}

/// A file that is checked. It limits how often the mistakes of its zone are logged.
pub struct Watched {
    file: Arc<ZoneFile>,
    /// When mistakes were logged last.
    last: Option<Instant>,
    waiting: Option<Problem>,
}

impl Watched {
    /// A file to be checked.
    pub fn new(file: Arc<ZoneFile>) -> Self {
        Self { file, last: None, waiting: None }
    }

    /// The file.
    pub fn file(&self) -> &Arc<ZoneFile> {
        &self.file
    }

    /// Checks the file, and logs the result. Mistakes of one version are logged once, and those of a file that
    /// is written repeatedly at most once in `every`.
    pub async fn check(&mut self, watch: Watch) {
        let looked = Arc::clone(&self.file);
        // A load that panics is logged, and repeated at the next check.
        let found = tokio::task::spawn_blocking(move || looked.renew(watch.by_mtime)).await;
        self.file.next_check(watch.every);
        match found.ok().flatten() {
            Some(Renewed::Fresh(fresh)) => {
                report::log_fresh(&fresh, self.file.origin(), &self.file.path());
                (self.last, self.waiting) = (None, None);
            }
            Some(Renewed::Unraised(notice)) => {
                report::log_notice(notice, self.file.origin(), &self.file.path());
            }
            Some(Renewed::Wrong(problem)) => self.waiting = Some(problem),
            None => {}
        }
        if self.rest(watch.every).is_zero()
            && let Some(problem) = self.waiting.take()
        {
            report::log(&problem, self.file.origin(), &self.file.path());
            self.last = Some(Instant::now());
        }
    }

    /// The time until a mistake that waits to be logged may be logged; `None` if none waits.
    pub fn waits(&self, every: Duration) -> Option<Duration> {
        self.waiting.as_ref().map(|_| self.rest(every))
    }

    fn rest(&self, every: Duration) -> Duration {
        self.last.map_or(Duration::ZERO, |last| every.saturating_sub(last.elapsed()))
    }
}

/// Checks the files regularly, one at a time, until the configuration is replaced.
pub async fn watch(files: Vec<Arc<ZoneFile>>, mut schedule: PollSchedule, watch: Watch) {
    let watch = Watch { every: watch.every.max(Duration::from_millis(1)), ..watch };
    let mut watched: Vec<Watched> = files.into_iter().map(Watched::new).collect();
    loop {
        let waits = watched.iter().filter_map(|file| file.waits(watch.every)).min();
        let next = waits.unwrap_or(watch.every);
        schedule.next(next.clamp(Duration::from_millis(1), watch.every)).await;
        let began = Instant::now();
        for file in &mut watched {
            file.check(watch).await;
        }
        schedule.took(began.elapsed());
    }
}
