//! Tells when a file may have changed, so that nobody waits for the next look at it.
//!
//! The system watches directories: a file that is replaced by renaming is another file, and a mounted
//! ConfigMap is a link that is swapped beside it. Only notices about the file's own name count, and
//! about links that lead to it: a log that is written beside a zone is no news of the zone. A notice
//! only makes the next look come early; what the system does not tell (a network mount, a link's
//! target elsewhere) that look finds.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use notify::event::EventKind;
use notify::{Event, RecommendedWatcher, RecursiveMode};
use tokio::sync::Notify;

/// Whoever writes a file may take several steps: how long to wait after the first of them.
const SETTLE: Duration = Duration::from_millis(100);
/// How much longer than a look took is waited before the next one, however much news there is: looks at
/// a large file that is written all the time take a tenth of a core at most.
const REST: u32 = 9;
/// The most links in a row that are followed, as on Linux.
const MAX_LINKS: usize = 40;

/// Those who wait for news: by directory, and in it by name.
type Waiting = HashMap<PathBuf, HashMap<OsString, Vec<Weak<Notify>>>>;

/// Names in directories.
type Names = BTreeSet<(PathBuf, OsString)>;

/// The system's notices about files; one for the process.
pub struct Watcher {
    system: Mutex<RecommendedWatcher>,
    waiting: Arc<Mutex<Waiting>>,
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
        let waiting = Arc::new(Mutex::new(Waiting::new()));
        let all = Arc::clone(&waiting);
        let system = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let all = lock(&all);
            match event {
                // Reading is no change, and is what a look does.
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
                Ok(event) if !event.need_rescan() => {
                    for path in &event.paths {
                        let known = path.parent().and_then(|directory| all.get(directory));
                        let name = path.file_name().unwrap_or_default();
                        if let Some(waiting) = known.and_then(|names| names.get(name)) {
                            wake(waiting);
                        }
                    }
                }
                // Notices were lost: everybody looks.
                _ => all.values().flat_map(HashMap::values).for_each(|waiting| wake(waiting)),
            }
        })?;
        Ok(Self { system: Mutex::new(system), waiting, unwatched })
    }

    /// Watches the directories that these files are in. One that cannot be watched is left to the
    /// regular looks.
    fn watch(&self, files: Vec<PathBuf>) -> News {
        let notify = Arc::new(Notify::new());
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        let names = names(&files);
        let directories: BTreeSet<&PathBuf> =
            names.iter().map(|(directory, _)| directory).collect();
        for directory in directories {
            if lock(&self.waiting).contains_key(directory) {
                continue;
            }
            lock(&self.waiting).insert(directory.clone(), HashMap::new());
            if let Err(error) = system_watch(&mut system, directory) {
                lock(&self.waiting).remove(directory);
                (self.unwatched)(directory, error);
            }
        }
        let mut news = News { notify, files, names, waiting: Arc::clone(&self.waiting) };
        news.register();
        let mut gone = Vec::new();
        lock(&self.waiting).retain(|directory, names| {
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
            // It may be gone itself, and its watch with it.
            let _ = notify::Watcher::unwatch(&mut *system, &directory);
        }
        news
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// News of some files.
struct News {
    notify: Arc<Notify>,
    files: Vec<PathBuf>,
    /// The names that count.
    names: Names,
    waiting: Arc<Mutex<Waiting>>,
}

impl News {
    /// Waits for news of all names whose directories are watched.
    fn register(&mut self) {
        let mut waiting = lock(&self.waiting);
        for (directory, name) in &self.names {
            if let Some(names) = waiting.get_mut(directory) {
                names.entry(name.clone()).or_default().push(Arc::downgrade(&self.notify));
            }
        }
    }

    /// Follows the links again, which may lead elsewhere by now.
    async fn follow_links(&mut self) {
        let files = std::mem::take(&mut self.files);
        let found = tokio::task::spawn_blocking(move || {
            let names = names(&files);
            (files, names)
        });
        // It only fails when the process ends.
        let Ok((files, names)) = found.await else { return };
        self.files = files;
        if names == self.names {
            return;
        }
        self.forget();
        self.names = names;
        self.register();
    }

    fn forget(&self) {
        let mut waiting = lock(&self.waiting);
        for (directory, name) in &self.names {
            let Some(names) = waiting.get_mut(directory) else { continue };
            if let Some(all) = names.get_mut(name) {
                all.retain(|one| !std::ptr::eq(one.as_ptr(), Arc::as_ptr(&self.notify)));
                if all.is_empty() {
                    names.remove(name);
                }
            }
        }
    }
}

/// The names by which files are found: their own, and of the links that lead to them those in the same
/// directory.
fn names(files: &[PathBuf]) -> Names {
    let mut names = Names::new();
    for file in files {
        let (Some(directory), Some(name)) = (directory(file), file.file_name()) else { continue };
        add_links(&directory, name, &mut names);
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

/// The directory that a file is in, as the system calls it.
fn directory(file: &Path) -> Option<PathBuf> {
    let directory = match file.parent()? {
        here if here.as_os_str().is_empty() => Path::new("."),
        directory => directory,
    };
    directory.canonicalize().ok()
}

fn wake(waiting: &[Weak<Notify>]) {
    waiting.iter().filter_map(Weak::upgrade).for_each(|one| one.notify_one());
}

/// When to look at some files: after a time, or as soon as there is news of them.
pub struct Looks {
    news: Option<News>,
    /// How long the last look took.
    took: Duration,
}

impl Looks {
    /// Looks at `files`; with `watcher` at once when they change. Touches the file system: call it
    /// during set-up.
    pub fn new<'a>(watcher: Option<&Watcher>, files: impl Iterator<Item = &'a Path>) -> Self {
        let files = files.map(Path::to_owned);
        Self { news: watcher.map(|watcher| watcher.watch(files.collect())), took: Duration::ZERO }
    }

    /// Says how long a look took, if files are large: the next one comes the later.
    pub fn took(&mut self, took: Duration) {
        self.took = took;
    }

    /// Waits for the next look: at most `every`.
    pub async fn next(&mut self, every: Duration) {
        let took = std::mem::take(&mut self.took);
        if let Some(news) = &mut self.news {
            news.follow_links().await;
            let rest = took.saturating_mul(REST).min(every);
            tokio::time::sleep(rest).await;
            if tokio::time::timeout(every - rest, news.notify.notified()).await.is_ok() {
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

    /// Longer than any machine takes to tell.
    const LONG: Duration = Duration::from_secs(3600);
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn news_come_before_the_time_is_over() {
        let here = std::env::temp_dir().join(format!("catena-watch-{}", std::process::id()));
        std::fs::create_dir_all(&here).unwrap();
        let here = here.canonicalize().unwrap();
        let (file, next) = (here.join("zone"), here.join("zone.next"));
        std::fs::write(&file, "1").unwrap();
        let watcher = Watcher::new(|_, _| ()).unwrap();
        let mut looks = Looks::new(Some(&watcher), [file.as_path()].into_iter());
        // Replaced, written to, removed, there again.
        std::fs::write(&next, "2").unwrap();
        std::fs::rename(&next, &file).unwrap();
        tokio::time::timeout(PATIENCE, looks.next(LONG)).await.unwrap();
        for text in [Some("3"), None, Some("4")] {
            match text {
                Some(text) => std::fs::write(&file, text).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            tokio::time::timeout(PATIENCE, looks.next(LONG)).await.unwrap();
        }
        // Reading is no news: only the time ends this one.
        looks.next(Duration::from_millis(300)).await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "4");
        looks.next(Duration::from_millis(300)).await;
        drop(looks);
        let mut other = Looks::new(Some(&watcher), std::iter::empty());
        assert!(watcher.waiting.lock().unwrap().is_empty(), "nobody waits for it any more");
        other.next(Duration::from_millis(1)).await;
        std::fs::remove_dir_all(&here).unwrap();
    }

    /// As kubelet mounts a ConfigMap: the file leads to `..data`, which is swapped.
    #[tokio::test]
    async fn only_names_that_lead_to_the_file_are_news() {
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
        let mut looks = Looks::new(Some(&watcher), [file.as_path()].into_iter());
        for version in ["..2", "..3"] {
            swap(version);
            tokio::time::timeout(PATIENCE, looks.next(LONG)).await.unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), version);
        }
        // What is written beside it is no news, until the file itself is written.
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
        let look = tokio::time::timeout(PATIENCE, looks.next(LONG));
        let (looked, ()) = tokio::join!(look, writes);
        looked.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(600), "nobody looked before");
        std::fs::remove_dir_all(&here).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_watcher_time_passes() {
        let mut looks = Looks::new(None, std::iter::empty());
        let before = Instant::now();
        looks.next(LONG).await;
        assert_eq!(before.elapsed(), LONG);
    }
}
