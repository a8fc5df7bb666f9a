//! A zone that comes from primaries: the version that serves, how current it is, and its copy on disk. It
//! survives a reload of the Corefile.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use chain::Clock;
use tokio::sync::{Mutex as Turn, Notify};
use tokio::time::Instant;
use wire::Name;
use wire::edns::ede;
use zone::Soa;
use zone::{Live, Zone};

use super::metrics::Metrics;
use super::store::{Found, Store};
use super::timers::{Bounds, Timers};

/// Checks that notifications cause are at least so far apart.
const NOTIFY_GAP: Duration = Duration::from_millis(200);
/// Troubles that are remembered, so that each is logged once in a while.
const MAX_LOGGED: usize = 16;
/// The same trouble is logged again after this time.
const LOG_AGAIN: Duration = Duration::from_secs(600);

/// A zone that comes from primaries.
pub(super) struct Copy {
    live: Arc<Live>,
    clock: Clock,
    /// Held by the one task that keeps the zone current: that of the configuration before may still end.
    pub(super) turn: Turn<()>,
    pub(super) wake: Notify,
    state: Mutex<State>,
    store: Mutex<Option<Arc<Store>>>,
    /// The zone is served no more: what its task still brings is not stored.
    is_retired: AtomicBool,
}

struct State {
    timers: Timers,
    /// Versions that are being published. The timers are those of the version before, so nothing expires.
    publishing: u32,
    /// The version that expired. It does not serve, but a primary may confirm it.
    expired: Option<Arc<Zone>>,
    /// The primary that sent or confirmed the version last.
    from: Option<SocketAddr>,
    /// The primaries and how they were asked.
    identity: String,
    /// The next transfer replaces the version, whatever its serial: it comes from another source.
    is_other: bool,
    notified: Option<IpAddr>,
    /// When the last check began.
    began: Option<Instant>,
    /// The last troubles in the log.
    logged: Vec<(String, Instant)>,
    confirmed: Option<SystemTime>,
}

/// What a configuration says about a zone.
pub(super) struct Terms {
    /// The primaries and how they are asked, to tell one source from another.
    pub(super) identity: String,
    /// The same for the operator.
    pub(super) shown: String,
    pub(super) primaries: Vec<SocketAddr>,
    pub(super) bounds: Bounds,
    pub(super) database: Option<PathBuf>,
}

/// Why a zone is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There is no version yet.
    First,
    /// REFRESH is over, or RETRY.
    Timer,
    /// A primary, or whoever has this address, says that it has changed.
    Notified(IpAddr),
}

impl Copy {
    /// A zone without a version, or with the one in `directory`. The message is why that cannot be read.
    pub(super) fn new(
        origin: &Name,
        clock: Clock,
        bounds: Bounds,
        directory: Option<&Path>,
    ) -> (Self, Option<String>) {
        let mut timers = Timers::new(Instant::now());
        timers.bounds = bounds;
        let state = State {
            timers,
            publishing: 0,
            expired: None,
            from: None,
            identity: String::new(),
            is_other: false,
            notified: None,
            began: None,
            logged: Vec::new(),
            confirmed: None,
        };
        let copy = Self {
            live: Arc::new(Live::new(origin.clone())),
            clock,
            turn: Turn::new(()),
            wake: Notify::new(),
            state: Mutex::new(state),
            store: Mutex::new(None),
            is_retired: AtomicBool::new(false),
        };
        let problem = directory.and_then(|directory| copy.open(directory).err());
        (copy, problem)
    }

    /// The zone that answers.
    pub(super) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    pub(super) fn origin(&self) -> &Name {
        self.live.origin()
    }

    pub(super) fn now(&self) -> SystemTime {
        authority::now(self.clock)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn store(&self) -> Option<Arc<Store>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses the copy in a directory. Blocks.
    fn open(&self, directory: &Path) -> Result<(), String> {
        let (store, found) =
            Store::open(directory, self.origin()).map_err(|error| error.to_string())?;
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(store));
        if let Some(found) = found {
            self.adopt(found);
        }
        Ok(())
    }

    /// Serves a version from the disk if it is newer than what serves, and has not expired.
    fn adopt(&self, found: Found) {
        let Found { zone, history, confirmed } = found;
        let has_newer =
            self.base().is_some_and(|known| !zone::is_newer(zone.serial(), known.serial()));
        if has_newer {
            return;
        }
        let soa = zone.soa();
        // A time in the future comes from a clock that was wrong.
        let age = confirmed.map(|(at, _)| self.now().duration_since(at).unwrap_or_default());
        let mut state = self.state();
        let is_alive = age.is_some_and(|age| age < state.timers.bounds.expire(&soa));
        state.from = confirmed.map(|(_, by)| by);
        state.confirmed = confirmed.map(|(at, _)| at);
        if is_alive {
            state.timers.restored(Instant::now(), &soa, age.unwrap_or_default());
            state.expired = None;
        } else {
            state.timers.next = Instant::now();
            state.expired = Some(Arc::new(zone));
            drop(state);
            self.live.set_trouble(Some(expired_error()));
            self.show(Some("the copy on disk has expired".to_owned()));
            return;
        }
        drop(state);
        self.live.restore(zone, history);
        self.live.set_trouble(None);
        let published = self.now();
        self.live.set_status(|status| status.changed = Some(published));
        self.show(None);
    }

    /// Begins a life under these terms. What changed in the configuration takes effect.
    pub(super) async fn begin(self: &Arc<Self>, terms: Terms, metrics: &Metrics) {
        let wanted = terms.database;
        let copy = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || {
            let has = copy.store();
            let same = has.as_ref().map(|store| store.directory()) == wanted.as_deref();
            match (same, wanted) {
                (true, _) => {}
                (false, None) => {
                    *copy.store.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
                (false, Some(directory)) => copy.open(&directory)?,
            }
            if let Some(store) = copy.store()
                && let Some(found) = store.claim().map_err(|error| error.to_string())?
            {
                copy.adopt(found);
            }
            Ok::<_, String>(())
        });
        if let Ok(Err(problem)) = opened.await {
            telemetry::error!("zone `{}`: {problem}; it is not stored on the disk", self.origin());
            metrics.unsaved();
        }
        {
            let mut state = self.state();
            state.timers.bounds = terms.bounds;
            if state.identity != terms.identity {
                state.timers.next = Instant::now();
                state.identity = terms.identity;
                state.is_other = state.from.is_some_and(|from| !terms.primaries.contains(&from));
            }
        }
        self.live.set_status(|status| status.source = terms.shown);
        let trouble = self.live.status().trouble;
        self.show(trouble);
        // A version that was published while the disk was not used.
        self.save(metrics).await;
    }

    /// The version that serves, or that expired: what a primary is asked about.
    pub(super) fn base(&self) -> Option<Arc<Zone>> {
        self.live.zone_to_keep().or_else(|| self.state().expired.clone())
    }

    /// Whether the next transfer replaces the version whatever its serial.
    pub(super) fn is_other(&self) -> bool {
        self.state().is_other
    }

    pub(super) fn from(&self) -> Option<SocketAddr> {
        self.state().from
    }

    /// Notes that the zone has changed at a primary.
    pub(super) fn notify(&self, by: IpAddr) {
        self.state().notified = Some(by);
        self.wake.notify_one();
    }

    /// When something is to be done.
    pub(super) fn wakes_at(&self) -> Instant {
        let state = self.state();
        let mut at = state.timers.next;
        if state.notified.is_some() {
            at = at.min(state.began.map_or_else(Instant::now, |began| began + NOTIFY_GAP));
        }
        if self.live.is_loaded()
            && let Some(expires) = state.expires()
        {
            at = at.min(expires);
        }
        at
    }

    /// When the version expires; long after that there is none that serves.
    pub(super) async fn expires(&self) {
        let at = self.state().expires().filter(|_| self.live.is_loaded());
        match at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Why a check begins now, if one does.
    pub(super) fn begins(&self) -> Option<Reason> {
        let is_first = self.base().is_none();
        let mut state = self.state();
        let now = Instant::now();
        let gap = state.began.is_none_or(|began| now >= began + NOTIFY_GAP);
        let reason = match state.notified {
            Some(by) if gap => Reason::Notified(by),
            _ if now < state.timers.next => return None,
            _ if is_first => Reason::First,
            _ => Reason::Timer,
        };
        state.notified = None;
        state.began = Some(now);
        Some(reason)
    }

    /// Ends the service of a version whose time is over. Returns whether it did.
    pub(super) fn expire(&self) -> bool {
        let mut state = self.state();
        let is_over = state.expires().is_some_and(|at| at <= Instant::now());
        let Some(zone) = self.live.zone_to_keep().filter(|_| is_over) else { return false };
        state.expired = Some(zone);
        state.timers.expires = None;
        self.live.set_trouble(Some(expired_error()));
        // With the lock: no other version can come in between, and be withdrawn for this one.
        self.live.withdraw();
        drop(state);
        self.show(Some("the zone has expired: no primary has confirmed it in time".to_owned()));
        true
    }

    /// Notes that the primary `by` has confirmed the version, or has sent it.
    pub(super) fn confirmed(&self, by: SocketAddr, soa: &Soa) {
        let mut state = self.state();
        state.timers.confirmed(Instant::now(), soa, random());
        state.from = Some(by);
        state.is_other = false;
        state.logged.clear();
        state.confirmed = Some(self.now());
        let expired = state.expired.take();
        drop(state);
        if let Some(zone) = expired.filter(|_| !self.live.is_loaded()) {
            telemetry::info!("zone `{}`: {by} has confirmed it; it serves again", self.origin());
            self.live.replace(zone);
        }
        self.live.set_trouble(None);
        self.show(None);
    }

    /// Publishes a version that `by` has sent. Nothing expires until it serves and its own timers run. Blocks.
    ///
    /// # Errors
    /// Those of `publish`, which has published nothing.
    pub(super) fn publish<E>(
        &self,
        by: SocketAddr,
        publish: impl FnOnce(&Arc<Live>) -> Result<Arc<Zone>, E>,
    ) -> Result<Arc<Zone>, E> {
        self.state().publishing += 1;
        let _publishing = Publishing(self);
        let zone = publish(&self.live)?;
        self.state().expired = None;
        let now = self.now();
        self.live.set_status(|status| status.changed = Some(now));
        self.confirmed(by, &zone.soa());
        Ok(zone)
    }

    /// Notes that no primary has answered as it should. Returns the wait until the next check.
    pub(super) fn failed(&self, why: &str, is_notified: bool) -> Duration {
        let soa = self.base().map(|zone| zone.soa());
        let wait = self.state().timers.failed(Instant::now(), soa.as_ref(), random(), is_notified);
        if self.base().is_none() {
            let text = format!("the zone has not been transferred: {why}");
            self.live.set_trouble(Some((ede::NOT_READY, text)));
        }
        self.show(Some(why.to_owned()));
        wait
    }

    /// Whether trouble is worth a line in the log: it is new, or was logged long ago.
    pub(super) fn is_news(&self, trouble: &str) -> bool {
        let mut state = self.state();
        state.logged.retain(|(_, at)| at.elapsed() < LOG_AGAIN);
        if state.logged.iter().any(|(text, _)| text == trouble) {
            return false;
        }
        if state.logged.len() >= MAX_LOGGED {
            state.logged.remove(0);
        }
        state.logged.push((trouble.to_owned(), Instant::now()));
        true
    }

    /// Brings the version and its confirmation to the disk.
    pub(super) async fn save(&self, metrics: &Metrics) {
        let Some(store) = self.store() else { return };
        if !self.live.is_loaded() || self.is_retired.load(Ordering::Relaxed) {
            return;
        }
        let mut problem = store.save(&self.live).await.err().map(|error| error.to_string());
        let (confirmed, by) = {
            let state = self.state();
            (state.confirmed, state.from)
        };
        if let (None, Some(at), Some(by)) = (&problem, confirmed, by) {
            let noting = Arc::clone(&store);
            let noted = tokio::task::spawn_blocking(move || noting.note(at, by)).await;
            problem = noted.ok().and_then(Result::err).map(|error| {
                format!("cannot write into `{}`: {error}", store.directory().display())
            });
        }
        self.live.set_status(|status| status.journal_bytes = store.size());
        if let Some(problem) = problem {
            metrics.unsaved();
            if self.is_news(&problem) {
                let zone = self.origin();
                telemetry::error!("zone `{zone}`: {problem}; a restart does not find this version");
            }
        }
    }

    /// Stores nothing from now on.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    /// Writes the status.
    fn show(&self, trouble: Option<String>) {
        let now = (self.now(), Instant::now());
        let at = |moment: Instant| now.0.checked_add(moment.saturating_duration_since(now.1));
        let state = self.state();
        let next = at(state.timers.next);
        let expires = state.timers.expires.filter(|_| self.live.is_loaded()).and_then(at);
        let confirmed = state.confirmed;
        drop(state);
        self.live.set_status(|status| {
            status.checked = confirmed;
            status.next_check = next;
            status.expires = expires;
            status.trouble = trouble;
        });
    }
}

impl State {
    /// When the version that serves expires, if it can now.
    fn expires(&self) -> Option<Instant> {
        self.timers.expires.filter(|_| self.publishing == 0)
    }
}

/// A publication that has not ended.
struct Publishing<'a>(&'a Copy);

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        self.0.state().publishing -= 1;
        // The task of the zone may have been replaced since, and waits without regard to the timers.
        self.0.wake.notify_one();
    }
}

/// RFC 8914 section 4.25 names a zone that has expired.
fn expired_error() -> (u16, String) {
    (ede::INVALID_DATA, "the zone has expired".to_owned())
}

fn random() -> u32 {
    // Without random numbers, zones are checked together.
    net::random::bytes().map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::kit::{EXPIRE, copy, zone};
    use super::*;

    const LIFE: Duration = Duration::from_secs(EXPIRE as u64);

    fn serial(copy: &Copy) -> Option<u32> {
        copy.live().zone_to_keep().map(|zone| zone.serial())
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_is_being_published_does_not_expire_with_the_one_before() {
        let copy = copy("example.org.");
        let by = "192.0.2.1:53".parse().unwrap();
        let first = copy.publish(by, |live| Ok::<_, ()>(live.replace(zone("example.org.", 1, ""))));
        assert_eq!(first.unwrap().serial(), 1);
        tokio::time::advance(LIFE).await;
        let second = copy.publish(by, |live| {
            let second = live.replace(zone("example.org.", 2, ""));
            // It serves, and its timers do not run yet.
            assert!(!copy.expire());
            Ok::<_, ()>(second)
        });
        assert_eq!((second.unwrap().serial(), serial(&copy)), (2, Some(2)));
        assert!(!copy.expire());
        tokio::time::advance(LIFE).await;
        assert!(copy.expire());
        assert_eq!(serial(&copy), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_version_that_expired_is_the_one_that_serves_again() {
        let copy = copy("example.org.");
        let by = "192.0.2.1:53".parse().unwrap();
        let version = copy
            .publish(by, |live| Ok::<_, ()>(live.replace(zone("example.org.", 1, ""))))
            .unwrap();
        tokio::time::advance(LIFE).await;
        assert!(copy.expire());
        copy.confirmed(by, &version.soa());
        // Not a copy of it, which takes long to make for a large zone.
        assert!(Arc::ptr_eq(&copy.live().zone_to_keep().unwrap(), &version));
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_cannot_be_published_lets_the_one_before_expire() {
        let copy = copy("example.org.");
        let by = "192.0.2.1:53".parse().unwrap();
        copy.publish(by, |live| Ok::<_, ()>(live.replace(zone("example.org.", 1, "")))).unwrap();
        tokio::time::advance(LIFE).await;
        assert!(copy.publish(by, |_| Err(())).is_err());
        assert!(copy.expire());
        assert_eq!((serial(&copy), copy.base().map(|zone| zone.serial())), (None, Some(1)));
    }
}
