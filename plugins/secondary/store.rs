//! The copy of a zone on disk, and when a primary last confirmed it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use files::PRIVATE;
use journal::{Error, Journal, Recovered};
use wire::Name;
use zone::{Changes, Live, Zone};

/// The confirmation on disk is at most this old, or as old as the last one.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// Octets of the note about the last confirmation at most.
const MAX_NOTE: u64 = 512;
/// The part of a zone's memory that changes may take to be stored as such.
const PART: usize = 4;

/// What is on the disk.
pub(super) struct Found {
    pub(super) zone: Zone,
    pub(super) history: Vec<Changes>,
    /// When a primary last confirmed it, and which; `None` if that is unknown.
    pub(super) confirmed: Option<(SystemTime, SocketAddr)>,
}

/// The place of one zone's copy.
pub(super) struct Store {
    directory: PathBuf,
    origin: Name,
    journal: Journal,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The version on the disk; `None` if that is unknown.
    stored: Option<u32>,
    noted: Option<(SystemTime, SocketAddr)>,
}

impl Store {
    /// Reads what is there, and changes nothing. Blocks.
    ///
    /// # Errors
    /// The files are damaged, or cannot be read.
    pub(super) fn open(directory: &Path, origin: &Name) -> Result<(Self, Option<Found>), Error> {
        let (journal, recovered) = Journal::read(directory, origin)?;
        let store = Self {
            directory: directory.to_owned(),
            origin: origin.clone(),
            journal,
            state: Mutex::default(),
        };
        let found = store.found(recovered);
        Ok((store, found))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Octets on the disk.
    pub(super) fn size(&self) -> u64 {
        self.journal.size()
    }

    /// Takes the files for writing. Returns what is there if another process has changed it. Blocks.
    ///
    /// # Errors
    /// Another process has them, or the system says why not.
    pub(super) fn claim(&self) -> Result<Option<Found>, Error> {
        Ok(self.journal.claim()?.and_then(|recovered| self.found(recovered)))
    }

    fn found(&self, recovered: Recovered) -> Option<Found> {
        if let Some(cut) = recovered.cut {
            telemetry::warning!("zone `{}`: {cut}", self.origin);
        }
        let zone = recovered.zone?;
        let confirmed =
            files::read_text(&self.note_path(), MAX_NOTE).ok().and_then(|text| note(&text));
        *self.state() = State { stored: Some(zone.serial()), noted: confirmed };
        Some(Found { zone, history: recovered.history, confirmed })
    }

    /// The next version replaces the one on the disk, even if its serial is the same.
    pub(super) fn forget(&self) {
        self.state().stored = None;
    }

    /// Brings the version that serves to the disk: as changes if they are small, otherwise as a whole.
    ///
    /// # Errors
    /// It cannot be written. The next call tries the whole version.
    pub(super) async fn save(self: &Arc<Self>, live: &Arc<Live>) -> Result<(), Error> {
        let Some(mut zone) = live.zone_to_keep() else { return Ok(()) };
        if !self.journal.is_claimed() {
            let store = Arc::clone(self);
            match tokio::task::spawn_blocking(move || store.claim()).await {
                Ok(claimed) => claimed.map(drop)?,
                Err(_) => return Ok(()),
            }
        }
        // Whoever drops this future leaves an unknown version on the disk.
        let stored = self.state().stored.take();
        if stored != Some(zone.serial()) {
            let mut steps = stored.and_then(|serial| live.since(serial));
            steps = steps.filter(|(changes, zone)| {
                changes.iter().map(|one| one.size()).sum::<usize>() <= zone.memory() / PART
            });
            let mut is_whole = true;
            if let Some((changes, led_to)) = steps {
                is_whole = false;
                zone = led_to;
                for (at, one) in changes.iter().enumerate() {
                    let is_last = at + 1 == changes.len();
                    let appended = match is_last {
                        true => self.journal.append(one).await,
                        // The last one waits for those before it too.
                        false => self.journal.append_then(one, |_| {}),
                    };
                    is_whole |= appended.is_err();
                }
            }
            if is_whole {
                self.journal.replace(Arc::clone(&zone)).await?;
            }
        }
        self.state().stored = Some(zone.serial());
        if self.journal.wants_compaction() {
            let (live, journal) = (Arc::clone(live), self.journal.clone());
            self.journal.compact(zone, move || {
                live.set_status(|status| status.journal_bytes = journal.size());
            });
        }
        Ok(())
    }

    /// Notes that a primary has confirmed the version. A note that is young enough stays. Blocks.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn note(&self, at: SystemTime, by: SocketAddr) -> std::io::Result<()> {
        let young = |(noted, who): (SystemTime, SocketAddr)| {
            who == by && at.duration_since(noted).is_ok_and(|age| age < NOTE_EVERY)
        };
        if !self.journal.is_claimed() || self.state().noted.is_some_and(young) {
            return Ok(());
        }
        let mut text = String::new();
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let _ = write!(text, "confirmed {seconds}\nprimary {by}\n");
        files::replace(&self.note_path(), text.as_bytes(), PRIVATE)?;
        self.state().noted = Some((at, by));
        Ok(())
    }

    /// Removes the files. Blocks.
    ///
    /// # Errors
    /// They are not ours, or the system says why not.
    pub(super) fn remove(&self) -> Result<(), Error> {
        self.claim()?;
        self.forget();
        // Without a version the note means nothing.
        let _ = std::fs::remove_file(self.note_path());
        self.journal.remove()
    }

    fn note_path(&self) -> PathBuf {
        self.directory.join(format!("{}.confirmed", journal::file_stem(&self.origin)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the note about a confirmation.
fn note(text: &str) -> Option<(SystemTime, SocketAddr)> {
    let mut lines = text.lines();
    let seconds = lines.next()?.strip_prefix("confirmed ")?.parse().ok()?;
    let primary = lines.next()?.strip_prefix("primary ")?.parse().ok()?;
    Some((UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?, primary))
}

#[cfg(test)]
mod tests {
    use zone::{Builder, RecordRef, master};

    use super::*;

    fn zone(serial: u32, hosts: u32) -> Zone {
        let origin = Name::from_text("example.org.").unwrap();
        let mut text = format!("$TTL 60\n@ SOA ns host {serial} 60 60 60 60\n@ NS ns\n");
        for host in 0..hosts {
            text += &format!("host{host} A 192.0.2.{}\n", host % 250);
        }
        let mut builder = Builder::new(&origin, 0);
        let add = &mut |record: RecordRef<'_>| builder.add(record);
        master::parse_text(&text, &master::Options::new(&origin), add).unwrap();
        builder.finish().unwrap()
    }

    #[tokio::test]
    async fn versions_come_back_as_they_were_stored() {
        let directory = std::env::temp_dir().join(format!("catena-store-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let origin = Name::from_text("Example.org.").unwrap();
        let open = || {
            let (store, found) = Store::open(&directory, &origin).unwrap();
            (Arc::new(store), found)
        };
        let (store, found) = open();
        assert!(found.is_none());
        let live = Arc::new(Live::starting(zone(1, 100)));
        store.save(&live).await.unwrap();
        let (at, by) = (UNIX_EPOCH + Duration::from_secs(1000), "192.0.2.1:53".parse().unwrap());
        store.note(at, by).unwrap();
        // Two versions more are small changes; a note that is younger than a minute stays.
        for serial in [2, 3] {
            live.replace(zone(serial, 100));
        }
        store.save(&live).await.unwrap();
        store.note(at + Duration::from_secs(59), by).unwrap();
        drop(store);
        let (store, found) = open();
        let found = found.unwrap();
        assert_eq!((found.zone.serial(), found.confirmed), (3, Some((at, by))));
        let steps: Vec<_> = found.history.iter().map(Changes::from_serial).collect();
        assert_eq!(steps, [Some(1), Some(2)]);
        // The thread that wrote may still have the lock.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while let Err(error) = store.claim() {
            assert!(std::time::Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let live = Arc::new(Live::new(origin.to_lower()));
        live.restore(found.zone, found.history);
        // Another zone is stored as a whole, even under the same serial.
        store.forget();
        live.replace(zone(3, 2));
        store.save(&live).await.unwrap();
        store.note(at + Duration::from_secs(61), by).unwrap();
        drop(store);
        let (store, found) = open();
        let found = found.unwrap();
        assert_eq!((found.zone.record_count(), found.history.len()), (4, 0));
        assert_eq!(found.confirmed, Some((at + Duration::from_secs(61), by)));
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while let Err(error) = store.remove() {
            assert!(std::time::Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(store);
        assert!(open().1.is_none());
        assert!(!directory.join("example.org.confirmed").exists());
        let _ = std::fs::remove_dir_all(&directory);
    }
}
