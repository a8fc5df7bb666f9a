//! Connections to one upstream on which each query has its own stream: few connections, each with many
//! queries, kept open while queries arrive.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::carrier::{self, Broken, Carrier, Ticket};
use super::connections::Over;
use super::told::{self, Between, DEADLINE, Op, Told};
use super::web::Answer;
use super::{Crowded, Ends, PoolOptions, Source, Unfit, late};
use crate::permit::Bound;
use crate::workers::current_worker;

/// Open connections of one pool.
const CONNECTIONS: usize = 32;
/// Queries that wait for a place on a connection, in one pool.
const WAITING: usize = 1000;
/// As long as there are fewer connections, one that has gone quiet is no reason to wait.
const SPREAD: usize = 4;
/// How exactly it is known when an upstream was asked last: workers do not write one word at each
/// query.
const USED_STEP: Duration = Duration::from_millis(250);

/// When an upstream was asked last, by any worker.
pub(super) struct Used {
    start: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
    ever: AtomicBool,
}

impl Used {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0), ever: AtomicBool::new(false) }
    }

    fn touch(&self, now: Instant) {
        let since = now.duration_since(self.start);
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        if since >= last + USED_STEP || !self.ever.load(Ordering::Relaxed) {
            let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            self.last.store(millis, Ordering::Relaxed);
            self.ever.store(true, Ordering::Relaxed);
        }
    }

    fn last(&self) -> Option<Instant> {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.ever.load(Ordering::Relaxed).then(|| self.start + last)
    }
}

/// Connections over HTTPS, QUIC or HTTP/3. The one with the least to do gets the next query; there
/// is a second one only when the others are full or have gone quiet.
pub(super) struct CarrierPool {
    shared: Arc<Shared>,
}

/// What the tasks of connections know too.
pub(super) struct Shared {
    pub(super) options: PoolOptions,
    pub(super) over: Over,
    /// All that are open, in the order they were opened.
    open: Mutex<Vec<Arc<Carrier>>>,
    /// A connection ended, or has room again.
    pub(super) room: Notify,
    waiting: Bound,
    used: Arc<Used>,
    closed: AtomicBool,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Vec<Arc<Carrier>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection ended.
    pub(super) fn forget(&self, gone: &Arc<Carrier>) {
        self.open().retain(|one| !Arc::ptr_eq(one, gone));
        self.room.notify_waiters();
    }

    /// When the upstream was asked last, if `one` is kept open for as long as it is asked by
    /// anybody: the oldest of its worker.
    pub(super) fn kept_warm(&self, one: &Carrier) -> Option<Instant> {
        let open = self.open();
        let mut alike = open.iter().filter(|other| other.ends == one.ends && other.is_kept());
        let oldest = alike.next()?;
        (std::ptr::eq(&raw const **oldest, one)).then(|| self.used.last())?
    }

    /// The other side ended a connection that was of use: another is opened before the next query
    /// comes, once, and not if the upstream has not been asked for a while.
    pub(super) fn renew(self: &Arc<Self>, gone: &Arc<Carrier>) {
        let expire = self.options.expire;
        let asked = self.used.last().is_some_and(|used| used + expire > Instant::now());
        if asked && !expire.is_zero() && !self.closed.load(Ordering::Relaxed) {
            self.warm(gone.ends, Some(gone));
        }
    }

    /// Opens a connection, if there is none between these ends but `except`.
    fn warm(self: &Arc<Self>, ends: Ends, except: Option<&Arc<Carrier>>) {
        let mut open = self.open();
        let other = |one: &&Arc<Carrier>| except.is_none_or(|except| !Arc::ptr_eq(one, except));
        let there = open.iter().filter(other).any(|one| one.ends == ends && one.is_kept());
        if !there && open.len() < CONNECTIONS {
            let carrier = Arc::new(Carrier::new(ends));
            open.push(Arc::clone(&carrier));
            drop(open);
            carrier::start(carrier, Arc::clone(self));
        }
    }

    /// A connection is idle now: closes the one that has been for longest, if there are too many.
    pub(super) fn bound_idle(&self) {
        let most = self.options.max_idle;
        if most == 0 {
            return;
        }
        let open = self.open();
        let mut idle: Vec<(Instant, &Arc<Carrier>)> =
            open.iter().filter_map(|one| Some((one.idle_since()?, one))).collect();
        idle.sort_by_key(|(since, _)| *since);
        let surplus = idle.len().saturating_sub(most);
        for (_, one) in &idle[..surplus] {
            one.retire();
        }
    }
}

impl Drop for CarrierPool {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        for one in self.shared.open().iter() {
            one.retire();
        }
    }
}

impl CarrierPool {
    pub(super) fn new(over: Over, options: PoolOptions, used: Arc<Used>) -> Self {
        let shared = Shared {
            options,
            over,
            open: Mutex::default(),
            room: Notify::new(),
            waiting: Bound::new(WAITING),
            used,
            closed: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Opens a connection ahead of the first query, if there is none.
    pub(super) fn warm(&self, source: Option<IpAddr>, to: SocketAddr) {
        self.shared.warm(Ends { source, to, worker: current_worker() }, None);
    }

    /// Sends `framed`, which begins with the message's length and zero for its id, and waits for the
    /// answer. If the connection dies that was there before the query, or carried others too, it is
    /// sent once more over a fresh one. Also tells whether the connection was there before.
    pub(super) async fn ask(
        &self,
        source: Source<'_>,
        to: SocketAddr,
        framed: &Bytes,
        end: Instant,
    ) -> io::Result<(Answer, bool)> {
        let ends = Ends { source: source.address, to, worker: current_worker() };
        let mut since = None;
        loop {
            self.shared.used.touch(Instant::now());
            let joined = timeout_at(end, self.join(ends, since)).await;
            let between = Between { proto: "udp", local: None, remote: to };
            let ticket = joined.map_err(|_| between.tell(Op::Dial, late()))??;
            let outcome = timeout_at(end, ticket.exchange(framed)).await;
            source.tell(|| ticket.local().ok_or_else(|| io::ErrorKind::NotConnected.into()));
            match outcome {
                Ok(Ok(answer)) => {
                    ticket.answered();
                    return Ok((answer, !ticket.opener));
                }
                Ok(Err(Broken::Connection(_))) if since.is_none() && ticket.deserves_another() => {
                    since = Some(Instant::now());
                }
                Ok(Err(Broken::Connection(error))) => return Err(ticket.end().unwrap_or(error)),
                Ok(Err(Broken::Query(error))) => {
                    ticket.answered();
                    return Err(error);
                }
                Err(_) => return Err(ticket.timed_out()),
            }
        }
    }

    /// An error of a request, in the words of Go's HTTP client. What HTTP itself says has words of its own.
    pub(super) fn tell(&self, to: SocketAddr, framed: &Bytes, error: io::Error) -> io::Error {
        let (Over::Https(_, resource) | Over::H3(_, resource)) = &self.shared.over else {
            return error;
        };
        if error.get_ref().is_some_and(|inner| inner.is::<Crowded>() || inner.is::<Unfit>()) {
            return error;
        }
        let (kind, number) = (error.kind(), told::number(&error));
        let what = match kind {
            io::ErrorKind::TimedOut if number.is_none() => {
                format!("{DEADLINE} (Client.Timeout exceeded while awaiting headers)")
            }
            _ => error.to_string(),
        };
        let text = format!("{}: {what}", resource.told(to, &framed.slice(2..)));
        Told { text, number }.error(kind)
    }

    /// A place on a connection that was begun `since` then; waits while there is none and there may
    /// be no more connections.
    async fn join(&self, ends: Ends, since: Option<Instant>) -> io::Result<Ticket> {
        let mut waiting = None;
        loop {
            let room = self.shared.room.notified();
            let mut room = std::pin::pin!(room);
            room.as_mut().enable();
            if let Some(ticket) = self.try_join(ends, since) {
                return Ok(ticket);
            }
            if waiting.is_none() {
                let permit = self.shared.waiting.try_acquire();
                waiting = Some(permit.ok_or_else(|| io::Error::other(Crowded))?);
            }
            room.await;
        }
    }

    fn try_join(&self, ends: Ends, since: Option<Instant>) -> Option<Ticket> {
        let shared = &self.shared;
        let mut open = shared.open();
        let full = open.len() >= CONNECTIONS;
        if !shared.options.expire.is_zero() {
            let now = Instant::now();
            let fits = open
                .iter()
                .filter(|one| one.ends == ends && since.is_none_or(|since| one.begun >= since));
            let loads = fits.filter_map(|one| Some((one.load(shared, now)?, one)));
            if let Some((load, one)) = loads.min_by_key(|(load, _)| *load)
                && (!load.stalled || open.len() >= SPREAD)
                && let Some(ticket) = one.enter(shared, false)
            {
                return Some(ticket);
            }
        }
        if full {
            // An idle one makes room as soon as its task ends.
            if let Some(idle) = open.iter().find(|one| one.idle_since().is_some()) {
                idle.retire();
            }
            return None;
        }
        let carrier = Arc::new(Carrier::new(ends));
        open.push(Arc::clone(&carrier));
        let ticket = carrier.enter(shared, true);
        drop(open);
        carrier::start(carrier, Arc::clone(shared));
        ticket
    }
}
