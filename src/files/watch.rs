//! Reports possible changes of files, so that a change is found before the next regular check.
//!
//! Directories are watched, not files: renaming replaces a file by another one, and a mounted ConfigMap
//! is a link that is swapped. Only events for the file's own name and for links that lead to it count.
//! An event only makes the next check come earlier. Changes that the system does not report (network
//! mounts, the target of a link elsewhere) are found by the regular check.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use notify::event::EventKind;
use notify::{Event, RecommendedWatcher, RecursiveMode};
use tokio::sync::Notify;

/// The pause between an event and the check: a file may be written in several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// The least pause after a check, as a multiple of its duration: checks of a large file that is written
/// all the time take at most a tenth of a core.
const REST: u32 = 9;
/// The most links in a row that are followed, as on Linux.
const MAX_LINKS: usize = 40;

/// The schedules to notify, by directory and name.
type Subscribers = HashMap<PathBuf, HashMap<OsString, Vec<Weak<Notify>>>>;

/// Stands for every name in a directory.
const ANY: &str = "";

/// Names in directories.
type Names = BTreeSet<(PathBuf, OsString)>;

/// The file notifications of the system; one for the process.
pub struct Watcher {
    system: Mutex<RecommendedWatcher>,
    subscribers: Arc<Mutex<Subscribers>>,
    unwatched: Unwatched,
}

/// Called for a directory that the system cannot watch.
type Unwatched = fn(&Path, notify::Error);

impl Watcher {
    /// A watcher of nothing yet. It calls `unwatched` for directories that the system cannot watch.
    ///
    /// Errors: the system has no such service, or no more of it for this user (on Linux
    /// `fs.inotify.max_user_instances`).
    pub fn new(unwatched: Unwatched) -> notify::Result<Self> {
        let subscribers = Arc::new(Mutex::new(Subscribers::new()));
        let all = Arc::clone(&subscribers);
        let system = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let all = lock(&all);
            match event {
                // Reading is no change; checks read.
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
                Ok(event) if !event.need_rescan() => {
                    for path in &event.paths {
                        let known = path.parent().and_then(|directory| all.get(directory));
                        let Some(names) = known else { continue };
                        let name = path.file_name().unwrap_or_default();
                        let all = [names.get(name), names.get(OsStr::new(ANY))];
                        all.into_iter().flatten().for_each(|subscribers| wake(subscribers));
                    }
                }
                // Events were lost: all files are checked.
                _ => {
                    all.values().flat_map(HashMap::values).for_each(|subscribers| wake(subscribers))
                }
            }
        })?;
        Ok(Self { system: Mutex::new(system), subscribers, unwatched })
    }

    /// Watches the directories of these files. A directory that cannot be watched is left to the regular
    /// checks.
    fn watch(&self, files: Vec<Watchable>) -> Watch {
        let notify = Arc::new(Notify::new());
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        let names = names(&files);
        let directories: BTreeSet<&PathBuf> =
            names.iter().map(|(directory, _)| directory).collect();
        for directory in directories {
            if lock(&self.subscribers).contains_key(directory) {
                continue;
            }
            lock(&self.subscribers).insert(directory.clone(), HashMap::new());
            if let Err(error) = system_watch(&mut system, directory) {
                lock(&self.subscribers).remove(directory);
                (self.unwatched)(directory, error);
            }
        }
        let mut watch = Watch { notify, files, names, subscribers: Arc::clone(&self.subscribers) };
        watch.subscribe();
        let mut gone = Vec::new();
        lock(&self.subscribers).retain(|directory, names| {
            names.retain(|_, all| {
                all.retain(|one| one.strong_count() > 0);
                !all.is_empty()
            });
            if names.is_empty() {
                gone.push(directory.clone());
            }
            !names.is_empty()
        });
        for directory in gone {
            // The directory may have been removed, and its watch with it.
            let _ = notify::Watcher::unwatch(&mut *system, &directory);
        }
        watch
    }
}

fn lock(subscribers: &Mutex<Subscribers>) -> MutexGuard<'_, Subscribers> {
    subscribers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What events are about.
enum Watchable {
    /// A file.
    File(PathBuf),
    /// Everything in a directory, but not below the directories in it.
    Directory(PathBuf),
}

/// The subscription of some files.
struct Watch {
    notify: Arc<Notify>,
    files: Vec<Watchable>,
    /// The names that count.
    names: Names,
    subscribers: Arc<Mutex<Subscribers>>,
}

impl Watch {
    /// Subscribes to events of all names whose directories are watched.
    fn subscribe(&mut self) {
        let mut subscribers = lock(&self.subscribers);
        for (directory, name) in &self.names {
            if let Some(names) = subscribers.get_mut(directory) {
                names.entry(name.clone()).or_default().push(Arc::downgrade(&self.notify));
            }
        }
    }

    /// Follows the links again: their targets may have changed.
    async fn follow_links(&mut self) {
        let files = std::mem::take(&mut self.files);
        let found = tokio::task::spawn_blocking(move || {
            let names = names(&files);
            (files, names)
        });
        // This fails only when the process ends.
        let Ok((files, names)) = found.await else { return };
        self.files = files;
        if names == self.names {
            return;
        }
        self.unsubscribe();
        self.names = names;
        self.subscribe();
    }

    fn unsubscribe(&self) {
        let mut subscribers = lock(&self.subscribers);
        for (directory, name) in &self.names {
            let Some(names) = subscribers.get_mut(directory) else { continue };
            if let Some(all) = names.get_mut(name) {
                all.retain(|one| !std::ptr::eq(one.as_ptr(), Arc::as_ptr(&self.notify)));
                if all.is_empty() {
                    names.remove(name);
                }
            }
        }
    }
}

/// The names whose events count: those of the files, and of links in the same directory that lead to
/// them.
fn names(files: &[Watchable]) -> Names {
    let mut names = Names::new();
    for file in files {
        match file {
            Watchable::File(file) => {
                let (Some(directory), Some(name)) = (directory(file), file.file_name()) else {
                    continue;
                };
                add_links(&directory, name, &mut names);
            }
            Watchable::Directory(directory) => {
                if let Ok(directory) = directory.canonicalize() {
                    names.insert((directory, ANY.into()));
                }
            }
        }
    }
    names
}

fn add_links(directory: &Path, name: &OsStr, names: &mut Names) {
    let mut name = name.to_owned();
    for _ in 0..MAX_LINKS {
        let target = directory.join(&name).read_link();
        if !names.insert((directory.to_owned(), name)) {
            return;
        }
        // A ConfigMap's file leads to `..data/file`, and `..data` to a directory beside it.
        let mut parts = target.as_deref().unwrap_or_else(|_| Path::new("")).components();
        let Some(Component::Normal(first)) = parts.find(|part| *part != Component::CurDir) else {
            return;
        };
        name = first.to_owned();
    }
}

fn system_watch(system: &mut RecommendedWatcher, directory: &Path) -> notify::Result<()> {
    notify::Watcher::watch(system, directory, RecursiveMode::NonRecursive)
}

/// The canonical path of a file's directory.
fn directory(file: &Path) -> Option<PathBuf> {
    let directory = match file.parent()? {
        here if here.as_os_str().is_empty() => Path::new("."),
        directory => directory,
    };
    directory.canonicalize().ok()
}

fn wake(subscribers: &[Weak<Notify>]) {
    subscribers.iter().filter_map(Weak::upgrade).for_each(|one| one.notify_one());
}

/// The times at which some files are checked: after an interval, or earlier after an event.
pub struct PollSchedule {
    watch: Option<Watch>,
    /// The duration of the last check.
    took: Duration,
}

impl PollSchedule {
    /// A schedule for `files`, with events from `watcher`. Touches the file system: call it during setup.
    pub fn new<'a>(watcher: Option<&Watcher>, files: impl Iterator<Item = &'a Path>) -> Self {
        Self::of(watcher, files.map(|file| Watchable::File(file.to_owned())))
    }

    /// The same for everything in these directories, but not below the directories in them.
    pub fn of_directories<'a>(
        watcher: Option<&Watcher>,
        directories: impl Iterator<Item = &'a Path>,
    ) -> Self {
        Self::of(watcher, directories.map(|one| Watchable::Directory(one.to_owned())))
    }

    fn of(watcher: Option<&Watcher>, files: impl Iterator<Item = Watchable>) -> Self {
        Self { watch: watcher.map(|watcher| watcher.watch(files.collect())), took: Duration::ZERO }
    }

    /// Sets the duration of a check, if files are large: the next one comes later.
    pub fn took(&mut self, took: Duration) {
        self.took = took;
    }

    /// Waits for the next check, at most `every`.
    pub async fn next(&mut self, every: Duration) {
        let took = std::mem::take(&mut self.took);
        if let Some(watch) = &mut self.watch {
            watch.follow_links().await;
            let rest = took.saturating_mul(REST).min(every);
            tokio::time::sleep(rest).await;
            if tokio::time::timeout(every - rest, watch.notify.notified()).await.is_ok() {
                tokio::time::sleep(SETTLE.min(every)).await;
            }
        } else {
            tokio::time::sleep(every).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// Longer than any event takes.
    const LONG: Duration = Duration::from_secs(3600);
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn an_event_comes_before_the_interval_ends() {
        let here = std::env::temp_dir().join(format!("catena-watch-{}", std::process::id()));
        std::fs::create_dir_all(&here).unwrap();
        let here = here.canonicalize().unwrap();
        let (file, next) = (here.join("zone"), here.join("zone.next"));
        std::fs::write(&file, "1").unwrap();
        let watcher = Watcher::new(|_, _| ()).unwrap();
        let mut schedule = PollSchedule::new(Some(&watcher), [file.as_path()].into_iter());
        // Replaced, written to, removed, there again.
        std::fs::write(&next, "2").unwrap();
        std::fs::rename(&next, &file).unwrap();
        tokio::time::timeout(PATIENCE, schedule.next(LONG)).await.unwrap();
        for text in [Some("3"), None, Some("4")] {
            match text {
                Some(text) => std::fs::write(&file, text).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            tokio::time::timeout(PATIENCE, schedule.next(LONG)).await.unwrap();
        }
        // Reading causes no event: only the interval ends this wait.
        schedule.next(Duration::from_millis(300)).await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "4");
        schedule.next(Duration::from_millis(300)).await;
        drop(schedule);
        let mut other = PollSchedule::new(Some(&watcher), std::iter::empty());
        assert!(watcher.subscribers.lock().unwrap().is_empty(), "no schedule is subscribed");
        other.next(Duration::from_millis(1)).await;
        std::fs::remove_dir_all(&here).unwrap();
    }

    /// As kubelet mounts a ConfigMap: the file leads to `..data`, which is swapped.
    #[tokio::test]
    async fn only_names_that_lead_to_the_file_count() {
        let here = std::env::temp_dir().join(format!("catena-names-{}", std::process::id()));
        for version in ["..1", "..2", "..3"] {
            std::fs::create_dir_all(here.join(version)).unwrap();
            std::fs::write(here.join(version).join("zone"), version).unwrap();
        }
        let swap = |version: &str| {
            std::os::unix::fs::symlink(version, here.join("..next")).unwrap();
            std::fs::rename(here.join("..next"), here.join("..data")).unwrap();
        };
        swap("..1");
        std::os::unix::fs::symlink("..data/zone", here.join("zone")).unwrap();
        let watcher = Watcher::new(|_, _| ()).unwrap();
        let file = here.join("zone");
        let mut schedule = PollSchedule::new(Some(&watcher), [file.as_path()].into_iter());
        for version in ["..2", "..3"] {
            swap(version);
            tokio::time::timeout(PATIENCE, schedule.next(LONG)).await.unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), version);
        }
        // A file beside it causes no event, until the file itself is written.
        let began = Instant::now();
        let busy = here.join("log");
        let writes = async {
            while began.elapsed() < Duration::from_millis(600) {
                std::fs::write(&busy, "a line").unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            std::fs::remove_file(&file).unwrap();
            std::fs::write(&file, "no link any more").unwrap();
        };
        let look = tokio::time::timeout(PATIENCE, schedule.next(LONG));
        let (looked, ()) = tokio::join!(look, writes);
        looked.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(600), "no check came before");
        std::fs::remove_dir_all(&here).unwrap();
    }

    #[tokio::test]
    async fn every_name_in_a_directory_counts() {
        let here = std::env::temp_dir().join(format!("catena-any-{}", std::process::id()));
        std::fs::create_dir_all(here.join("below")).unwrap();
        let watcher = Watcher::new(|_, _| ()).unwrap();
        let all = [here.as_path()];
        let mut schedule = PollSchedule::of_directories(Some(&watcher), all.into_iter());
        std::fs::write(here.join("db.new"), "1").unwrap();
        tokio::time::timeout(PATIENCE, schedule.next(LONG)).await.unwrap();
        std::fs::remove_file(here.join("db.new")).unwrap();
        tokio::time::timeout(PATIENCE, schedule.next(LONG)).await.unwrap();
        let began = Instant::now();
        std::fs::write(here.join("below/file"), "1").unwrap();
        schedule.next(Duration::from_millis(300)).await;
        assert!(began.elapsed() >= Duration::from_millis(300), "only the interval ends this wait");
        std::fs::remove_dir_all(&here).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_watcher_time_passes() {
        let mut schedule = PollSchedule::new(None, std::iter::empty());
        let before = Instant::now();
        schedule.next(LONG).await;
        assert_eq!(before.elapsed(), LONG);
    }
}
