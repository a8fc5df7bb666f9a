//! Tells when a file may have changed, so that nobody waits for the next look at it.
//!
//! The system watches directories: a file that is replaced by renaming is another file, and a mounted
//! ConfigMap is a link that is swapped beside it. A notice only makes the next look come early; what
//! the system does not tell (a network mount, a link's target elsewhere) that look finds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use notify::event::EventKind;
use notify::{Event, RecommendedWatcher, RecursiveMode};
use tokio::sync::Notify;

/// Whoever writes a file may take several steps: how long to wait after the first of them.
const SETTLE: Duration = Duration::from_millis(100);

/// Those who wait for news of a directory.
type Waiting = HashMap<PathBuf, Vec<Weak<Notify>>>;

/// The system's notices about files; one for the process.
pub struct Watcher {
    system: Mutex<RecommendedWatcher>,
    waiting: Arc<Mutex<Waiting>>,
}

impl Watcher {
    /// A watcher of nothing yet.
    ///
    /// Errors: the system has no such service, or no more of it for this user (on Linux
    /// `fs.inotify.max_user_instances`).
    pub fn new() -> notify::Result<Self> {
        let waiting = Arc::new(Mutex::new(Waiting::new()));
        let all = Arc::clone(&waiting);
        let system = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let all = all.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                // Reading is no change, and is what a look does.
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
                Ok(event) if !event.need_rescan() => {
                    for directory in event.paths.iter().filter_map(|path| path.parent()) {
                        if let Some(waiting) = all.get(directory) {
                            wake(waiting);
                        }
                    }
                }
                // Notices were lost: everybody looks.
                _ => all.values().for_each(|waiting| wake(waiting)),
            }
        })?;
        Ok(Self { system: Mutex::new(system), waiting })
    }

    /// Watches the directories that these files are in. One that cannot be watched is left to the
    /// regular looks.
    fn watch<'a>(&self, files: impl Iterator<Item = &'a Path>) -> Arc<Notify> {
        let news = Arc::new(Notify::new());
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        for directory in files.filter_map(directory) {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let known = waiting.contains_key(&directory);
            waiting.entry(directory.clone()).or_default().push(Arc::downgrade(&news));
            drop(waiting);
            if !known && let Err(error) = system_watch(&mut system, &directory) {
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&directory);
                crate::debug!("cannot watch {}: {error}", directory.display());
            }
        }
        let mut gone = Vec::new();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).retain(|directory, all| {
            all.retain(|one| one.strong_count() > 0);
            if all.is_empty() {
                gone.push(directory.clone());
            }
            !all.is_empty()
        });
        for directory in gone {
            // It may be gone itself, and its watch with it.
            let _ = notify::Watcher::unwatch(&mut *system, &directory);
        }
        news
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

/// When to look at some files: after a time, or as soon as there is news.
pub struct Looks {
    news: Option<Arc<Notify>>,
}

impl Looks {
    /// Looks at `files`; with `watcher` at once when they change. Touches the file system: call it
    /// during set-up.
    pub fn new<'a>(watcher: Option<&Watcher>, files: impl Iterator<Item = &'a Path>) -> Self {
        Self { news: watcher.map(|watcher| watcher.watch(files)) }
    }

    /// Waits for the next look: at most `every`.
    pub async fn next(&self, every: Duration) {
        let Some(news) = &self.news else {
            return tokio::time::sleep(every).await;
        };
        if tokio::time::timeout(every, news.notified()).await.is_ok() {
            tokio::time::sleep(SETTLE.min(every)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let watcher = Watcher::new().unwrap();
        let looks = Looks::new(Some(&watcher), [file.as_path()].into_iter());
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
        let other = Looks::new(Some(&watcher), std::iter::empty());
        assert!(watcher.waiting.lock().unwrap().is_empty(), "nobody waits for it any more");
        other.next(Duration::from_millis(1)).await;
        std::fs::remove_dir_all(&here).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_watcher_time_passes() {
        let looks = Looks::new(None, std::iter::empty());
        let before = tokio::time::Instant::now();
        looks.next(LONG).await;
        assert_eq!(before.elapsed(), LONG);
    }
}
