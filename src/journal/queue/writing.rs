//! The thread that writes what waits in the queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use telemetry::metrics::{self, Counter, SHARED};
use zone::Zone;

use super::state::{Done, End, Item, Queue, Shared, lock, stopped};
use crate::disk::{self, Disk};
use crate::error::{Error, Kind};

/// Octets of changes that are synced together, before the last ones.
const MAX_TOGETHER: usize = 8 << 20;

/// Logs up to this size are no reason for a new snapshot.
const LEAST_LOG: u64 = 1 << 20;

/// The thread that writes.
pub(super) struct Writing {
    shared: Arc<Shared>,
    /// Taken out of the queue, and not written yet.
    items: VecDeque<Item>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The thread has not begun; it never does if the runtime ends.
    New,
    Writes,
    /// Another one may write.
    Over,
}

impl Writing {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), items: VecDeque::new(), stage: Stage::New }
    }

    pub(super) fn run(&mut self) {
        self.stage = Stage::Writes;
        loop {
            let _writing = lock(&self.shared.writing);
            let mut queue = self.shared.queue();
            if queue.items.is_empty() {
                // Under one lock: whoever appends next starts a writer of its own, which is none of our
                // business.
                queue.is_writing = false;
                self.stage = Stage::Over;
                return;
            }
            self.items = std::mem::take(&mut queue.items);
            queue.octets = 0;
            drop(queue);
            self.shared.work(&mut self.items);
        }
    }
}

/// A writer that never began, because the runtime ends, or that panics.
impl Drop for Writing {
    fn drop(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        if stage == Stage::Over {
            return;
        }
        let (waiting, _) = self.shared.give_up(&mut self.items, true);
        // One that never began is dropped by whoever appended, with locks that a callback may want.
        if stage == Stage::Writes {
            failures().add(SHARED, waiting.len() as u64);
            waiting.into_iter().for_each(|done| done(Err(stopped())));
        }
    }
}

impl Shared {
    /// Writes these items.
    fn work(self: &Arc<Self>, items: &mut VecDeque<Item>) {
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
                    if let Err(error) = self.append(&body, serial) {
                        return self.fail(told, items, &error);
                    }
                    told.into_iter().for_each(|done| done(Ok(())));
                }
                Item::Replace { zone, done } => match self.replace(&zone) {
                    Ok(()) => done(Ok(())),
                    Err(error) => return self.fail(vec![done], items, &error),
                },
                Item::Compact { zone, then } => self.rotate(zone, then),
            }
        }
    }

    fn append(&self, body: &[u8], serial: u32) -> Result<(), Error> {
        let mut disk = lock(&self.disk);
        let Some(disk) = &mut *disk else {
            return Err(Error::new(Kind::Unclaimed, "the database is not claimed"));
        };
        let written = disk.append(body, serial);
        let mut queue = self.queue();
        self.measure(&mut queue, disk);
        if written.is_ok() {
            self.works(&mut queue);
        }
        written
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
                queue.end = End::Unclaimed;
                *disk = None;
            }
        }
        replaced
    }

    /// Starts a new log, and writes the snapshot that it begins with in the background.
    fn rotate(self: &Arc<Self>, zone: Arc<Zone>, then: Box<dyn FnOnce() + Send>) {
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
                    then();
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

    /// These and all that waits cannot be written.
    fn fail(&self, mut told: Vec<Done>, rest: &mut VecDeque<Item>, error: &Error) {
        let (waiting, is_new) = self.give_up(rest, false);
        told.extend(waiting);
        failures().add(SHARED, told.len() as u64);
        if is_new {
            let zone = &self.place.origin;
            telemetry::error!(
                "zone `{zone}`: {error}; its changes are refused until this works again"
            );
        }
        told.into_iter().for_each(|done| done(Err(error.clone())));
    }

    /// Takes out `rest` and all that waits behind it: the next changes follow what is on the disk. Returns
    /// whom to tell, and whether the last changes could be written.
    pub(super) fn give_up(&self, rest: &mut VecDeque<Item>, is_over: bool) -> (Vec<Done>, bool) {
        let disk = lock(&self.disk);
        let mut queue = self.queue();
        queue.end = End::of(disk.as_ref());
        queue.octets = 0;
        if is_over {
            queue.is_writing = false;
        }
        rest.append(&mut queue.items);
        let mut told = Vec::new();
        for item in rest.drain(..) {
            match item {
                Item::Append { done, .. } | Item::Replace { done, .. } => told.push(done),
                Item::Compact { .. } => queue.is_compacting = false,
            }
        }
        (told, !std::mem::replace(&mut queue.is_failing, true))
    }

    /// The disk takes changes.
    fn works(&self, queue: &mut Queue) {
        if std::mem::replace(&mut queue.is_failing, false) {
            telemetry::info!("zone `{}`: its changes can be written again", self.place.origin);
        }
    }

    pub(super) fn measure(&self, queue: &mut Queue, disk: &Disk) {
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

pub(super) fn run(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

#[cfg(test)]
mod tests {
    use wire::Name;

    use super::*;
    use crate::Journal;

    /// The end of a writer comes after another one has begun: what that one is to write is not its own.
    #[test]
    fn a_writer_that_is_over_leaves_the_next_one_alone() {
        let folder = std::env::temp_dir().join(format!("catena-writers-{}", std::process::id()));
        let origin = Name::from_text("zone.test.").unwrap();
        let (journal, _) = Journal::read(&folder, &origin).unwrap();
        let mut first = Writing::new(&journal.0);
        first.run();
        let (told, outcome) = std::sync::mpsc::channel();
        let done: Done = Box::new(move |done| told.send(done).unwrap());
        let mut queue = journal.0.queue();
        queue.end = End::Version(2);
        queue.is_writing = true;
        queue.items.push_back(Item::Append { body: Vec::new(), serial: 2, done });
        drop(queue);
        drop(first);
        let queue = journal.0.queue();
        assert!(queue.is_writing && queue.items.len() == 1 && queue.end == End::Version(2));
        drop(queue);
        assert!(outcome.try_recv().is_err(), "nobody was told anything");
        // One that never begins gives up what waits for it, and calls nobody.
        drop(Writing::new(&journal.0));
        let queue = journal.0.queue();
        assert!(!queue.is_writing && queue.items.is_empty() && queue.end == End::Unclaimed);
        assert!(outcome.try_recv().is_err());
    }
}
