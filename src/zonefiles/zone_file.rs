//! One zone and its file: the version that serves, and how it is renewed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chain::Clock;
use files::versions::{Stamp, Versions};
use telemetry::metrics::{self, Gauge};
use wire::Name;
use zone::Live;

use crate::load::{self, Failed, Loaded, Problem};
use crate::notice::Notice;
use crate::report::{self, Fresh};

/// The number of zones whose file cannot be loaded.
const FAILED: &str = "catena_file_zone_failed";

/// A zone and its file. It survives a reload of the Corefile.
pub struct ZoneFile {
    live: Arc<Live>,
    path: Mutex<PathBuf>,
    files: Mutex<Files>,
    /// The series that says that the file cannot be loaded. A zone of the next configuration has its own.
    failure: Mutex<Option<Gauge>>,
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
    /// The digest of the text of the version that serves.
    digest: u64,
}

/// What a check finds in a file that has changed.
#[derive(Debug)]
pub enum Renewed {
    /// A new version, which serves now.
    Fresh(Fresh),
    /// A new text with the serial of the version that serves. That serves on, as in CoreDNS.
    Unraised(Notice),
    /// Mistakes. The version before serves on.
    Wrong(Problem),
}

impl ZoneFile {
    /// A zone that is not loaded yet.
    pub fn new(origin: Name, path: PathBuf, clock: Clock) -> Self {
        Self::of(Live::new(origin), path, clock)
    }

    /// A zone that was just loaded. It continues `before`, the zone that was loaded from this file until now.
    pub fn loaded(
        loaded: Loaded,
        path: PathBuf,
        clock: Clock,
        before: Option<&Self>,
    ) -> (Self, Fresh) {
        let Loaded { zone, versions, warnings, digest } = loaded;
        let serial = zone.serial();
        let notice = before.and_then(|before| before.notice(serial, digest));
        let live = match before {
            Some(before) => Live::following(&before.live, zone),
            None => Live::starting(zone),
        };
        let file = Self::of(live, path, clock);
        file.took(versions, digest);
        (file, Fresh { serial, warnings, notice })
    }

    fn of(live: Live, path: PathBuf, clock: Clock) -> Self {
        let file = Self {
            live: Arc::new(live),
            path: Mutex::default(),
            files: Mutex::default(),
            failure: Mutex::default(),
            clock,
        };
        file.set_path(path);
        file
    }

    /// The zone that answers.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// The name of the zone.
    pub fn origin(&self) -> &Name {
        self.live.origin()
    }

    /// The file to watch. Included files count when the serial of the zone changes.
    pub fn path(&self) -> PathBuf {
        self.path.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_path(&self, path: PathBuf) {
        self.live.set_status(|status| status.source = format!("file {}", path.display()));
        *self.path.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }

    /// Notes that the zone has another file. The next check compares it with the version that serves.
    pub fn move_to(&self, path: &Path) {
        if self.path() != path {
            self.forget();
            self.set_path(path.to_owned());
            self.files().seen = Versions::default();
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the zone is loaded, and none of its files has changed.
    pub fn is_current(&self) -> bool {
        self.files().served.are_current()
    }

    /// Whether the zone is loaded.
    pub fn is_loaded(&self) -> bool {
        self.live.is_loaded()
    }

    /// Loads the file. If that fails, the current version keeps serving.
    fn load(&self) -> Result<Fresh, Failed> {
        let Loaded { zone, versions, warnings, digest } = load::load(&self.path(), self.origin())?;
        let serial = zone.serial();
        let notice = self.notice(serial, digest);
        self.live.replace(zone);
        self.took(versions, digest);
        Ok(Fresh { serial, warnings, notice })
    }

    /// What is odd about this serial of a text with this digest, after the version that serves.
    fn notice(&self, serial: u32, digest: u64) -> Option<Notice> {
        let before = self.live.zone_to_keep()?.serial();
        Notice::of(before, serial, self.files().digest != digest)
    }

    /// Notes that these versions of the files serve.
    fn took(&self, versions: Versions, digest: u64) {
        // As in CoreDNS, a change of an included file alone makes no new version.
        let seen = versions.clone().first_only();
        *self.files() = Files { served: versions, seen, digest };
        let now = authority::now(self.clock);
        self.live.set_status(|status| status.changed = Some(now));
        self.mended();
    }

    /// Notes that the files cannot be loaded in their current versions.
    pub fn failed(&self, failed: &Failed) {
        self.files().seen = failed.versions.clone();
        self.live.set_trouble(Some(report::extended(&failed.problem)));
        let now = authority::now(self.clock);
        self.live.set_status(|status| {
            status.checked = Some(now);
            status.trouble = Some(report::summary(&failed.problem, &self.path()));
        });
        let (zone, file) = (self.origin().to_string(), self.path().display().to_string());
        let serving = if self.is_loaded() { "before" } else { "none" };
        self.forget();
        let failure = metrics::own_gauge(
            FAILED,
            "1 for each zone whose file cannot be loaded, and what answers: the version before or none.",
            &["zone", "file", "serving"],
            &[&zone, &file, serving],
        );
        failure.set(1.0);
        *self.failure() = Some(failure);
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
        self.live.set_trouble(None);
        self.forget();
    }

    fn forget(&self) {
        if let Some(failure) = self.failure().take() {
            metrics::forget_gauge(FAILED, &failure);
        }
    }

    fn failure(&self) -> MutexGuard<'_, Option<Gauge>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads a new version of the file; `None` if there is no new version. A version that is not loaded is new
    /// once. It does blocking I/O: never call it on a worker.
    pub fn renew(&self, by_mtime: bool) -> Option<Renewed> {
        if self.files().seen.are_current() {
            let now = authority::now(self.clock);
            self.live.set_status(|status| status.checked = Some(now));
            return None;
        }
        let versions = Versions::of(&self.path());
        let loaded = match self.is_changed(by_mtime, versions.first()) {
            Ok(true) => self.load(),
            Ok(false) => return self.keep(versions, by_mtime).map(Renewed::Unraised),
            Err(error) => Err(Failed { problem: Problem::Open(error), versions }),
        };
        Some(match loaded {
            Ok(fresh) => Renewed::Fresh(fresh),
            Err(failed) => {
                self.failed(&failed);
                Renewed::Wrong(failed.problem)
            }
        })
    }

    /// Keeps the version that serves, though there are new versions of the files. Returns what is odd about it.
    fn keep(&self, versions: Versions, by_mtime: bool) -> Option<Notice> {
        self.files().seen = versions;
        self.mended();
        let serial = self.live.zone_to_keep()?.serial();
        // A file that cannot be read now is found by the next check.
        let digest = if by_mtime { None } else { load::text_digest(&self.path()).ok() };
        let changed = digest.is_some_and(|digest| digest != self.files().digest);
        let notice = changed.then_some(Notice::Unraised { serial });
        if let Some(notice) = notice {
            let (message, remedy) = notice.text(self.origin());
            self.live.set_status(|status| status.trouble = Some(format!("{message}; {remedy}")));
        }
        notice
    }

    /// Whether the file has another version than the one that serves: another modification time, even an
    /// older one (a ConfigMap that was rolled back), or another serial.
    fn is_changed(&self, by_mtime: bool, now: Option<Stamp>) -> std::io::Result<bool> {
        if by_mtime {
            return match now {
                Some(_) => Ok(self.files().served.first() != now),
                None => Stamp::of(&self.path()).map(|_| true),
            };
        }
        let found = load::serial(&self.path(), self.origin())?;
        Ok(self.live.zone().as_ref().is_none_or(|zone| found != Some(zone.serial())))
    }

    /// Notes when the file is checked again.
    pub fn next_check(&self, every: Duration) {
        let next = authority::now(self.clock).checked_add(every);
        self.live.set_status(|status| status.next_check = next);
    }
}

impl Drop for ZoneFile {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use wire::Moment;

    const CLOCK: Clock = Clock { now: || Moment(0), unix: |_| 1_000 };

    fn text(serial: u32, address: &str) -> String {
        format!(
            "@ 300 SOA ns host {serial} 7200 3600 1209600 60\n@ 300 NS ns\nwww 300 A {address}\n"
        )
    }

    fn read(path: &Path, before: Option<&ZoneFile>) -> (ZoneFile, Fresh) {
        let origin = Name::from_text("example.org.").unwrap();
        let loaded = load::load(path, &origin).unwrap();
        ZoneFile::loaded(loaded, path.to_owned(), CLOCK, before)
    }

    /// Numbers of records that go and come in the changes since this serial.
    fn since(file: &ZoneFile, serial: u32) -> Option<Vec<(usize, usize)>> {
        let (changes, _) = file.live().since(serial)?;
        Some(changes.iter().map(|one| (one.removed().len(), one.added().len())).collect())
    }

    /// The line of the zone `name` in the metrics.
    fn failure(name: &str) -> Option<String> {
        let text = metrics::text();
        let of =
            |line: &&str| line.starts_with(FAILED) && line.contains(&format!("zone=\"{name}\""));
        text.lines().find(of).map(str::to_owned)
    }

    /// A reload: the zone of the next configuration fails too before that of the one before goes.
    #[test]
    fn the_metric_of_a_failed_zone_survives_the_zone_before() {
        let origin = Name::from_text("failed.example.").unwrap();
        let path = PathBuf::from("/nowhere/db.failed.example");
        let failed = || load::load(&path, &origin).err().unwrap();
        let make = || ZoneFile::new(origin.clone(), path.clone(), CLOCK);
        let before = make();
        before.failed(&failed());
        let next = make();
        next.failed(&failed());
        drop(before);
        assert!(failure("failed.example.").is_some_and(|line| line.ends_with(" 1")));
        drop(next);
        assert_eq!(failure("failed.example."), None);
    }

    #[test]
    fn a_changed_file_becomes_a_change() {
        let path = std::env::temp_dir().join(format!("catena-zone-file-{}", std::process::id()));
        let replace = |text: String| {
            // Another file takes its name, as tools do it, so that its time does not matter.
            let next = path.with_extension("next");
            fs::write(&next, text).unwrap();
            fs::rename(&next, &path).unwrap();
        };
        replace(text(1, "192.0.2.1"));
        let (file, fresh) = read(&path, None);
        assert_eq!((fresh.serial, fresh.notice), (1, None));
        assert!(file.renew(false).is_none(), "nothing has changed");
        replace(text(2, "192.0.2.2"));
        assert!(matches!(file.renew(false), Some(Renewed::Fresh(Fresh { serial: 2, .. }))));
        // The SOA record and the address.
        assert_eq!(since(&file, 1), Some(vec![(2, 2)]));

        // A comment more is another text of the same version.
        replace(text(2, "192.0.2.2") + "; a comment\n");
        let unraised = Notice::Unraised { serial: 2 };
        assert!(matches!(file.renew(false), Some(Renewed::Unraised(found)) if found == unraised));
        assert!(file.live().status().trouble.is_some_and(|why| why.contains("serial 2")));
        assert!(file.renew(false).is_none(), "it is reported once");
        replace(text(2, "192.0.2.2"));
        assert!(file.renew(false).is_none(), "the text of the version that serves");
        assert_eq!(file.live().status().trouble, None);

        // The zone of the next configuration continues the history.
        replace(text(3, "192.0.2.3"));
        let (next, fresh) = read(&path, Some(&file));
        assert_eq!((fresh.serial, fresh.notice), (3, None));
        assert_eq!(since(&next, 1), Some(vec![(2, 2), (2, 2)]));
        assert_eq!(since(&next, 2), Some(vec![(2, 2)]));
        assert_eq!(since(&file, 1), Some(vec![(2, 2)]), "the zone before serves on");
        replace(text(1, "192.0.2.1"));
        let (_, fresh) = read(&path, Some(&next));
        assert_eq!(fresh.notice, Some(Notice::Lower { before: 3, serial: 1 }));

        // Mistakes change nothing.
        replace("@ 300 SOA\n".to_owned());
        assert!(matches!(next.renew(false), Some(Renewed::Wrong(Problem::Text(_)))));
        assert_eq!(next.live().zone_to_keep().map(|zone| zone.serial()), Some(3));
        let status = next.live().status();
        assert_eq!(status.source, format!("file {}", path.display()));
        assert!(status.trouble.is_some_and(|why| why.contains(":1:")), "the place is there");
        fs::remove_file(&path).unwrap();
    }
}
