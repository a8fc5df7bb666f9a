//! The journal of a zone: changes wait in a queue, and all that wait are written and synced together.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use files::versions::Stamp;
use telemetry::metrics::{self, Counter, SHARED};
use tokio::sync::oneshot;
use wire::Name;
use zone::{Changes, Zone};

use crate::disk::{self, Disk};
use crate::error::{Error, Kind};
use crate::log;
use crate::place::{Listing, Place};
use crate::read::{self, Position, Recovered};

/// Octets of changes that may wait for the disk.
const MAX_WAITING: usize = 64 << 20;
/// Octets of changes that are synced together, before the last ones.
const MAX_TOGETHER: usize = 8 << 20;
/// Logs up to this size are no reason for a new snapshot.
const LEAST_LOG: u64 = 1 << 20;

/// Called when changes are on the disk, or are not.
type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// The database of one zone. It is read when it is made; it is written once it is claimed.
///
/// Changes are written in the order in which they were appended. If they cannot be written, those that
/// wait behind them fail too, because they follow from them.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    place: Place,
    known: Listing,
    position: Option<Position>,
    queue: Mutex<Queue>,
    disk: Mutex<Option<Disk>>,
    /// Locked while a snapshot is written.
    snapshot: Mutex<()>,
    /// The number of times that the database was begun anew: a snapshot of before is of no use then.
    begun: AtomicU64,
    size: AtomicU64,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Octets of the changes that wait.
    octets: usize,
    /// The serial after all that waits; `None` before the database is claimed or begun.
    serial: Option<u32>,
    is_claimed: bool,
    /// Whether a thread writes.
    is_writing: bool,
    is_compacting: bool,
    /// Whether the last changes could not be written.
    is_failing: bool,
    /// Octets of the logs that make a new snapshot worthwhile, and the same after one that failed.
    compact_at: u64,
    compact_again_at: u64,
    log_size: u64,
}

enum Item {
    Append { body: Vec<u8>, serial: u32, done: Done },
    Replace { zone: Arc<Zone>, done: Done },
    Compact(Arc<Zone>),
}

impl Journal {
    /// Reads the database of a zone in `directory`. Neither locks nor changes anything, so that a process
    /// that checks a configuration can do it, and one that writes is not disturbed.
    ///
    /// # Errors
    /// The files are damaged, or cannot be read.
    pub fn read(directory: &Path, origin: &Name) -> Result<(Self, Recovered), Error> {
        let place = Place::new(directory, origin);
        // Another process may be writing: what it had written at one moment counts.
        let known = place.listing()?;
        let (recovered, position) = read::read(&place, &known)?;
        let shared = Shared {
            size: AtomicU64::new(known.size()),
            place,
            known,
            position,
            queue: Mutex::default(),
            disk: Mutex::default(),
            snapshot: Mutex::default(),
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
        if shared.queue().is_claimed {
            return Ok(None);
        }
        let _no_snapshot = lock(&shared.snapshot);
        let mut disk = lock(&shared.disk);
        if disk.is_some() {
            return Ok(None);
        }
        let claimed = Disk::claim(&shared.place, &shared.known, shared.position.as_ref())?;
        let (claimed, recovered) = claimed;
        shared.begun.fetch_add(1, Ordering::Relaxed);
        let mut queue = shared.queue();
        queue.serial = claimed.serial();
        queue.is_claimed = true;
        queue.is_compacting = false;
        shared.measure(&mut queue, &claimed);
        *disk = Some(claimed);
        Ok(recovered)
    }

    /// Whether changes can be appended.
    pub fn is_claimed(&self) -> bool {
        self.0.queue().is_claimed
    }

    /// Whether it is claimed and has no version: [`Journal::replace`] begins it.
    pub fn is_empty(&self) -> bool {
        let queue = self.0.queue();
        queue.is_claimed && queue.serial.is_none()
    }

    /// When the database was claimed for the first time; `None` if it never was.
    pub fn begun(&self) -> Option<SystemTime> {
        // The lock is made then, and never written to.
        Stamp::of(&self.0.place.lock()).ok()?.modified()
    }

    /// Appends changes to the queue. `done` is called on another thread once they are on the disk, in the
    /// order of the queue; not if this returns an error.
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
        match queue.serial {
            Some(serial) if serial == from => {}
            Some(serial) => {
                let message = format!("changes of version {from} do not follow version {serial}");
                return Err(Error::new(Kind::Unchained, message));
            }
            None => return Err(Error::new(Kind::Unclaimed, "the database has no version yet")),
        }
        if queue.octets + body.len() > MAX_WAITING && queue.octets > 0 {
            return Err(Error::new(Kind::Busy, "too many changes wait for the disk"));
        }
        queue.octets += body.len();
        queue.serial = Some(to);
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
        queue.serial = Some(zone.serial());
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
        queue.is_claimed && !queue.is_compacting && queue.log_size >= queue.compact_at
    }

    /// Writes a new snapshot in the background: `zone` is the version that all changes appended so far lead
    /// to. Does nothing if a snapshot is being written. A failure is logged, and tried again when the
    /// logs have grown further.
    pub fn compact(&self, zone: Arc<Zone>) {
        let mut queue = self.0.queue();
        if queue.is_compacting || !queue.is_claimed || queue.serial != Some(zone.serial()) {
            return;
        }
        queue.is_compacting = true;
        queue.items.push_back(Item::Compact(zone));
        self.write(queue);
    }

    /// Octets of all files of the database.
    pub fn size(&self) -> u64 {
        self.0.size.load(Ordering::Relaxed)
    }

    /// Removes the database, and gives it up. Blocks: not for a worker's thread.
    ///
    /// # Errors
    /// The database is not claimed, or the system says why not.
    pub fn remove(&self) -> Result<(), Error> {
        let _no_snapshot = lock(&self.0.snapshot);
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        let mut disk = lock(&self.0.disk);
        let mut taken = disk
            .take()
            .ok_or_else(|| Error::new(Kind::Unclaimed, "the database is not claimed"))?;
        *self.0.queue() = Queue::default();
        self.0.size.store(0, Ordering::Relaxed);
        taken.remove_all()
    }

    /// Starts a thread that writes, unless there is one. Outside of a runtime the caller writes.
    fn write(&self, mut queue: MutexGuard<'_, Queue>) {
        if std::mem::replace(&mut queue.is_writing, true) {
            return;
        }
        drop(queue);
        let writing = Writing(Arc::clone(&self.0));
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

fn stopped() -> Error {
    Error::new(Kind::System, "the server stops")
}

fn run(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

impl Queue {
    fn claimed(&self) -> Result<(), Error> {
        if self.is_claimed {
            return Ok(());
        }
        Err(Error::new(Kind::Unclaimed, "the database is not open for writing"))
    }
}

/// The thread that writes. If it never runs, because the runtime ends, all that waits fails.
struct Writing(Arc<Shared>);

impl Drop for Writing {
    fn drop(&mut self) {
        if std::thread::panicking() || self.0.queue().is_writing {
            self.0.fail(Vec::new(), VecDeque::new(), &stopped(), None);
            self.0.queue().is_writing = false;
        }
    }
}

impl Writing {
    fn run(self) {
        loop {
            let mut queue = self.0.queue();
            if queue.items.is_empty() {
                queue.is_writing = false;
                return;
            }
            let items = std::mem::take(&mut queue.items);
            queue.octets = 0;
            drop(queue);
            self.0.work(items);
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Writes these items.
    fn work(self: &Arc<Self>, mut items: VecDeque<Item>) {
        while let Some(item) = items.pop_front() {
            match item {
                Item::Append { body, serial, done } => {
                    let (mut body, mut serial, mut told) = (body, serial, vec![done]);
                    while let Some(Item::Append { body: more, .. }) = items.front()
                        && body.len() + more.len() <= MAX_TOGETHER
                        && let Some(Item::Append { body: more, serial: to, done }) =
                            items.pop_front()
                    {
                        body.extend_from_slice(&more);
                        serial = to;
                        told.push(done);
                    }
                    let (written, last) = self.append(&body, serial);
                    if let Err(error) = written {
                        return self.fail(told, items, &error, last);
                    }
                    told.into_iter().for_each(|done| done(Ok(())));
                }
                Item::Replace { zone, done } => match self.replace(&zone) {
                    Ok(()) => done(Ok(())),
                    Err(error) => return self.fail(vec![done], items, &error, None),
                },
                Item::Compact(zone) => self.rotate(zone),
            }
        }
    }

    /// Appends changes, and returns the serial of the last version on the disk.
    fn append(&self, body: &[u8], serial: u32) -> (Result<(), Error>, Option<u32>) {
        let mut disk = lock(&self.disk);
        let Some(disk) = &mut *disk else {
            return (Err(Error::new(Kind::Unclaimed, "the database is not claimed")), None);
        };
        let written = disk.append(body, serial);
        let mut queue = self.queue();
        self.measure(&mut queue, disk);
        if written.is_ok() {
            self.works(&mut queue);
        }
        (written, disk.serial())
    }

    fn replace(&self, zone: &Zone) -> Result<(), Error> {
        let _no_snapshot = lock(&self.snapshot);
        self.begun.fetch_add(1, Ordering::Relaxed);
        let mut disk = lock(&self.disk);
        let Some(open) = &mut *disk else {
            return Err(Error::new(Kind::Unclaimed, "the database is not claimed"));
        };
        let replaced = open.replace(zone);
        let mut queue = self.queue();
        queue.is_compacting = false;
        match replaced {
            Ok(()) => {
                self.measure(&mut queue, open);
                self.works(&mut queue);
            }
            Err(_) => {
                // What is on the disk now is known again when it is claimed again.
                queue.is_claimed = false;
                *disk = None;
            }
        }
        replaced
    }

    /// Starts a new log, and writes the snapshot that it begins with in the background.
    fn rotate(self: &Arc<Self>, zone: Arc<Zone>) {
        let begun = self.begun.load(Ordering::Relaxed);
        let started = match &mut *lock(&self.disk) {
            Some(disk) if disk.serial() == Some(zone.serial()) => disk.rotate(),
            _ => return self.queue().is_compacting = false,
        };
        let shared = Arc::clone(self);
        match started {
            Ok(log) => run(move || {
                let _only_snapshot = lock(&shared.snapshot);
                if shared.begun.load(Ordering::Relaxed) == begun {
                    shared.compacted(
                        disk::write_snapshot(&shared.place, &zone, log).map(|size| (log, size)),
                    );
                }
            }),
            Err(error) => self.compacted(Err(error)),
        }
    }

    /// Takes note of a new snapshot: its log and its size.
    fn compacted(&self, written: Result<(u64, u64), Error>) {
        let mut disk = lock(&self.disk);
        let mut queue = self.queue();
        queue.is_compacting = false;
        let Some(disk) = &mut *disk else { return };
        match written {
            Ok((log, size)) => {
                disk.snapshot_written(log, size);
                queue.compact_again_at = 0;
            }
            Err(error) => {
                let (zone, later) = (&self.place.origin, queue.compact_at / 4);
                queue.compact_again_at = queue.log_size + later;
                telemetry::error!(
                    "zone `{zone}`: {error}; its log of changes grows until a snapshot can be written"
                );
            }
        }
        self.measure(&mut queue, disk);
    }

    /// These and all that waits cannot be written. `serial` is the last version on the disk.
    fn fail(&self, mut told: Vec<Done>, rest: VecDeque<Item>, error: &Error, serial: Option<u32>) {
        let mut queue = self.queue();
        let waiting = std::mem::take(&mut queue.items);
        queue.octets = 0;
        queue.serial = serial;
        for item in rest.into_iter().chain(waiting) {
            match item {
                Item::Append { done, .. } | Item::Replace { done, .. } => told.push(done),
                Item::Compact(_) => queue.is_compacting = false,
            }
        }
        let is_new = !std::mem::replace(&mut queue.is_failing, true);
        drop(queue);
        failures().add(SHARED, told.len() as u64);
        if is_new {
            let zone = &self.place.origin;
            telemetry::error!(
                "zone `{zone}`: {error}; its changes are refused until this works again"
            );
        }
        told.into_iter().for_each(|done| done(Err(error.clone())));
    }

    /// The disk takes changes.
    fn works(&self, queue: &mut Queue) {
        if std::mem::replace(&mut queue.is_failing, false) {
            telemetry::info!("zone `{}`: its changes can be written again", self.place.origin);
        }
    }

    fn measure(&self, queue: &mut Queue, disk: &Disk) {
        self.size.store(disk.size(), Ordering::Relaxed);
        queue.log_size = disk.log_size();
        queue.compact_at = LEAST_LOG.max(disk.snapshot_size() / 2).max(queue.compact_again_at);
    }
}

/// Changes that could not be written.
fn failures() -> Counter {
    metrics::counter(
        "catena_journal_failures_total",
        "changes of zones that could not be written to the disk",
        &[],
        &[],
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
