//! One zone that serves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::{ArcSwapOption, Guard};
use wire::edns::ede;
use wire::{Failure, Name, Rcode, Request, Zoned};

use super::history::History;
use super::status::Status;
use crate::change::{Changes, Refused};
use crate::store::{PrefetchHints, Zone};

/// Stages of [`Live::prefetch`].
pub const PREFETCH_STAGES: u8 = 3;

/// Is told when a zone has a new version.
pub trait Listener: Send + Sync {
    /// The zone has a new version, or none any more. Called by whoever changed the zone: must not block.
    fn changed(&self, zone: &Arc<Live>);

    /// Zones have come or gone in a [`LiveSet`](super::LiveSet) that this listens to. Called after
    /// [`Listener::changed`] for those that came: must not block.
    fn set_changed(&self) {}
}

/// A zone and its current version, which readers share without a lock. It outlives configurations.
/// A query reads one cache line of it.
///
/// Versions are published one at a time: [`Live::change`] makes the next one of the current one, and
/// [`Live::replace`] publishes one that was made elsewhere. What leads from version to version is kept for
/// incremental transfers, up to a part of the zone's own size.
#[repr(C, align(64))]
pub struct Live {
    origin: Name,
    zone: ArcSwapOption<Zone>,
    hints: PrefetchHints,
    /// Held while a version is made, which takes as long as the version is large.
    writer: Mutex<Writer>,
    /// What led to the current version. Held for moments, and only then does the version change: both fit.
    history: Mutex<History>,
    listeners: Mutex<Vec<Weak<dyn Listener>>>,
    status: Mutex<Status>,
    /// The extended error of queries while there is no version: code and text.
    trouble: ArcSwapOption<(u16, String)>,
}

const _: () = assert!(std::mem::offset_of!(Live, writer) <= 64);

/// What only the one who changes the zone needs.
#[derive(Default)]
struct Writer {
    folding: Option<Folding>,
}

/// A fold under way.
struct Folding {
    /// The version that it began with.
    of: Arc<Zone>,
    /// The changes since.
    since: Vec<Arc<Changes>>,
    /// Bytes of these changes.
    bytes: usize,
}

impl Writer {
    /// Keeps changes for the fold under way. One that cannot keep up with the changes is given up: those
    /// that wait for it may take a quarter of the zone's memory.
    fn keep_for_fold(&mut self, changes: &Arc<Changes>) {
        let Some(folding) = &mut self.folding else { return };
        folding.bytes += changes.size();
        folding.since.push(Arc::clone(changes));
        if folding.bytes > FOLD_FLOOR.max(folding.of.memory() / 4) {
            self.folding = None;
        }
    }

    /// Ends the fold of a version: the changes since it began. `None` if it is not under way any more;
    /// another one may be.
    fn end_fold(&mut self, of: &Arc<Zone>) -> Option<Vec<Arc<Changes>>> {
        let folding = self.folding.take_if(|folding| Arc::ptr_eq(&folding.of, of))?;
        Some(folding.since)
    }
}

/// Changes of this size wait for a fold in any case.
const FOLD_FLOOR: usize = 1 << 20;

/// Forgets the fold under way if making it panics: there would never be another one.
struct FoldGuard<'l>(&'l Live, &'l Arc<Zone>);

impl Drop for FoldGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.0.writer().end_fold(self.1));
        }
    }
}

/// The changes from one version to the next, which was made elsewhere. `None` if they do not follow each other.
fn step(before: Option<&Zone>, next: &Zone) -> Option<Changes> {
    let before = before?;
    (before.serial() != next.serial()).then(|| before.difference(next))
}

impl Zoned for Live {
    fn zone_name(&self) -> &Name {
        &self.origin
    }
}

impl Live {
    /// A zone without a version.
    pub fn new(origin: Name) -> Self {
        Self {
            origin,
            zone: ArcSwapOption::empty(),
            hints: PrefetchHints::default(),
            writer: Mutex::default(),
            history: Mutex::default(),
            listeners: Mutex::default(),
            status: Mutex::default(),
            trouble: ArcSwapOption::empty(),
        }
    }

    /// A zone that begins with this version.
    pub fn starting(zone: Zone) -> Self {
        let live = Self::new(zone.apex().clone());
        live.publish(Some(Arc::new(zone)));
        live
    }

    /// A zone that serves this version, which follows that of `before`: the history of `before` and the
    /// difference between the two are its own. `before` serves on as it is.
    pub fn following(before: &Self, zone: Zone) -> Self {
        let (mut history, current) = {
            let history = before.history();
            (history.clone(), before.zone_to_keep())
        };
        history.follow(step(current.as_deref(), &zone), zone.memory());
        let next = Self { history: Mutex::new(history), ..Self::new(before.origin.clone()) };
        next.publish(Some(Arc::new(zone)));
        next
    }

    /// The name of the zone.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// The current version; `None` if there is none yet, or none any more. Not to be kept across an await:
    /// see [`Live::zone_to_keep`].
    #[inline]
    pub fn zone(&self) -> Guard<Option<Arc<Zone>>> {
        self.zone.load()
    }

    /// The current version, to be kept as long as it is needed. A transfer holds it to its end.
    pub fn zone_to_keep(&self) -> Option<Arc<Zone>> {
        self.zone.load_full()
    }

    /// Whether there is a version.
    pub fn is_loaded(&self) -> bool {
        self.zone.load().is_some()
    }

    /// Prefetches what answers to these queries will read: this, then the zone and the cell of its table for
    /// each name, then the node in that cell if the zone is large.
    #[inline]
    pub fn prefetch<'a>(&self, stage: u8, queries: impl Iterator<Item = &'a Request>) {
        match stage {
            0 => wire::prefetch::fetch(self),
            1 => {
                self.hints.prefetch();
                queries.for_each(|query| self.hints.prefetch_bucket(query));
            }
            _ if self.hints.is_small() => {}
            // One load of the current version for all queries: the load is a fence, and prefetches must
            // not wait for each other.
            _ => {
                if let Some(zone) = &*self.zone.load() {
                    queries.for_each(|query| zone.prefetch_node(query));
                }
            }
        }
    }

    /// Makes the next version by these changes and publishes it.
    ///
    /// # Errors
    /// There is no version, or the changes do not fit it. Nothing changes.
    pub fn change(self: &Arc<Self>, changes: Changes) -> Result<Arc<Zone>, Refused> {
        self.change_with(|_| Ok(changes))
    }

    /// Makes the changes that `decide` finds in the current version, which nobody else changes meanwhile, and
    /// publishes the next version. No changes publish nothing.
    ///
    /// # Errors
    /// Those of `decide`, or of the changes that it found. Nothing changes.
    pub fn change_with<E: From<Refused>>(
        self: &Arc<Self>,
        decide: impl FnOnce(&Zone) -> Result<Changes, E>,
    ) -> Result<Arc<Zone>, E> {
        let mut writer = self.writer();
        let Some(current) = self.zone_to_keep() else {
            let why = format!("zone `{}` has no version to change", self.origin);
            return Err(Refused::Foreign(why).into());
        };
        let changes = decide(&current)?;
        if changes.is_empty() {
            return Ok(current);
        }
        let next = Arc::new(current.apply(&changes)?);
        let changes = Arc::new(changes);
        writer.keep_for_fold(&changes);
        self.publish_with(Some(Arc::clone(&next)), |history| history.push(changes, next.memory()));
        drop(writer);
        self.tell();
        Ok(next)
    }

    /// Publishes a version that was made elsewhere, such as from a file. The difference to the current one
    /// becomes a part of the history if the serial differs. Returns the published version.
    pub fn replace(self: &Arc<Self>, zone: impl Into<Arc<Zone>>) -> Arc<Zone> {
        let next = zone.into();
        let mut writer = self.writer();
        let changes = step(self.zone_to_keep().as_deref(), &next);
        writer.folding = None;
        self.publish_with(Some(Arc::clone(&next)), |history| {
            history.follow(changes, next.memory())
        });
        drop(writer);
        self.tell();
        next
    }

    /// Publishes a version that `changes` led to elsewhere, such as one from a journal.
    pub fn restore(self: &Arc<Self>, zone: Zone, history: impl IntoIterator<Item = Changes>) {
        let next = Arc::new(zone);
        let mut kept = History::default();
        for changes in history {
            kept.push(Arc::new(changes), next.memory());
        }
        let mut writer = self.writer();
        writer.folding = None;
        self.publish_with(Some(next), |history| *history = kept);
        drop(writer);
        self.tell();
    }

    /// Ends the service of the zone, which has expired.
    pub fn withdraw(self: &Arc<Self>) {
        let mut writer = self.writer();
        writer.folding = None;
        self.publish_with(None, History::clear);
        drop(writer);
        self.tell();
    }

    /// Whether so much changed that [`Live::fold`] is worth its cost. Whoever changes the zone asks this
    /// afterwards.
    pub fn fold_due(&self) -> bool {
        self.zone.load().as_ref().is_some_and(|zone| zone.fold_due())
    }

    /// Makes a flat version of the current one, and publishes it with the changes that came meanwhile. Readers and
    /// writers go on. It takes a second for some millions of names: never call it on a worker. One fold of a
    /// zone is under way at a time; a second call returns at once.
    ///
    /// Returns the version that was replaced. Whoever drops the last reference to it frees all its memory, which
    /// takes milliseconds: keep it until nobody else has one.
    pub fn fold(&self) -> Option<Arc<Zone>> {
        self.fold_if(Zone::fold_due)
    }

    /// The same however little has changed, for who needs the memory.
    pub fn compact(&self) -> Option<Arc<Zone>> {
        self.fold_if(|zone| zone.overlay.is_some())
    }

    fn fold_if(&self, is_due: impl FnOnce(&Zone) -> bool) -> Option<Arc<Zone>> {
        let mut writer = self.writer();
        let before = self.zone_to_keep().filter(|zone| is_due(zone))?;
        if writer.folding.is_some() {
            return None;
        }
        writer.folding = Some(Folding { of: Arc::clone(&before), since: Vec::new(), bytes: 0 });
        drop(writer);
        let guard = FoldGuard(self, &before);
        let folded = before.fold();
        drop(guard);
        let mut writer = self.writer();
        // None if another version was published as a whole meanwhile, or if the changes were too many.
        let since = writer.end_fold(&before)?;
        let mut next = Arc::new(folded.ok()?);
        for changes in since {
            next = Arc::new(next.apply(&changes).ok()?);
        }
        self.publish(Some(next));
        Some(before)
    }

    /// Publishes a version together with what led to it.
    fn publish_with(&self, zone: Option<Arc<Zone>>, note: impl FnOnce(&mut History)) {
        let mut history = self.history();
        note(&mut history);
        self.publish(zone);
    }

    fn publish(&self, zone: Option<Arc<Zone>>) {
        if let Some(zone) = &zone {
            self.hints.set(zone);
        }
        self.zone.store(zone);
    }

    /// The changes since the version with this serial, oldest first, and the version that they lead to.
    /// `None` if they do not reach back that far: the whole zone must be sent.
    pub fn since(&self, serial: u32) -> Option<(Vec<Arc<Changes>>, Arc<Zone>)> {
        let history = self.history();
        Some((history.since(serial)?, self.zone_to_keep()?))
    }

    /// Bytes of the changes that are kept.
    pub fn history_bytes(&self) -> usize {
        self.history().bytes()
    }

    /// Tells this listener of every new version, as long as it exists.
    pub fn listen(&self, listener: Weak<dyn Listener>) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(listener);
    }

    fn tell(self: &Arc<Self>) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener.changed(self);
        }
    }

    /// Where the zone comes from and how current it is.
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the status.
    pub fn set_status(&self, set: impl FnOnce(&mut Status)) {
        set(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The failure of queries while there is no version.
    #[cold]
    pub fn failure(&self) -> Failure {
        let trouble = self.trouble.load_full();
        let (code, text) = trouble.map_or_else(
            || (ede::NOT_READY, "the zone is not loaded".to_owned()),
            |trouble| (*trouble).clone(),
        );
        Failure::rcode(Rcode::SERVFAIL).extended(code, text)
    }

    /// Sets the extended error (RFC 8914) of queries while there is no version: code and text. Without one
    /// the zone is not ready yet. Returns the one before.
    pub fn set_trouble(&self, trouble: Option<(u16, String)>) -> Option<Arc<(u16, String)>> {
        self.trouble.swap(trouble.map(Arc::new))
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
