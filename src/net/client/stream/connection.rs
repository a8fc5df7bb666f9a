//! One connection that carries many queries at once, answered in any order (RFC 7766 section
//! 6.2.1.1).
//!
//! One task owns the socket: it connects, writes what queries leave for it and gives each message
//! that comes to the query with its id. Queries hold a [`Ticket`]. What a message means beyond
//! its length and id it must never know.

use std::collections::hash_map::{Entry as Place, HashMap};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client::error::{DEADLINE, End, Endpoints, GoError, Op, late};
use crate::client::network::Ends;
use crate::client::pooling::{CLOSE_TIMEOUT, IDLE_CHECK, Idle, Load, PoolOptions, bound_idle};

/// Queries on one connection at once, abandoned ones included.
pub(super) const IN_FLIGHT: usize = 64;
/// Abandoned queries on one connection: with more of them it gets no new ones.
const ABANDONED: usize = IN_FLIGHT / 2;
/// Silence of this length, and new queries better go elsewhere.
const STALL: Duration = Duration::from_millis(100);
/// Messages with one id that are kept until they are looked at.
const INBOX: usize = 8;
/// A connection as queries see it.
pub(super) struct Connection {
    pub(super) ends: Ends,
    /// Its local address, once it is connected.
    pub(super) local: OnceLock<SocketAddr>,
    opened: Instant,
    state: Mutex<State>,
    /// There is something to write.
    pub(super) filled: Notify,
    /// Wakes the task to check whether the connection should end.
    pub(super) changed: Notify,
}

pub(super) struct State {
    /// By the id on the wire.
    queries: HashMap<u16, Query>,
    /// Framed messages to write.
    pub(super) out: Vec<u8>,
    /// Queries in flight.
    waiting: usize,
    /// Queries so far.
    carried: u64,
    /// Messages received.
    heard: u64,
    /// When the last message came, or the wait for one began.
    pub(super) heard_at: Instant,
    /// Whether it was ever connected.
    pub(super) established: bool,
    /// No other query may use it before the first message came.
    alone: bool,
    /// It gets no new queries, and ends after the last one.
    retired: bool,
    idle_since: Instant,
    end: Option<End>,
}

impl State {
    fn has_room(&self) -> bool {
        !self.retired && self.end.is_none() && self.queries.len() < IN_FLIGHT
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.retired && self.waiting == 0
    }
}

/// A query on a connection.
enum Query {
    Waiting {
        inbox: Vec<Vec<u8>>,
        waker: Option<Waker>,
    },
    /// The client has given up, but a reply may still come: the id stays taken until then, so that no other
    /// query gets that reply.
    Abandoned,
}

/// Whether the connection should end now.
pub(super) enum Rest {
    Over,
    Until(Instant),
}

impl Connection {
    pub(super) fn new(ends: Ends, alone: bool) -> Self {
        let opened = Instant::now();
        let state = State {
            queries: HashMap::new(),
            out: Vec::new(),
            waiting: 0,
            carried: 0,
            heard: 0,
            heard_at: opened,
            established: false,
            alone,
            retired: false,
            idle_since: opened,
            end: None,
        };
        let (filled, changed) = (Notify::new(), Notify::new());
        let state = Mutex::new(state);
        Self { ends, local: OnceLock::new(), opened, state, filled, changed }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is loaded, if it may get one more query of those that others opened it for.
    pub(super) fn load(&self, options: &PoolOptions) -> Option<Load> {
        let now = Instant::now();
        let mut state = self.state();
        let age = options.max_age;
        let old = age > Duration::ZERO && now.duration_since(self.opened) >= age;
        let idle = state.waiting == 0 && now.duration_since(state.idle_since) >= options.expire;
        if old || idle {
            state.retired = true;
            self.changed.notify_one();
        }
        if state.alone || !state.has_room() {
            return None;
        }
        let silent = state.waiting > 0 && now.duration_since(state.heard_at) >= STALL;
        Some(Load { stalled: state.established && silent, waiting: state.waiting })
    }

    /// Puts a query on the connection, if it has room for it.
    pub(super) fn enter(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        message: &[u8],
        opener: bool,
    ) -> Option<Ticket> {
        let mut state = self.state();
        if !state.has_room() {
            return None;
        }
        let length = u16::try_from(message.len()).ok()?.to_be_bytes();
        let (&ours, rest) = message.split_first_chunk::<2>()?;
        // The caller's own id, which is random, or the next that is free; there are far more ids
        // than queries.
        let mut id = u16::from_be_bytes(ours);
        let place = loop {
            match state.queries.entry(id) {
                Place::Vacant(place) => break place,
                Place::Occupied(_) => id = id.wrapping_add(1),
            }
        };
        place.insert(Query::Waiting { inbox: Vec::new(), waker: None });
        if state.waiting == 0 {
            state.heard_at = Instant::now();
        }
        state.waiting += 1;
        state.carried += 1;
        state.out.extend_from_slice(&length);
        state.out.extend_from_slice(&id.to_be_bytes());
        state.out.extend_from_slice(rest);
        let heard = state.heard;
        drop(state);
        self.filled.notify_one();
        let (connection, shared) = (Arc::clone(self), Arc::clone(shared));
        Some(Ticket { connection, shared, id, ours, opener, heard, open: true })
    }

    /// Whether it may get more queries.
    pub(super) fn is_kept(&self) -> bool {
        let state = self.state();
        !state.retired && state.end.is_none()
    }

    /// Delivers a message to the query with its id; whether there is one.
    pub(super) fn deliver(&self, message: Vec<u8>) -> bool {
        let Some(&id) = message.first_chunk::<2>() else { return false };
        let id = u16::from_be_bytes(id);
        let mut state = self.state();
        state.heard += 1;
        state.heard_at = Instant::now();
        state.alone = false;
        match state.queries.get_mut(&id) {
            Some(Query::Waiting { inbox, waker }) if inbox.len() < INBOX => {
                inbox.push(message);
                if let Some(waker) = waker.take() {
                    waker.wake();
                }
                true
            }
            Some(Query::Abandoned) => {
                state.queries.remove(&id);
                false
            }
            _ => false,
        }
    }

    /// Ends the connection: all queries that wait fail.
    pub(super) fn end(&self, error: &io::Error) {
        let mut state = self.state();
        state.end = Some(End::new(error));
        for query in state.queries.values_mut() {
            if let Query::Waiting { waker: Some(waker), .. } = query {
                waker.wake_by_ref();
            }
        }
    }

    /// Whether to end now; if not, when to look again at the latest.
    pub(super) fn rest(&self, expire: Duration) -> Rest {
        let mut state = self.state();
        let now = Instant::now();
        if state.waiting > 0 {
            return Rest::Until(
                now + if expire.is_zero() { CLOSE_TIMEOUT } else { expire.max(IDLE_CHECK) },
            );
        }
        let idle_until = state.idle_since + expire;
        if state.is_given_up() || idle_until <= now {
            state.retired = true;
            return Rest::Over;
        }
        Rest::Until(idle_until)
    }

    /// Its two ends.
    pub(super) fn endpoints(&self) -> Endpoints {
        Endpoints { proto: "tcp", local: self.local.get().copied(), remote: self.ends.to }
    }

    /// The error of a deadline: while connecting, in the TLS handshake, or waiting for an answer.
    pub(super) fn late(&self) -> io::Error {
        if self.local.get().is_none() {
            return Endpoints::dial_error("tcp", self.ends.source, self.ends.to, late());
        }
        if self.state().established {
            return self.endpoints().tell(Op::Read, late());
        }
        let text = DEADLINE.to_owned();
        GoError { text, number: None }.error(io::ErrorKind::TimedOut)
    }
}

/// Idle: kept, and no query uses it. Retired, it ends after the last query in flight.
impl Idle for Connection {
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        let idle = state.waiting == 0 && !state.retired && state.end.is_none();
        idle.then_some(state.idle_since)
    }

    fn retire(&self) {
        self.state().retired = true;
        self.changed.notify_one();
    }
}

/// What a pool and the tasks of its connections share.
pub(super) struct Shared {
    pub(super) options: PoolOptions,
    /// All that are open, in the order they were opened.
    open: Mutex<Vec<Arc<Connection>>>,
    /// A connection ended, or has room again.
    pub(super) room: Notify,
}

impl Shared {
    pub(super) fn new(options: PoolOptions) -> Self {
        Self { options, open: Mutex::default(), room: Notify::new() }
    }

    pub(super) fn open(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection ended.
    pub(super) fn remove(&self, gone: &Arc<Connection>) {
        self.open().retain(|one| !Arc::ptr_eq(one, gone));
        self.room.notify_waiters();
    }

    /// A connection is idle now: closes the one that has been for longest, if there are too many.
    pub(super) fn bound_idle(&self) {
        bound_idle(&self.open(), self.options.max_idle);
    }
}

/// A query's place on a connection. Dropped before its reply came, it leaves its id taken.
pub(super) struct Ticket {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    /// The id on the wire.
    id: u16,
    /// The caller's.
    ours: [u8; 2],
    /// Whether the connection was opened for this query.
    pub(super) opener: bool,
    /// How many messages had come before.
    heard: u64,
    open: bool,
}

impl Ticket {
    /// The next message with this query's id, with the caller's id in it.
    pub(super) async fn next(&self) -> io::Result<Vec<u8>> {
        poll_fn(|context| {
            let mut state = self.connection.state();
            if let Some(Query::Waiting { inbox, waker }) = state.queries.get_mut(&self.id) {
                if !inbox.is_empty() {
                    let mut message = inbox.remove(0);
                    message[..2].copy_from_slice(&self.ours);
                    return Poll::Ready(Ok(message));
                }
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
            }
            match &state.end {
                Some(end) => Poll::Ready(Err(end.error())),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Where the connection is on our side, if it is one.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.connection.local.get().copied()
    }

    /// Whether a new connection may succeed where this one died: it was established, and was
    /// there before this query, or carried others too.
    pub(super) fn may_retry(&self) -> bool {
        let state = self.connection.state();
        state.established && (!self.opener || state.carried > 1)
    }

    /// The reply came: the id is free.
    pub(super) fn answered(mut self) {
        self.leave(true);
    }

    /// The deadline has passed. A connection without any message meanwhile counts as dead.
    pub(super) fn timed_out(self) -> io::Error {
        let late = self.connection.late();
        let mut state = self.connection.state();
        if state.heard == self.heard {
            state.retired = true;
        }
        drop(state);
        late
    }

    fn leave(&mut self, answered: bool) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let mut state = self.connection.state();
        let was_full = state.queries.len() >= IN_FLIGHT;
        if answered {
            state.queries.remove(&self.id);
        } else if let Some(query) = state.queries.get_mut(&self.id) {
            *query = Query::Abandoned;
        }
        state.waiting -= 1;
        let abandoned = state.queries.len() - state.waiting;
        state.retired |= abandoned > ABANDONED;
        let idle = state.waiting == 0;
        if idle {
            state.idle_since = Instant::now();
            if state.retired || self.shared.options.expire.is_zero() {
                self.connection.changed.notify_one();
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

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave(false);
    }
}
