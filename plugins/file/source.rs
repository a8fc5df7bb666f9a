//! One zone and its file: the version that serves, and how it is renewed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chain::Clock;
use files::versions::{Stamp, Versions};
use files::watch::PollSchedule;
use telemetry::metrics;
use tokio::time::Instant;
use wire::Name;
use zone::Live;

use super::config::Watch;
use super::load::{self, Failed, Loaded, Problem, Warnings};
use super::report;

/// The number of zones whose file cannot be loaded.
const FAILED: &str = "catena_file_zone_failed";

/// A zone and its file. It survives a reload of the Corefile.
pub(super) struct ZoneFile {
    live: Arc<Live>,
    path: PathBuf,
    files: Mutex<Files>,
    clock: Clock,
}

/// The versions of a zone's files.
#[derive(Default)]
struct Files {
    /// The files of the version that serves.
    served: Versions,
    /// The files of the last check, whatever its result: as long as they do not change, there is nothing
    /// to load and nothing to log.
    seen: Versions,
}

/// A new version of a zone.
pub(super) struct Fresh {
    serial: u32,
    pub(super) warnings: Warnings,
}

impl ZoneFile {
    /// A zone that is not loaded yet.
    pub(super) fn new(origin: Name, path: PathBuf, clock: Clock) -> Self {
        Self::of(Live::new(origin), path, clock)
    }

    /// A zone that was just loaded. It continues `before`, the zone that was loaded from this file until now.
    pub(super) fn loaded(
        loaded: Loaded,
        path: PathBuf,
        clock: Clock,
        before: Option<&Self>,
    ) -> (Self, Fresh) {
        let Loaded { zone, versions, warnings } = loaded;
        let serial = zone.serial();
        let live = match before {
            Some(before) => Live::following(&before.live, zone),
            None => Live::starting(zone),
        };
        let source = Self::of(live, path, clock);
        source.took(versions);
        (source, Fresh { serial, warnings })
    }

    fn of(live: Live, path: PathBuf, clock: Clock) -> Self {
        live.set_status(|status| status.source = format!("file {}", path.display()));
        Self { live: Arc::new(live), path, files: Mutex::default(), clock }
    }

    /// The zone that answers.
    pub(super) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// The name of the zone.
    pub(super) fn origin(&self) -> &Name {
        self.live.origin()
    }

    /// The file to watch. Included files count when the serial of the zone changes.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the zone is loaded, and none of its files has changed.
    pub(super) fn is_current(&self) -> bool {
        self.files().served.are_current()
    }

    /// Whether the zone is loaded.
    pub(super) fn is_loaded(&self) -> bool {
        self.live.is_loaded()
    }

    /// Loads the file. If that fails, the current version keeps serving.
    fn load(&self) -> Result<Fresh, Failed> {
        let Loaded { zone, versions, warnings } = load::load(&self.path, self.origin())?;
        let serial = zone.serial();
        self.live.replace(zone);
        self.took(versions);
        Ok(Fresh { serial, warnings })
    }

    /// Notes that these versions of the files serve.
    fn took(&self, versions: Versions) {
        // As in CoreDNS, a change of an included file alone makes no new version.
        let seen = versions.clone().first_only();
        *self.files() = Files { served: versions, seen };
        let now = authority::now(self.clock);
        self.live.set_status(|status| status.changed = Some(now));
        self.mended();
    }

    /// Notes that the files cannot be loaded in their current versions.
    pub(super) fn failed(&self, failed: &Failed) {
        self.files().seen = failed.versions.clone();
        self.live.set_trouble(Some(report::extended(&failed.problem)));
        let now = authority::now(self.clock);
        self.live.set_status(|status| {
            status.checked = Some(now);
            status.trouble = Some(report::summary(&failed.problem, &self.path));
        });
        let (zone, file) = self.labels();
        let serving = if self.is_loaded() { "before" } else { "none" };
        self.forget();
        metrics::gauge(
            FAILED,
            "1 for each zone whose file cannot be loaded, and what answers: the version before or none.",
            &["zone", "file", "serving"],
            &[&zone, &file, serving],
        )
        .set(1.0);
        let help = "Versions of zone files that could not be loaded.";
        metrics::counter("catena_file_load_failures_total", help, &[], &[]).inc(metrics::SHARED);
    }

    /// Notes that the present file is the version that serves.
    fn mended(&self) {
        let now = authority::now(self.clock);
        self.live.set_status(|status| {
            status.checked = Some(now);
            status.trouble = None;
        });
        if self.live.set_trouble(None).is_some() {
            self.forget();
        }
    }

    fn forget(&self) {
        let (zone, file) = self.labels();
        metrics::forget(FAILED, |labels| labels.starts_with(&[zone.clone(), file.clone()]));
    }

    fn labels(&self) -> (String, String) {
        (self.origin().to_string(), self.path.display().to_string())
    }

    /// Loads a new version of the file; `None` if there is no new version. A version that cannot be loaded
    /// is new once. It does blocking I/O: never call it on a worker.
    pub(super) fn renew(&self, by_mtime: bool) -> Option<Result<Fresh, Problem>> {
        if self.files().seen.are_current() {
            let now = authority::now(self.clock);
            self.live.set_status(|status| status.checked = Some(now));
            return None;
        }
        let versions = Versions::of(&self.path);
        let loaded = match self.is_changed(by_mtime, versions.first()) {
            Ok(true) => self.load(),
            Ok(false) => {
                self.files().seen = versions;
                self.mended();
                return None;
            }
            Err(error) => Err(Failed { problem: Problem::Open(error), versions }),
        };
        Some(loaded.map_err(|failed| {
            self.failed(&failed);
            failed.problem
        }))
    }

    /// Whether the file has another version than the one that serves: another modification time, even an
    /// older one (a ConfigMap that was rolled back), or another serial.
    fn is_changed(&self, by_mtime: bool, now: Option<Stamp>) -> std::io::Result<bool> {
        if by_mtime {
            return match now {
                Some(_) => Ok(self.files().served.first() != now),
                None => Stamp::of(&self.path).map(|_| true),
            };
        }
        let found = load::serial(&self.path, self.origin())?;
        Ok(self.live.zone().as_ref().is_none_or(|zone| found != Some(zone.serial())))
    }

    /// Notes when the file is checked again.
    fn next_check(&self, every: Duration) {
        let next = authority::now(self.clock).checked_add(every);
        self.live.set_status(|status| status.next_check = next);
    }

    fn log(&self, fresh: &Fresh) {
        let (zone, path) = (self.origin().to_string(), self.path.display().to_string());
        let serial = fresh.serial;
        telemetry::info!(
            "plugin/file: Successfully reloaded zone {zone:?} in {path:?} with {serial} SOA serial"
        );
        report::log_warnings(&fresh.warnings);
    }
}

impl Drop for ZoneFile {
    fn drop(&mut self) {
        self.mended();
    }
}

/// Limits how often the mistakes of one zone are logged.
#[derive(Default)]
struct Reports {
    last: Option<Instant>,
    waiting: Option<Problem>,
}

impl Reports {
    /// Logs the result of a check. Mistakes of one version are logged once, and those of a file that is
    /// written repeatedly at most once in `every`.
    fn tell(&mut self, source: &ZoneFile, found: Option<Result<Fresh, Problem>>, every: Duration) {
        match found {
            Some(Ok(fresh)) => {
                source.log(&fresh);
                *self = Self::default();
            }
            Some(Err(problem)) => self.waiting = Some(problem),
            None => {}
        }
        if self.wait(every).is_zero()
            && let Some(problem) = self.waiting.take()
        {
            report::log(&problem, source.origin(), &source.path);
            self.last = Some(Instant::now());
        }
    }

    /// The time until the next mistake may be logged.
    fn wait(&self, every: Duration) -> Duration {
        self.last.map_or(Duration::ZERO, |last| every.saturating_sub(last.elapsed()))
    }
}

/// Checks the files regularly, one at a time, until the configuration is replaced.
pub(super) async fn watch(sources: Vec<Arc<ZoneFile>>, mut schedule: PollSchedule, watch: Watch) {
    let by_mtime = watch.by_mtime;
    let every = watch.every.max(Duration::from_millis(1));
    let mut reports: Vec<Reports> = sources.iter().map(|_| Reports::default()).collect();
    loop {
        let waiting = reports.iter().filter(|reports| reports.waiting.is_some());
        let next = waiting.map(|reports| reports.wait(every)).min().unwrap_or(every);
        schedule.next(next.clamp(Duration::from_millis(1), every)).await;
        let began = Instant::now();
        for (source, reports) in sources.iter().zip(&mut reports) {
            let looked = Arc::clone(source);
            // A load that panics is logged, and repeated at the next check.
            let found = tokio::task::spawn_blocking(move || looked.renew(by_mtime)).await;
            let found = found.ok().flatten();
            source.next_check(every);
            reports.tell(source, found, every);
        }
        schedule.took(began.elapsed());
    }
}
