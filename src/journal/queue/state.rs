//! What a journal holds: the files, and what waits for them.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zone::Zone;

use crate::disk::Disk;
use crate::error::{Error, Kind};
use crate::place::{Listing, Place};
use crate::read::Position;

/// Called when changes are on the disk, or are not.
pub(super) type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

pub(super) struct Shared {
    pub(super) place: Place,
    pub(super) known: Listing,
    pub(super) position: Option<Position>,
    /// Locked while a thread has items that it took out of the queue. The locks are taken in this order.
    pub(super) writing: Mutex<()>,
    /// Locked while a snapshot is written.
    pub(super) snapshot: Mutex<()>,
    pub(super) disk: Mutex<Option<Disk>>,
    pub(super) queue: Mutex<Queue>,
    /// The number of times that the database was begun anew: a snapshot of before is of no use then.
    pub(super) begun: AtomicU64,
    pub(super) size: AtomicU64,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) items: VecDeque<Item>,
    /// Octets of the changes that wait.
    pub(super) octets: usize,
    pub(super) end: End,
    /// Whether a thread writes.
    pub(super) is_writing: bool,
    pub(super) is_compacting: bool,
    /// Whether the last changes could not be written.
    pub(super) is_failing: bool,
    /// Octets of the logs that make a new snapshot worthwhile, and the same after one that failed.
    pub(super) compact_at: u64,
    pub(super) compact_again_at: u64,
    pub(super) log_size: u64,
}

/// What changes can follow: the version after all that waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// The database is not claimed.
    #[default]
    Unclaimed,
    /// The database is claimed, and was never begun.
    Empty,
    /// The version with this serial.
    Version(u32),
}

impl End {
    /// That of what is on the disk.
    pub(super) fn of(disk: Option<&Disk>) -> Self {
        disk.map_or(Self::Unclaimed, |disk| disk.serial().map_or(Self::Empty, Self::Version))
    }
}

pub(super) enum Item {
    Append { body: Vec<u8>, serial: u32, done: Done },
    Replace { zone: Arc<Zone>, done: Done },
    Compact { zone: Arc<Zone>, then: Box<dyn FnOnce() + Send> },
}

impl Queue {
    pub(super) fn is_claimed(&self) -> bool {
        self.end != End::Unclaimed
    }

    pub(super) fn claimed(&self) -> Result<(), Error> {
        if self.is_claimed() {
            return Ok(());
        }
        Err(Error::new(Kind::Unclaimed, "the database is not open for writing"))
    }
}

impl Shared {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn stopped() -> Error {
    Error::new(Kind::System, "the server stops")
}
