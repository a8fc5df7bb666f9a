//! A zone that is updated: the version that serves, those that wait for the disk, and the journal.
//!
//! An update is held against the last version, be it on the disk or not. Its changes are written, then
//! published, then confirmed, in the order of the updates. If the disk fails, all versions that wait are
//! given up together, because each follows from the one before.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    state: Mutex<State>,
    clock: Clock,
}

#[derive(Default)]
struct State {
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
        Self { live, journal, state: Mutex::new(State { bytes, ..State::default() }), clock }
    }

    /// The zone that serves.
    pub(super) fn live(&self) -> &Arc<Live> {
        &self.live
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

    /// Takes the journal for writing, unless this process has it.
    ///
    /// # Errors
    /// Another process has it, or the system says why not.
    pub(super) async fn claim(self: &Arc<Self>) -> Result<(), Refusal> {
        // Another update may have claimed it and not yet begun it: changes have nothing to follow then.
        let is_begun = |journal: &Journal| journal.is_claimed() && !journal.is_empty();
        if self.journal.as_ref().is_none_or(is_begun) {
            return Ok(());
        }
        let store = Arc::clone(self);
        let claimed = tokio::task::spawn_blocking(move || store.claim_now()).await;
        let claimed = claimed.unwrap_or_else(|_| Err("the server stops".to_owned()));
        claimed.map_err(|why| {
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

    fn claim_now(self: &Arc<Self>) -> Result<(), String> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let again = journal.claim().map_err(|error| error.to_string())?;
        self.set_trouble(None);
        let mut state = self.state();
        if let Some(Recovered { zone, history, cut }) = again {
            cut.iter().for_each(|cut| self.log_cut(cut));
            if let Some(zone) = zone {
                *state = State { bytes: size(&zone), epoch: state.epoch + 1, ..State::default() };
                self.live.restore(zone, history);
            }
        }
        let Some(zone) = self.live.zone_to_keep() else { return Ok(()) };
        if journal.is_empty() {
            // Updates that come before this is on the disk wait behind it.
            let store = Arc::clone(self);
            let begun = journal.replace_then(zone, move |written| store.begun(written));
            begun.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn begun(&self, written: Result<(), Error>) {
        let size = self.journal.as_ref().map_or(0, Journal::size);
        self.live.set_status(|status| status.journal_bytes = size);
        if let Err(error) = written {
            self.set_trouble(Some(&error.to_string()));
        }
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
            if error.kind() == Kind::Unchained {
                state.fail();
            }
            return Err(servfail(error.to_string()));
        }
        state.queued += 1;
        if journal.wants_compaction() {
            journal.compact(Arc::clone(&next.zone));
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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
