//! The journal of a zone: changes wait in a queue, and all that wait are written and synced together.

mod state;
mod writing;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use files::versions::Stamp;
use tokio::sync::oneshot;
use wire::Name;
use zone::{Changes, Zone};

use crate::disk::Disk;
use crate::error::{Error, Kind};
use crate::log;
use crate::place::Place;
use crate::read::{self, Recovered};
use state::{End, Item, Queue, Shared, lock, stopped};
use writing::{Writing, run};

/// Octets of changes that may wait for the disk.
const MAX_WAITING: usize = 64 << 20;

/// The database of one zone. It is read when it is made; it is written once it is claimed.
///
/// Changes are written in the order in which they were appended. If they cannot be written, those that
/// wait behind them fail too, because they follow from them.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

impl Journal {
    /// Reads the database of a zone in `directory`. Neither locks nor changes anything, so that a process
    /// that checks a configuration can do it, and one that writes is not disturbed.
    ///
    /// # Errors
    /// The files are damaged, or cannot be read.
    pub fn read(directory: &Path, origin: &Name) -> Result<(Self, Recovered), Error> {
        let place = Place::new(directory, origin);
        // Another process may be writing: what it had written at one moment counts.
        let (known, (recovered, position)) =
            read::beside_a_writer(&place, |listing| read::read(&place, listing))?;
        let shared = Shared {
            size: AtomicU64::new(known.size()),
            place,
            known,
            position,
            writing: Mutex::default(),
            snapshot: Mutex::default(),
            disk: Mutex::default(),
            queue: Mutex::default(),
            begun: AtomicU64::new(0),
        };
        Ok((Self(Arc::new(shared)), recovered))
    }

    /// Takes the database for writing; does nothing if this journal has it. Makes the directory if it is not
    /// there. Returns what the database holds if that has changed since it was read. Blocks: not for a
    /// worker's thread.
    ///
    /// # Errors
    /// Another process has it ([`Kind::InUse`]), the files are damaged, or the system says why not.
    pub fn claim(&self) -> Result<Option<Recovered>, Error> {
        let shared = &*self.0;
        if shared.queue().is_claimed() {
            return Ok(None);
        }
        // Whatever was appended before belongs to the database as it was then.
        let _no_writer = lock(&shared.writing);
        let _no_snapshot = lock(&shared.snapshot);
        let mut disk = lock(&shared.disk);
        if disk.is_some() {
            return Ok(None);
        }
        let claimed = Disk::claim(&shared.place, &shared.known, shared.position.as_ref())?;
        let (claimed, recovered) = claimed;
        shared.begun.fetch_add(1, Ordering::Relaxed);
        let mut queue = shared.queue();
        queue.end = End::of(Some(&claimed));
        queue.is_compacting = false;
        shared.measure(&mut queue, &claimed);
        *disk = Some(claimed);
        Ok(recovered)
    }

    /// Whether changes can be appended.
    pub fn is_claimed(&self) -> bool {
        self.0.queue().is_claimed()
    }

    /// Whether it is claimed and has no version: [`Journal::replace`] begins it.
    pub fn is_empty(&self) -> bool {
        self.0.queue().end == End::Empty
    }

    /// When the database was begun, or its whole content replaced; `None` if it never was claimed.
    pub fn begun(&self) -> Option<SystemTime> {
        Stamp::of(&self.0.place.lock()).ok()?.modified()
    }

    /// Appends changes to the queue. `done` is called on another thread once they are on the disk, in the
    /// order of the queue; not if this returns an error. If the runtime ends first, it is dropped.
    ///
    /// # Errors
    /// The database is not claimed, has no version, the changes do not follow the last ones, or too many
    /// wait.
    pub fn append_then(
        &self,
        changes: &Changes,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let mut body = Vec::with_capacity(16 + changes.size());
        let (from, to) = log::push(&mut body, changes)?;
        let mut queue = self.0.queue();
        queue.claimed()?;
        match queue.end {
            End::Version(serial) if serial == from => {}
            End::Version(serial) => {
                let message = format!("changes of version {from} do not follow version {serial}");
                return Err(Error::new(Kind::Unchained, message));
            }
            End::Empty | End::Unclaimed => {
                return Err(Error::new(Kind::Unclaimed, "the database has no version yet"));
            }
        }
        if queue.octets + body.len() > MAX_WAITING && queue.octets > 0 {
            return Err(Error::new(Kind::Busy, "too many changes wait for the disk"));
        }
        queue.octets += body.len();
        queue.end = End::Version(to);
        queue.items.push_back(Item::Append { body, serial: to, done: Box::new(done) });
        self.write(queue);
        Ok(())
    }

    /// Appends changes, and waits until they are on the disk.
    ///
    /// # Errors
    /// Those of [`Journal::append_then`], or the changes cannot be written: they are not in the database.
    pub fn append(&self, changes: &Changes) -> impl Future<Output = Result<(), Error>> + use<> {
        let (told, outcome) = oneshot::channel();
        let queued = self.append_then(changes, |done| {
            // Whoever appended may be gone.
            let _ = told.send(done);
        });
        wait(queued, outcome)
    }

    /// Replaces the whole content by a version that does not follow from the last one, after all that
    /// waits; `done` as in [`Journal::append_then`].
    ///
    /// # Errors
    /// The database is not claimed.
    pub fn replace_then(
        &self,
        zone: Arc<Zone>,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let mut queue = self.0.queue();
        queue.claimed()?;
        queue.end = End::Version(zone.serial());
        queue.items.push_back(Item::Replace { zone, done: Box::new(done) });
        self.write(queue);
        Ok(())
    }

    /// Replaces the whole content, and waits until it is on the disk.
    ///
    /// # Errors
    /// The database is not claimed, or cannot be written: it must be claimed again.
    pub fn replace(&self, zone: Arc<Zone>) -> impl Future<Output = Result<(), Error>> + use<> {
        let (told, outcome) = oneshot::channel();
        let queued = self.replace_then(zone, |done| {
            let _ = told.send(done);
        });
        wait(queued, outcome)
    }

    /// Whether the logs have grown so large that a new snapshot is worthwhile.
    pub fn wants_compaction(&self) -> bool {
        let queue = self.0.queue();
        queue.is_claimed() && !queue.is_compacting && queue.log_size >= queue.compact_at
    }

    /// Writes a new snapshot in the background: `zone` is the version that all changes appended so far lead
    /// to. Does nothing if a snapshot is being written. A failure is logged, and tried again when the
    /// logs have grown further. `then` is called on another thread when the files have another size.
    pub fn compact(&self, zone: Arc<Zone>, then: impl FnOnce() + Send + 'static) {
        let mut queue = self.0.queue();
        if queue.is_compacting || queue.end != End::Version(zone.serial()) {
            return;
        }
        queue.is_compacting = true;
        queue.items.push_back(Item::Compact { zone, then: Box::new(then) });
        self.write(queue);
    }

    /// Octets of all files of the database.
    pub fn size(&self) -> u64 {
        self.0.size.load(Ordering::Relaxed)
    }

    /// Removes the database, and gives it up. What is being written is written first; what waits behind it
    /// fails. Blocks: not for a worker's thread, and not for one that `done` is called on.
    ///
    /// # Errors
    /// The database is not claimed, or the system says why not.
    pub fn remove(&self) -> Result<(), Error> {
        let shared = &*self.0;
        let _no_writer = lock(&shared.writing);
        let _no_snapshot = lock(&shared.snapshot);
        let taken = lock(&shared.disk).take();
        let unclaimed = |why| Error::new(Kind::Unclaimed, why);
        let mut taken = taken.ok_or_else(|| unclaimed("the database is not claimed"))?;
        shared.begun.fetch_add(1, Ordering::Relaxed);
        let (waiting, _) = shared.give_up(&mut VecDeque::new(), false);
        let mut queue = shared.queue();
        // A writer that waits for its turn finds nothing to do, and ends.
        *queue = Queue { is_writing: queue.is_writing, ..Queue::default() };
        drop(queue);
        shared.size.store(0, Ordering::Relaxed);
        let removed = taken.remove_all();
        waiting.into_iter().for_each(|done| done(Err(unclaimed("the database is removed"))));
        removed
    }

    /// Starts a thread that writes, unless there is one. Outside of a runtime the caller writes.
    fn write(&self, mut queue: MutexGuard<'_, Queue>) {
        if std::mem::replace(&mut queue.is_writing, true) {
            return;
        }
        drop(queue);
        let mut writing = Writing::new(&self.0);
        run(move || writing.run());
    }
}

async fn wait(
    queued: Result<(), Error>,
    outcome: oneshot::Receiver<Result<(), Error>>,
) -> Result<(), Error> {
    queued?;
    outcome.await.unwrap_or_else(|_| Err(stopped()))
}
