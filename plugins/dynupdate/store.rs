//! A zone that is updated: the version that serves, those that wait for the disk, and the journal.
//!
//! An update is held against the last version, be it on the disk or not. Its changes are written, then
//! published, then confirmed, in the order of the updates. If the disk fails, all versions that wait are
//! given up together, because each follows from the one before.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use chain::Clock;
use journal::{Error, Journal, Kind, Recovered};
use tokio::sync::oneshot;
use update::{Refusal, Update};
use wire::{Name, Rcode};
use zone::live::Status;
use zone::{Changes, Live, Zone};

use super::config::Bounds;

/// A zone that is updated. It outlives configurations.
pub(super) struct Store {
    live: Arc<Live>,
    journal: Option<Journal>,
    /// Held while the journal is claimed, restored from, and begun.
    claiming: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
    clock: Clock,
}

#[derive(Default)]
struct State {
    /// Whether the journal is claimed and continues the version that serves. Without one, it never is.
    is_open: bool,
    /// The last version, if it is not on the disk yet.
    head: Option<Head>,
    /// Octets of the records of the version that serves.
    bytes: u64,
    /// Increased when the disk fails: what was queued before is of no meaning then.
    epoch: u64,
    /// Updates that were queued for the disk, and those of them that are on it.
    queued: u64,
    done: u64,
    /// Updates that change nothing, but whose answer follows from the queued ones up to this number.
    watching: Vec<(u64, oneshot::Sender<bool>)>,
}

#[derive(Clone)]
struct Head {
    zone: Arc<Zone>,
    bytes: u64,
}

/// Whether the beginning of a journal is on the disk, or why not.
type Begun = Result<(), String>;

/// An update that was decided.
enum Decided {
    /// Its changes wait for the disk.
    Waits(oneshot::Receiver<bool>),
    /// The answer is known, and follows from versions that wait for the disk.
    Watches(oneshot::Receiver<bool>, Result<(), Refusal>),
    Now(Result<(), Refusal>),
}

impl Store {
    /// A zone that serves this version, if there is one, with a journal if it is kept on disk.
    pub(super) fn new(
        origin: &Name,
        zone: Option<Zone>,
        history: Vec<Changes>,
        journal: Option<Journal>,
        source: &Path,
        clock: Clock,
    ) -> Self {
        let bytes = zone.as_ref().map_or(0, size);
        let live = Arc::new(Live::new(origin.clone()));
        let now = zone.as_ref().map(|_| authority::now(clock));
        if let Some(zone) = zone {
            live.restore(zone, history);
        }
        live.set_status(|status| {
            *status = Status {
                source: format!("dynupdate {}", source.display()),
                changed: now,
                checked: now,
                journal_bytes: journal.as_ref().map_or(0, Journal::size),
                ..Status::default()
            };
        });
        let state = Mutex::new(State { bytes, ..State::default() });
        Self { live, journal, claiming: Arc::default(), state, clock }
    }

    /// The zone that serves.
    pub(super) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// When its database was begun; `None` without one.
    pub(super) fn begun(&self) -> Option<SystemTime> {
        self.journal.as_ref().and_then(Journal::begun)
    }

    /// Checks that the version that serves is within the bounds.
    ///
    /// # Errors
    /// What it has too much of.
    pub(super) fn within(&self, bounds: &Bounds) -> Result<(), String> {
        let records = self.live.zone_to_keep().map_or(0, |zone| zone.record_count());
        check(records, self.state().bytes, bounds)
    }

    /// Makes an update.
    ///
    /// # Errors
    /// The rcode for the client, and the reason for the log.
    pub(super) async fn update(
        self: &Arc<Self>,
        update: &Update,
        allows: impl Fn(&update::Entry) -> bool,
        bounds: &Bounds,
    ) -> Result<(), Refusal> {
        self.claim().await?;
        let failed = || Refusal::new(Rcode::SERVFAIL, "the changes cannot be written to the disk");
        match self.decide(update, allows, bounds)? {
            Decided::Now(outcome) => outcome,
            Decided::Waits(written) => match written.await {
                Ok(true) => Ok(()),
                _ => Err(failed()),
            },
            Decided::Watches(written, outcome) => match written.await {
                Ok(true) => outcome,
                _ => Err(failed()),
            },
        }
    }

    /// Takes the journal for writing, and begins it if it is empty; does nothing if that was done. A zone
    /// that is not loaded leaves its journal alone: the next configuration finds its seed.
    ///
    /// # Errors
    /// Another process has it, or the system says why not.
    pub(super) async fn claim(self: &Arc<Self>) -> Result<(), Refusal> {
        let is_open = || self.journal.is_none() || !self.live.is_loaded() || self.state().is_open;
        if is_open() {
            return Ok(());
        }
        // The task keeps it, even if this future is dropped.
        let claiming = Arc::clone(&self.claiming).lock_owned().await;
        if is_open() {
            return Ok(());
        }
        let store = Arc::clone(self);
        let claimed = tokio::task::spawn_blocking(move || (store.claim_now(), claiming)).await;
        let stops = || "the server stops".to_owned();
        let outcome = match claimed {
            Ok((Ok(Some(begun)), _claiming)) => begun.await.unwrap_or_else(|_| Err(stops())),
            Ok((claimed, _)) => claimed.map(drop),
            Err(_) => Err(stops()),
        };
        outcome.map_err(|why| {
            if self.set_trouble(Some(&why)) {
                let zone = self.live.origin();
                telemetry::error!("plugin/dynupdate: zone `{zone}` takes no updates: {why}");
            }
            servfail(why)
        })
    }

    /// Notes what keeps updates from being written; whether that is new.
    fn set_trouble(&self, trouble: Option<&str>) -> bool {
        let mut is_new = false;
        self.live.set_status(|status| {
            is_new = status.trouble.as_deref() != trouble;
            status.trouble = trouble.map(str::to_owned);
        });
        is_new
    }

    /// Claims the journal, and restores what another process has written to it. Returns what will become of
    /// the beginning of an empty one.
    fn claim_now(self: &Arc<Self>) -> Result<Option<oneshot::Receiver<Begun>>, String> {
        let Some(journal) = &self.journal else { return Ok(None) };
        let again = journal.claim().map_err(|error| error.to_string())?;
        let mut state = self.state();
        if let Some(Recovered { zone, history, cut }) = again {
            cut.iter().for_each(|cut| self.log_cut(cut));
            if let Some(zone) = zone {
                *state = State { bytes: size(&zone), epoch: state.epoch + 1, ..State::default() };
                self.live.restore(zone, history);
            }
        }
        // Under the lock that restored: an update is held against the version that the journal has.
        state.is_open = !journal.is_empty();
        let is_open = state.is_open;
        drop(state);
        self.note_size();
        if is_open {
            self.set_trouble(None);
            return Ok(None);
        }
        let Some(zone) = self.live.zone_to_keep() else { return Ok(None) };
        let (told, begun) = oneshot::channel();
        let store = Arc::clone(self);
        journal
            .replace_then(zone, move |written| {
                // Whoever claimed may be gone.
                let _ = told.send(store.opened(written));
            })
            .map_err(|error| error.to_string())?;
        Ok(Some(begun))
    }

    fn opened(&self, written: Result<(), Error>) -> Begun {
        self.note_size();
        written.map_err(|error| error.to_string())?;
        self.state().is_open = true;
        self.set_trouble(None);
        Ok(())
    }

    /// Tells the operator that the end of a journal was cut off.
    pub(super) fn log_cut(&self, cut: &str) {
        telemetry::warning!("plugin/dynupdate: zone `{}`: {cut}", self.live.origin());
    }

    fn decide(
        self: &Arc<Self>,
        update: &Update,
        allows: impl Fn(&update::Entry) -> bool,
        bounds: &Bounds,
    ) -> Result<Decided, Refusal> {
        let mut state = self.state();
        let head = match &state.head {
            Some(head) => head.clone(),
            None => {
                let zone = self.live.zone_to_keep();
                let zone = zone.ok_or_else(|| servfail("the zone is not loaded"))?;
                Head { zone, bytes: state.bytes }
            }
        };
        if self.journal.is_some() && !state.is_open {
            return Err(servfail("the database is not open for writing"));
        }
        let decided = update.decide(&head.zone, allows).and_then(|changes| {
            if changes.is_empty() {
                return Ok(None);
            }
            next(&head, &changes, bounds).map(|next| Some((changes, next)))
        });
        let (changes, next) = match decided {
            Ok(Some(found)) => found,
            other => {
                let outcome = other.map(|_| ());
                if state.done == state.queued {
                    return Ok(Decided::Now(outcome));
                }
                let (told, written) = oneshot::channel();
                let last = state.queued;
                state.watching.push((last, told));
                return Ok(Decided::Watches(written, outcome));
            }
        };
        let Some(journal) = &self.journal else {
            state.bytes = next.bytes;
            self.live.change(changes).map_err(|refused| servfail(refused.to_string()))?;
            self.note_change();
            return Ok(Decided::Now(Ok(())));
        };
        let (told, written) = oneshot::channel();
        let (store, epoch, bytes) = (Arc::clone(self), state.epoch, next.bytes);
        let kept = changes.clone();
        let done = move |outcome| store.written(outcome, kept, bytes, epoch, told);
        if let Err(error) = journal.append_then(&changes, done) {
            match error.kind() {
                Kind::Unchained => state.fail(),
                Kind::Unclaimed => state.close(),
                _ => {}
            }
            return Err(servfail(error.to_string()));
        }
        state.queued += 1;
        if journal.wants_compaction() {
            let store = Arc::clone(self);
            journal.compact(Arc::clone(&next.zone), move || store.note_size());
        }
        state.head = Some(next);
        Ok(Decided::Waits(written))
    }

    /// Called in the order of the updates, once their changes are on the disk or cannot be written.
    fn written(
        &self,
        outcome: Result<(), Error>,
        changes: Changes,
        bytes: u64,
        epoch: u64,
        told: oneshot::Sender<bool>,
    ) {
        self.set_trouble(outcome.as_ref().err().map(ToString::to_string).as_deref());
        let published = outcome.is_ok() && self.publish(changes);
        let mut state = self.state();
        if state.epoch == epoch {
            if published {
                state.bytes = bytes;
                state.done += 1;
                if state.done == state.queued {
                    state.head = None;
                }
                let done = state.done;
                for (_, watching) in state.watching.extract_if(.., |(last, _)| *last <= done) {
                    let _ = watching.send(true);
                }
            } else {
                state.fail();
            }
        }
        drop(state);
        // The client may be gone.
        let _ = told.send(published);
    }

    fn publish(&self, changes: Changes) -> bool {
        match self.live.change(changes) {
            Ok(_) => {
                self.note_change();
                true
            }
            Err(refused) => {
                let zone = self.live.origin();
                telemetry::error!("plugin/dynupdate: zone `{zone}`: {refused}");
                false
            }
        }
    }

    fn note_change(&self) {
        let now = authority::now(self.clock);
        let size = self.journal.as_ref().map_or(0, Journal::size);
        self.live.set_status(|status| {
            status.changed = Some(now);
            status.checked = Some(now);
            status.journal_bytes = size;
        });
    }

    fn note_size(&self) {
        let size = self.journal.as_ref().map_or(0, Journal::size);
        self.live.set_status(|status| status.journal_bytes = size);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The journal must be claimed again.
    fn close(&mut self) {
        self.is_open = false;
        self.fail();
    }

    /// Gives up all versions that wait.
    fn fail(&mut self) {
        self.epoch += 1;
        self.head = None;
        (self.queued, self.done) = (0, 0);
        for (_, watching) in self.watching.drain(..) {
            let _ = watching.send(false);
        }
    }
}

/// The version after these changes.
fn next(head: &Head, changes: &Changes, bounds: &Bounds) -> Result<Head, Refusal> {
    let added = changes.added();
    let removed = changes.removed();
    let records = head.zone.record_count() + added.len() - removed.len();
    let bytes = head.bytes + added.as_wire().len() as u64 - removed.as_wire().len() as u64;
    check(records, bytes, bounds).map_err(|why| Refusal::new(Rcode::REFUSED, why))?;
    let zone = head.zone.apply(changes).map_err(|refused| servfail(refused.to_string()))?;
    Ok(Head { zone: Arc::new(zone), bytes })
}

fn check(records: usize, bytes: u64, bounds: &Bounds) -> Result<(), String> {
    if records > bounds.records {
        return Err(format!("{records} records are more than `max_records {}`", bounds.records));
    }
    if bytes > bounds.bytes {
        return Err(format!("{bytes} octets are more than `max_bytes {}`", bounds.bytes));
    }
    Ok(())
}

fn servfail(why: impl Into<String>) -> Refusal {
    Refusal::new(Rcode::SERVFAIL, why)
}

/// Octets of all records in wire form, nothing compressed.
fn size(zone: &Zone) -> u64 {
    let (mut records, mut size) = (zone.records(), 0);
    while let Some(record) = records.next_record() {
        size += (record.owner.len() + 10 + record.rdata.len()) as u64;
    }
    size
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use files::versions::Stamp;
    use wire::{Moment, Request};
    use zone::{Builder, RecordRef, master};

    use super::*;

    const CLOCK: Clock = Clock { now: || Moment(0), unix: |_| 1_000 };

    fn origin() -> Name {
        Name::from_text("example.org.").unwrap()
    }

    fn zone(serial: u32, hosts: u32) -> Zone {
        let mut text = format!("$TTL 60\n@ SOA ns host {serial} 60 60 60 60\n@ NS ns\n");
        for host in 0..hosts {
            text += &format!("host{host} A 192.0.2.{}\n", host % 250);
        }
        let mut builder = Builder::new(&origin(), 0);
        let add = &mut |record: RecordRef<'_>| builder.add(record);
        master::parse_text(&text, &master::Options::new(&origin()), add).unwrap();
        builder.finish().unwrap()
    }

    /// Adds an address of the name `new`.
    fn update(address: u8) -> Update {
        change(1, 1, 60, &[192, 0, 2, address])
    }

    /// Changes a record of the name `new`.
    fn change(rtype: u8, class: u8, ttl: u8, rdata: &[u8]) -> Update {
        let mut request = Request::new();
        let message = request.buffer_mut();
        message.extend([0, 7, 5 << 3, 0, 0, 1, 0, 0, 0, 1, 0, 0]);
        message.extend(wire::name!("example.org."));
        message.extend([0, 6, 0, 1]);
        message.extend(wire::name!("new.example.org."));
        message.extend([0, rtype, 0, class, 0, 0, 0, ttl]);
        message.extend((rdata.len() as u16).to_be_bytes());
        message.extend(rdata);
        request.parse_update().unwrap();
        Update::parse(&request).unwrap()
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("catena-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    /// A store as the start makes it.
    fn store(folder: &Path, seed: Option<Zone>) -> Arc<Store> {
        let (journal, recovered) = Journal::read(folder, &origin()).unwrap();
        let zone = recovered.zone.or(seed);
        let journal = Some(journal);
        Arc::new(Store::new(&origin(), zone, recovered.history, journal, folder, CLOCK))
    }

    /// The store of a server that has read a database of one version, which another server replaces by
    /// another under the same serial.
    async fn overtaken(folder: &Path) -> Arc<Store> {
        let (other, _) = Journal::read(folder, &origin()).unwrap();
        other.claim().unwrap();
        other.replace(Arc::new(zone(1, 3))).await.unwrap();
        let store = store(folder, None);
        assert_eq!(store.live.zone().as_ref().unwrap().record_count(), 5);
        other.replace(Arc::new(zone(1, 9))).await.unwrap();
        drop(other);
        // The thread that wrote may still have the lock.
        let (free, _) = Journal::read(folder, &origin()).unwrap();
        while free.claim().is_err() {
            tokio::task::yield_now().await;
        }
        store
    }

    #[tokio::test]
    async fn no_update_comes_between_the_claim_and_the_version_that_it_found() {
        let folder = folder("between");
        let store = overtaken(&folder).await;
        let bounds = Bounds::default();
        let found = store.journal.as_ref().unwrap().claim().unwrap();
        assert!(found.is_some(), "what the other server wrote");
        let refused = store.decide(&update(1), |_| true, &bounds).err().unwrap();
        assert_eq!(refused.rcode, Rcode::SERVFAIL);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn updates_that_come_together_find_one_version() {
        let folder = folder("together");
        let store = overtaken(&folder).await;
        let bounds = Bounds::default();
        let updates = (0..8).map(|address| {
            let store = Arc::clone(&store);
            async move { store.update(&update(address), |_| true, &bounds).await }
        });
        for outcome in futures_util::future::join_all(updates).await {
            outcome.unwrap();
        }
        assert_eq!(store.state().epoch, 1, "restored once");
        let (_, found) = Journal::read(&folder, &origin()).unwrap();
        assert_eq!(found.zone.unwrap().record_count(), 11 + 8);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// What the operator sees of the size of the files is the size of the files.
    #[tokio::test]
    async fn the_size_is_that_of_the_files() {
        let folder = folder("size");
        let bytes = |store: &Store| {
            let mut bytes = 0;
            store.live.set_status(|status| bytes = status.journal_bytes);
            bytes
        };
        let on_disk = || {
            let files = std::fs::read_dir(&folder).unwrap();
            files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
        };
        let store = overtaken(&folder).await;
        assert!(bytes(&store) < on_disk(), "it has not read what the other server wrote");
        store.claim().await.unwrap();
        assert_eq!(bytes(&store), on_disk());
        let text = [&[255][..], &[b'x'; 255]].concat().repeat(230);
        let snapshot = || Stamp::of(&folder.join("example.org.snapshot")).unwrap();
        let before = snapshot();
        for at in 0..30 {
            let (class, ttl) = [(1, 60), (254, 0)][at % 2];
            let change = change(16, class, ttl, &text);
            store.update(&change, |_| true, &Bounds::default()).await.unwrap();
        }
        let compacted = async {
            while snapshot() == before || bytes(&store) != on_disk() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), compacted).await.expect("a new snapshot");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// A server whose seed is missing must not keep the database from the next configuration.
    #[tokio::test]
    async fn a_zone_that_is_not_loaded_claims_nothing() {
        let folder = folder("unloaded");
        let unloaded = store(&folder, None);
        unloaded.claim().await.unwrap();
        assert!(!folder.exists());
        let refused = unloaded.update(&update(1), |_| true, &Bounds::default()).await;
        assert_eq!(refused.unwrap_err().rcode, Rcode::SERVFAIL);
        let loaded = store(&folder, Some(zone(1, 1)));
        loaded.update(&update(1), |_| true, &Bounds::default()).await.unwrap();
        let (_, found) = Journal::read(&folder, &origin()).unwrap();
        assert_eq!(found.zone.unwrap().serial(), 2);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
