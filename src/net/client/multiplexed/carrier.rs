//! One connection on which each query has a stream of its own: HTTP/2, QUIC or HTTP/3.
//!
//! One task owns the connection: it opens it, keeps it going and ends it. Queries hold a [`Ticket`]
//! and send and receive on streams themselves. What a message means it must never know.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::broken::{Broken, STREAMS};
use super::over::Over;
use super::used::LastUse;
use super::{h3, https, quic};
use crate::client::error::{End, Endpoints, Op, late};
use crate::client::http::Answer;
use crate::client::network::Ends;
use crate::client::pooling::{CLOSE_TIMEOUT, IDLE_CHECK, Idle, Load, PoolOptions, bound_idle};
use crate::permit::Bound;

/// No answer for so long although queries wait, and new queries may go elsewhere.
const STALL: Duration = Duration::from_millis(500);

/// A connection as queries see it.
pub(super) struct Carrier {
    pub(super) ends: Ends,
    /// Its local address, once it has one.
    pub(super) local: OnceLock<SocketAddr>,
    pub(super) begun: Instant,
    state: Mutex<State>,
    /// The connection has been opened, or has failed to open.
    ready: Notify,
    /// A query waits again.
    pub(super) busy: Notify,
    /// Wakes the task to check whether the connection should end.
    pub(super) changed: Notify,
}

pub(super) struct State {
    phase: Phase,
    /// Queries in flight.
    pub(super) waiting: usize,
    /// Queries so far.
    carried: u64,
    /// Answers so far.
    heard: u64,
    /// When the last answer came, or the wait for one began.
    heard_at: Instant,
    /// Whether it was ever open.
    established: bool,
    /// It gets no new queries, and ends after the last one.
    retired: bool,
    idle_since: Instant,
}

enum Phase {
    Opening,
    Open(Link),
    Ended(End),
}

/// What queries send and receive on.
#[derive(Clone)]
pub(super) enum Link {
    Https(https::Link),
    Quic(quic::Line),
    H3(h3::Link),
}

impl Link {
    /// How many streams the other side lets us have at once.
    fn streams(&self) -> usize {
        match self {
            Self::Https(link) => link.current_max_send_streams().clamp(1, STREAMS),
            // Those over the other side's bound wait for one of ours to end.
            Self::Quic(_) | Self::H3(_) => STREAMS,
        }
    }

    /// The connection itself, if its traffic shows whether the other side is alive
    /// at all.
    pub(super) fn line(&self) -> Option<&quic::Line> {
        match self {
            Self::Https(_) => None,
            Self::Quic(line) => Some(line),
            Self::H3(link) => Some(&link.line),
        }
    }

    /// Sends a message that stands behind its length, and waits for the answer.
    async fn exchange(&self, over: &Over, framed: &Bytes) -> Result<Answer, Broken> {
        let message = framed.slice(2..);
        match (self, over) {
            (Self::Https(link), Over::Https(_, resource)) => {
                https::exchange(link, resource, &message).await
            }
            (Self::Quic(line), _) => quic::exchange(line, framed).await,
            (Self::H3(link), Over::H3(_, resource)) => h3::exchange(link, resource, &message).await,
            _ => Err(Broken::Query(io::ErrorKind::InvalidInput.into())),
        }
    }
}

impl State {
    fn has_room(&self) -> bool {
        let streams = match &self.phase {
            Phase::Opening => STREAMS,
            Phase::Open(link) => link.streams(),
            Phase::Ended(_) => 0,
        };
        !self.retired && self.waiting < streams
    }

    fn is_kept(&self) -> bool {
        !self.retired && !matches!(self.phase, Phase::Ended(_))
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.retired && self.waiting == 0
    }
}

/// Whether the connection should end now.
pub(super) enum Rest {
    Over,
    Until(Instant),
}

impl Carrier {
    pub(super) fn new(ends: Ends) -> Self {
        let begun = Instant::now();
        let state = State {
            phase: Phase::Opening,
            waiting: 0,
            carried: 0,
            heard: 0,
            heard_at: begun,
            established: false,
            retired: false,
            idle_since: begun,
        };
        Self {
            ends,
            local: OnceLock::new(),
            begun,
            state: Mutex::new(state),
            ready: Notify::new(),
            busy: Notify::new(),
            changed: Notify::new(),
        }
    }

    /// Its two ends.
    pub(super) fn endpoints(&self, shared: &Shared) -> Endpoints {
        let proto = if matches!(shared.over, Over::Https(..)) { "tcp" } else { "udp" };
        Endpoints { proto, local: self.local.get().copied(), remote: self.ends.to }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is loaded, if it has room for one more query.
    pub(super) fn load(&self, shared: &Shared, now: Instant) -> Option<Load> {
        let mut state = self.state();
        let age = shared.options.max_age;
        if age > Duration::ZERO && now.duration_since(self.begun) >= age {
            state.retired = true;
            self.changed.notify_one();
        }
        if !state.has_room() {
            return None;
        }
        let silent = state.waiting > 0 && now.duration_since(state.heard_at) >= STALL;
        Some(Load { stalled: state.established && silent, waiting: state.waiting })
    }

    /// Gives a query a place, if there is one.
    pub(super) fn enter(self: &Arc<Self>, shared: &Arc<Shared>, opener: bool) -> Option<Ticket> {
        let mut state = self.state();
        if !state.has_room() {
            return None;
        }
        if state.waiting == 0 {
            state.heard_at = Instant::now();
            self.busy.notify_one();
        }
        state.waiting += 1;
        state.carried += 1;
        let heard = state.heard;
        drop(state);
        let (carrier, shared) = (Arc::clone(self), Arc::clone(shared));
        Some(Ticket { carrier, shared, opener, heard })
    }

    /// Whether it may get more queries.
    pub(super) fn is_kept(&self) -> bool {
        self.state().is_kept()
    }

    /// Whether it carried a query.
    pub(super) fn was_used(&self) -> bool {
        self.state().carried > 0
    }

    pub(super) fn begin(&self, link: Link) {
        let mut state = self.state();
        state.phase = Phase::Open(link);
        state.established = true;
        state.heard_at = Instant::now();
        drop(state);
        self.ready.notify_waiters();
    }

    /// Ends the connection for all its queries; only the first end counts.
    pub(super) fn end(&self, error: &io::Error) {
        let mut state = self.state();
        if !matches!(state.phase, Phase::Ended(_)) {
            state.phase = Phase::Ended(End::new(error));
        }
        drop(state);
        self.ready.notify_waiters();
    }

    /// Whether to end now; if not, when to look again at the latest.
    pub(super) fn rest(&self, shared: &Shared) -> Rest {
        let expire = shared.options.expire;
        let warm = shared.kept_warm(self);
        let mut state = self.state();
        let now = Instant::now();
        if state.waiting > 0 {
            return Rest::Until(
                now + if expire.is_zero() { CLOSE_TIMEOUT } else { expire.max(IDLE_CHECK) },
            );
        }
        let since = warm.map_or(state.idle_since, |used| used.max(state.idle_since));
        if state.retired || since + expire <= now {
            state.retired = true;
            return Rest::Over;
        }
        Rest::Until(since + expire)
    }
}

/// Idle: kept, and no query uses it. Retired, it ends after the last query in flight.
impl Idle for Carrier {
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.waiting == 0 && state.is_kept()).then_some(state.idle_since)
    }

    fn retire(&self) {
        self.state().retired = true;
        self.changed.notify_one();
    }
}

/// What a pool and the tasks of its connections share.
pub(super) struct Shared {
    pub(super) options: PoolOptions,
    pub(super) over: Over,
    /// All that are open, in the order they were opened.
    open: Mutex<Vec<Arc<Carrier>>>,
    /// A connection ended, or has room again.
    pub(super) room: Notify,
    pub(super) waiting: Bound,
    pub(super) used: Arc<LastUse>,
    pub(super) closed: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        over: Over,
        options: PoolOptions,
        used: Arc<LastUse>,
        waiting: usize,
    ) -> Self {
        Self {
            options,
            over,
            open: Mutex::default(),
            room: Notify::new(),
            waiting: Bound::new(waiting),
            used,
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn open(&self) -> MutexGuard<'_, Vec<Arc<Carrier>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection ended.
    pub(super) fn remove(&self, gone: &Arc<Carrier>) {
        self.open().retain(|one| !Arc::ptr_eq(one, gone));
        self.room.notify_waiters();
    }

    /// When the upstream was asked last, if `one` is kept open for as long as it is asked by
    /// any worker: only the oldest of its worker is.
    pub(super) fn kept_warm(&self, one: &Carrier) -> Option<Instant> {
        let open = self.open();
        let mut alike = open.iter().filter(|other| other.ends == one.ends && other.is_kept());
        let oldest = alike.next()?;
        (std::ptr::eq(&raw const **oldest, one)).then(|| self.used.last())?
    }

    /// A connection is idle now: closes the one that has been for longest, if there are too many.
    pub(super) fn bound_idle(&self) {
        bound_idle(&self.open(), self.options.max_idle);
    }
}

/// A query's place on a connection.
pub(super) struct Ticket {
    carrier: Arc<Carrier>,
    shared: Arc<Shared>,
    /// Whether the connection was opened for this query.
    pub(super) opener: bool,
    /// How many answers had come before.
    heard: u64,
}

impl Ticket {
    /// Sends the query, and waits for the answer without a deadline.
    pub(super) async fn exchange(&self, framed: &Bytes) -> Result<Answer, Broken> {
        let link = self.link().await.map_err(Broken::Connection)?;
        link.exchange(&self.shared.over, framed).await
    }

    /// The connection, once it is open.
    async fn link(&self) -> io::Result<Link> {
        loop {
            let ready = self.carrier.ready.notified();
            let mut ready = std::pin::pin!(ready);
            ready.as_mut().enable();
            match &self.carrier.state().phase {
                Phase::Open(link) => return Ok(link.clone()),
                Phase::Ended(end) => return Err(end.error()),
                Phase::Opening => {}
            }
            ready.await;
        }
    }

    /// Where the connection is on our side, if it is anywhere.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.carrier.local.get().copied()
    }

    /// The answer came.
    pub(super) fn answered(&self) {
        let mut state = self.carrier.state();
        state.heard += 1;
        state.heard_at = Instant::now();
    }

    /// Whether a new connection may succeed where this one died: it was open before
    /// this query, or carried others too.
    pub(super) fn may_retry(&self) -> bool {
        let state = self.carrier.state();
        state.established && (!self.opener || state.carried > 1)
    }

    /// Why the connection ended, if it did and knows better than the query.
    pub(super) fn end(&self) -> Option<io::Error> {
        match &self.carrier.state().phase {
            Phase::Ended(end) => Some(end.error()),
            _ => None,
        }
    }

    /// The deadline has passed. A connection without any answer meanwhile counts as dead.
    pub(super) fn timed_out(&self) -> io::Error {
        let mut state = self.carrier.state();
        if state.heard == self.heard {
            state.retired = true;
        }
        drop(state);
        self.carrier.endpoints(&self.shared).tell(Op::Read, late())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.carrier.state();
        let was_full = !state.has_room();
        state.waiting -= 1;
        let idle = state.waiting == 0;
        if idle {
            state.idle_since = Instant::now();
            if state.retired || self.shared.options.expire.is_zero() {
                self.carrier.changed.notify_one();
            }
        }
        drop(state);
        if idle {
            self.shared.bound_idle();
        }
        // Otherwise queries that wait for room would not notice that there is some.
        if idle || was_full {
            self.shared.room.notify_waiters();
        }
    }
}
