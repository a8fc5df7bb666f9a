//! One connection on which each query has a stream of its own: HTTP/2, QUIC or HTTP/3.
//!
//! One task owns the connection: it opens it, keeps it going and ends it. Queries hold a [`Ticket`]
//! and send and receive on streams themselves. What a message means it must never know.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::carriers::Shared;
use super::connection::{DIAL, End, FAREWELL, LOOK, Load};
use super::connections::Over;
use super::told::{Between, Op};
use super::web::Answer;
use super::{Ends, h3, https, late, quic};

/// Queries on one connection at once, if the other side allows as many; RFC 9113 section 6.5.2 asks
/// servers for no less.
pub(super) const STREAMS: usize = 100;
/// No answer for so long although queries wait, and new queries may go elsewhere.
const STALL: Duration = Duration::from_millis(500);

/// A connection as queries see it.
pub(super) struct Carrier {
    pub(super) ends: Ends,
    /// Its address and port on our side, once it has them.
    local: OnceLock<SocketAddr>,
    pub(super) begun: Instant,
    state: Mutex<State>,
    /// It is open now, or never will be.
    ready: Notify,
    /// Somebody waits again.
    busy: Notify,
    /// The task should look whether it is time to go.
    changed: Notify,
}

struct State {
    phase: Phase,
    /// How many queries it has.
    waiting: usize,
    /// How many it had in all.
    carried: u64,
    /// How many answers came.
    heard: u64,
    /// When the last came, or was begun to be waited for.
    heard_at: Instant,
    /// Whether it ever was open.
    established: bool,
    /// It gets no new queries and ends after the last.
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

/// What keeps a connection going.
pub(super) enum Driver {
    Https(Box<https::Driver>),
    Quic(quic::Line),
    H3(Box<h3::Driver>),
}

/// Why a query got no answer.
pub(super) enum Broken {
    /// The connection died, or did not take the query: another may do.
    Connection(io::Error),
    /// It was answered in a way that is of no use, or refused; others on the connection go on.
    Query(io::Error),
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

    /// The connection itself, where what goes to and fro on it tells whether the other side is there
    /// at all.
    fn line(&self) -> Option<&quic::Line> {
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

impl Driver {
    /// Keeps the connection going until it ends from the other side; tells why.
    async fn run(&mut self) -> io::Error {
        match self {
            Self::Https(driver) => https::run(driver).await,
            Self::Quic(line) => line.ended().await,
            Self::H3(driver) => h3::run(driver).await,
        }
    }

    /// Ends it; all links are gone.
    async fn close(self) {
        match self {
            Self::Https(mut driver) => drop(https::run(&mut driver).await),
            Self::Quic(line) => line.close(quic::NO_ERROR).await,
            Self::H3(driver) => h3::close(*driver).await,
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

    fn is_given_up(&self) -> bool {
        self.retired && self.waiting == 0
    }
}

/// What the task has to do about its end.
enum Rest {
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
    fn between(&self, shared: &Shared) -> Between {
        let proto = if matches!(shared.over, Over::Https(..)) { "tcp" } else { "udp" };
        Between { proto, local: self.local.get().copied(), remote: self.ends.to }
    }

    fn state(&self) -> MutexGuard<'_, State> {
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

    /// No more queries; it ends after those it has.
    pub(super) fn retire(&self) {
        self.state().retired = true;
        self.changed.notify_one();
    }

    /// Whether it may get more queries.
    pub(super) fn is_kept(&self) -> bool {
        self.state().is_kept()
    }

    /// Since when it is idle, if it is kept and nobody uses it.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.waiting == 0 && state.is_kept()).then_some(state.idle_since)
    }

    /// Whether it carried a query.
    fn was_used(&self) -> bool {
        self.state().carried > 0
    }

    fn begin(&self, link: Link) {
        let mut state = self.state();
        state.phase = Phase::Open(link);
        state.established = true;
        state.heard_at = Instant::now();
        drop(state);
        self.ready.notify_waiters();
    }

    /// The end, for all who know it; only the first counts.
    fn end(&self, error: &io::Error) {
        let mut state = self.state();
        if !matches!(state.phase, Phase::Ended(_)) {
            state.phase = Phase::Ended(End::new(error));
        }
        drop(state);
        self.ready.notify_waiters();
    }

    /// Whether to end now; if not, when to look again at the latest.
    fn rest(&self, shared: &Shared) -> Rest {
        let expire = shared.options.expire;
        let warm = shared.kept_warm(self);
        let mut state = self.state();
        let now = Instant::now();
        if state.waiting > 0 {
            return Rest::Until(now + if expire.is_zero() { FAREWELL } else { expire.max(LOOK) });
        }
        let since = warm.map_or(state.idle_since, |used| used.max(state.idle_since));
        if state.retired || since + expire <= now {
            state.retired = true;
            return Rest::Over;
        }
        Rest::Until(since + expire)
    }

    /// Returns when there is nothing left to do for the connection.
    async fn outlived(&self, shared: &Shared) {
        while let Rest::Until(then) = self.rest(shared) {
            tokio::select! {
                () = tokio::time::sleep_until(then) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// What `opening` brings, unless it takes too long or nobody wants it any more.
    async fn wanted<T>(&self, opening: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let given_up = async {
            while !self.state().is_given_up() {
                self.changed.notified().await;
            }
        };
        tokio::select! {
            opened = tokio::time::timeout(DIAL, opening) => opened.unwrap_or_else(|_| Err(late())),
            () = given_up => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Returns when queries wait, we send, and nothing comes, not even acknowledgements. TCP would
    /// notice a server that started again by itself; QUIC knows only that nobody is there.
    async fn deserted(&self, line: Option<&quic::Line>) {
        let Some(line) = line else { return pending().await };
        loop {
            while self.state().waiting == 0 {
                self.busy.notified().await;
            }
            let mut last = line.traffic();
            // Whether more was asked since something was heard, when that was looked at.
            let mut unanswered = false;
            while self.state().waiting > 0 {
                tokio::time::sleep(line.patience()).await;
                let now = line.traffic();
                if now.heard != last.heard {
                    last = now;
                    unanswered = false;
                } else if unanswered && self.state().waiting > 0 {
                    return;
                } else {
                    unanswered = now.asked > last.asked;
                }
            }
        }
    }
}

/// Ends a connection for all who know it, however its task ends.
struct Farewell {
    carrier: Arc<Carrier>,
    shared: Arc<Shared>,
    error: Option<io::Error>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let gone = || io::ErrorKind::ConnectionAborted.into();
        self.carrier.end(&self.error.take().unwrap_or_else(gone));
        self.shared.forget(&self.carrier);
    }
}

/// Starts the task of a connection.
pub(super) fn start(carrier: Arc<Carrier>, shared: Arc<Shared>) {
    // Boxed, for the task of a connection may start that of the next one.
    let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(run(carrier, shared));
    tokio::spawn(task);
}

async fn run(carrier: Arc<Carrier>, shared: Arc<Shared>) {
    let mut farewell =
        Farewell { carrier: Arc::clone(&carrier), shared: Arc::clone(&shared), error: None };
    let opening = open(&shared.over, carrier.ends, &carrier.local);
    let (link, mut driver) = match carrier.wanted(opening).await {
        Ok(opened) => opened,
        Err(error) => {
            // Who is greeted has been reached.
            let op = if carrier.local.get().is_some() { Op::Read } else { Op::Dial };
            farewell.error = Some(carrier.between(&shared).tell(op, error));
            return;
        }
    };
    let line = link.line().cloned();
    carrier.begin(link);
    let error = tokio::select! {
        error = driver.run() => Some(error),
        () = carrier.deserted(line.as_ref()) => Some(late()),
        () = carrier.outlived(&shared) => None,
    };
    // Its link goes with it.
    let ours = error.is_none();
    let error = error.map(|error| carrier.between(&shared).tell(Op::Read, error));
    carrier.end(&error.unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()));
    if !ours && carrier.was_used() {
        shared.renew(&carrier);
    }
    if ours || line.is_some() {
        // The other side is told. Whether it listens does not matter.
        let _ = tokio::time::timeout(FAREWELL, driver.close()).await;
    }
}

async fn open(over: &Over, ends: Ends, local: &OnceLock<SocketAddr>) -> io::Result<(Link, Driver)> {
    match over {
        Over::Https(session, _) => {
            let (link, driver) = https::open(session, ends, local).await?;
            Ok((Link::Https(link), Driver::Https(Box::new(driver))))
        }
        Over::Quic(session) => {
            let line = quic::open(session, ends, local).await?;
            Ok((Link::Quic(line.clone()), Driver::Quic(line)))
        }
        Over::H3(session, _) => {
            let (link, driver) = h3::open(session, ends, local).await?;
            Ok((Link::H3(link), Driver::H3(Box::new(driver))))
        }
        Over::Tcp | Over::Tls(_) => Err(io::ErrorKind::InvalidInput.into()),
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
    /// Asks, and waits as long as it takes.
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

    /// Whether the connection died of what may not be the fate of a new one: it was there before
    /// this query, or carried others too.
    pub(super) fn deserves_another(&self) -> bool {
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

    /// The time is over. A connection that answered nothing all the while is taken for dead.
    pub(super) fn timed_out(&self) -> io::Error {
        let mut state = self.carrier.state();
        if state.heard == self.heard {
            state.retired = true;
        }
        drop(state);
        self.carrier.between(&self.shared).tell(Op::Read, late())
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
        // Else who waits for room would not see that there is some, or a connection to spare.
        if idle || was_full {
            self.shared.room.notify_waiters();
        }
    }
}
