//! One connection that carries many queries at once, answered in any order (RFC 7766 section
//! 6.2.1.1).
//!
//! One task owns the socket: it connects, writes what queries leave for it and gives each message
//! that comes to whoever waits for its id. Queries hold a [`Ticket`]. What a message means beyond
//! its length and id it must never know.

use std::collections::hash_map::{Entry as Place, HashMap};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::pool::{PoolOptions, Shared};
use super::told::{self, Between, Op, Told};
use super::{Ends, late};

/// Queries on one connection at once, those among them that nobody waits for any more.
pub(super) const IN_FLIGHT: usize = 64;
/// Queries on one connection that nobody waits for any more: with more it gets no new ones.
const ABANDONED: usize = IN_FLIGHT / 2;
/// Silence of this length, and new queries better go elsewhere.
const STALL: Duration = Duration::from_millis(100);
/// How long connecting may take, the TLS handshake included, however long queries wait for it.
/// CoreDNS's bound too.
pub(super) const DIAL: Duration = Duration::from_secs(30);
/// How long a farewell may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
/// Between two looks whether a connection is idle at the least, however soon it expires.
pub(super) const LOOK: Duration = Duration::from_millis(20);
/// Messages with one id that are kept until they are looked at.
const INBOX: usize = 8;
/// What is read at once at most, but for long messages.
const READ: usize = 4096;

/// A connection as queries see it.
pub(super) struct Connection {
    pub(super) ends: Ends,
    /// Its address and port on our side, once it is one.
    local: OnceLock<SocketAddr>,
    opened: Instant,
    state: Mutex<State>,
    /// There is something to write.
    filled: Notify,
    /// The task should look whether it is time to go.
    changed: Notify,
}

struct State {
    /// By the id on the wire.
    queries: HashMap<u16, Query>,
    /// Framed messages to write.
    out: Vec<u8>,
    /// How many queries are waited for.
    waiting: usize,
    /// How many queries it carried in all.
    carried: u64,
    /// How many messages came.
    heard: u64,
    /// When the last came, or was begun to be waited for.
    heard_at: Instant,
    /// Whether it ever was one.
    established: bool,
    /// Nobody else may use it before the first message came.
    alone: bool,
    /// It gets no new queries and ends after the last.
    retired: bool,
    idle_since: Instant,
    end: Option<End>,
}

/// How much a connection has to do; the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Load {
    /// Queries wait and nothing comes: the server may work at one query at a time, and this one
    /// takes long.
    pub(super) stalled: bool,
    pub(super) waiting: usize,
}

impl State {
    fn has_room(&self) -> bool {
        !self.retired && self.end.is_none() && self.queries.len() < IN_FLIGHT
    }

    fn is_given_up(&self) -> bool {
        self.retired && self.waiting == 0
    }
}

/// A query on its way.
enum Query {
    Waiting {
        inbox: Vec<Vec<u8>>,
        waker: Option<Waker>,
    },
    /// Nobody waits, but a reply may still come: the id stays taken until then, so that no other
    /// query gets that reply.
    Abandoned,
}

/// Why a connection ended: an error for each who waited.
#[derive(Clone)]
pub(super) struct End {
    number: Option<i32>,
    kind: io::ErrorKind,
    text: String,
}

impl End {
    pub(super) fn new(error: &io::Error) -> Self {
        let (number, kind) = (told::number(error), error.kind());
        // What others say alone tells the kind apart from its text.
        let text = error.get_ref().map(ToString::to_string).unwrap_or_default();
        Self { number, kind, text }
    }

    pub(super) fn error(&self) -> io::Error {
        match self.number {
            Some(number) if self.text.is_empty() => io::Error::from_raw_os_error(number),
            None if self.text.is_empty() => self.kind.into(),
            number => Told { text: self.text.clone(), number }.error(self.kind),
        }
    }
}

/// What the task has to do about its end.
enum Rest {
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

    fn state(&self) -> MutexGuard<'_, State> {
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

    /// No more queries; it ends after those it has.
    pub(super) fn retire(&self) {
        self.state().retired = true;
        self.changed.notify_one();
    }

    /// Whether it may get more queries.
    pub(super) fn is_kept(&self) -> bool {
        let state = self.state();
        !state.retired && state.end.is_none()
    }

    /// Since when it is idle, if it is kept and nobody uses it.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        let idle = state.waiting == 0 && !state.retired && state.end.is_none();
        idle.then_some(state.idle_since)
    }

    /// A message for `id`; whether somebody waited for it.
    fn deliver(&self, message: Vec<u8>) -> bool {
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

    /// The end: all who wait are told.
    fn end(&self, error: &io::Error) {
        let mut state = self.state();
        state.end = Some(End::new(error));
        for query in state.queries.values_mut() {
            if let Query::Waiting { waker: Some(waker), .. } = query {
                waker.wake_by_ref();
            }
        }
    }

    /// Whether to end now; if not, when to look again at the latest.
    fn rest(&self, expire: Duration) -> Rest {
        let mut state = self.state();
        let now = Instant::now();
        if state.waiting > 0 {
            return Rest::Until(now + if expire.is_zero() { FAREWELL } else { expire.max(LOOK) });
        }
        let idle_until = state.idle_since + expire;
        if state.is_given_up() || idle_until <= now {
            state.retired = true;
            return Rest::Over;
        }
        Rest::Until(idle_until)
    }

    /// Returns when there is nothing left to do for the connection.
    async fn outlived(&self, expire: Duration) {
        while let Rest::Until(then) = self.rest(expire) {
            tokio::select! {
                () = tokio::time::sleep_until(then) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// What `dialled` brings, unless it takes too long or the connection is given up before.
    async fn wanted<T>(&self, dialled: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let given_up = async {
            while !self.state().is_given_up() {
                self.changed.notified().await;
            }
        };
        tokio::select! {
            dialled = tokio::time::timeout(DIAL, dialled) => {
                dialled.unwrap_or_else(|_| Err(self.late()))
            }
            () = given_up => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Its two ends.
    fn between(&self) -> Between {
        Between { proto: "tcp", local: self.local.get().copied(), remote: self.ends.to }
    }

    /// It took too long: to connect, to greet with TLS, or to answer.
    fn late(&self) -> io::Error {
        if self.local.get().is_none() {
            return Between::dialled("tcp", self.ends.source, self.ends.to, late());
        }
        if self.state().established {
            return self.between().tell(Op::Read, late());
        }
        let text = told::DEADLINE.to_owned();
        Told { text, number: None }.error(io::ErrorKind::TimedOut)
    }

    /// Reads and writes until the other side ends it, or there is nothing left to do for it.
    async fn live<S>(&self, stream: &mut S, shared: &Shared) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.begin();
        let (reader, writer) = tokio::io::split(stream);
        tokio::select! {
            read = self.read(BufReader::with_capacity(READ, reader), shared) => {
                read.map_err(|error| self.between().tell(Op::Read, error))
            }
            written = self.write(writer) => {
                written.map_err(|error| self.between().tell(Op::Write, error))
            }
            () = self.outlived(shared.options.expire) => Ok(()),
        }
    }

    fn begin(&self) {
        let mut state = self.state();
        state.established = true;
        state.heard_at = Instant::now();
    }

    async fn read(&self, mut reader: impl AsyncRead + Unpin, shared: &Shared) -> io::Result<()> {
        loop {
            let length = usize::from(reader.read_u16().await?);
            let mut message = Vec::with_capacity(length);
            let mut rest = (&mut reader).take(length as u64);
            while message.len() < length {
                if rest.read_buf(&mut message).await? == 0 {
                    let text = "unexpected EOF".to_owned();
                    return Err(Told { text, number: None }.error(io::ErrorKind::UnexpectedEof));
                }
            }
            if !self.deliver(message) {
                (shared.options.stray)();
            }
        }
    }

    async fn write(&self, mut writer: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            std::mem::swap(&mut bytes, &mut self.state().out);
            if bytes.is_empty() {
                self.filled.notified().await;
                continue;
            }
            writer.write_all(&bytes).await?;
            writer.flush().await?;
        }
    }
}

/// Ends a connection for all who know it, however its task ends.
struct Farewell {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    error: Option<io::Error>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let gone = || io::ErrorKind::ConnectionAborted.into();
        self.connection.end(&self.error.take().unwrap_or_else(gone));
        self.shared.forget(&self.connection);
    }
}

/// The task of a connection.
pub(super) async fn run(connection: Arc<Connection>, shared: Arc<Shared>, socket: TcpSocket) {
    let mut farewell =
        Farewell { connection: Arc::clone(&connection), shared: Arc::clone(&shared), error: None };
    let dialled = dial(socket, connection.ends, &connection.local);
    let ended = match &shared.options.session {
        None => match connection.wanted(dialled).await {
            Ok(mut stream) => connection.live(&mut stream, &shared).await,
            Err(error) => Err(error),
        },
        Some(session) => {
            let greeted = async {
                let greeted = session.handshake(dialled.await?).await;
                greeted.map_err(|error| connection.between().tell(Op::Read, error))
            };
            match connection.wanted(greeted).await {
                Ok(mut stream) => {
                    let ended = connection.live(&mut stream, &shared).await;
                    if ended.is_ok() {
                        // RFC 8446 section 6.1: the other side is told. Whether it listens does
                        // not matter.
                        let _ = tokio::time::timeout(FAREWELL, stream.shutdown()).await;
                    }
                    ended
                }
                Err(error) => Err(error),
            }
        }
    };
    farewell.error = ended.err();
}

/// Connects, and notes in `local` where the connection is on our side.
pub(super) async fn dial(
    socket: TcpSocket,
    ends: Ends,
    local: &OnceLock<SocketAddr>,
) -> io::Result<TcpStream> {
    let stream = socket.connect(ends.to).await;
    let stream = stream.map_err(|error| Between::dialled("tcp", ends.source, ends.to, error))?;
    if let Ok(address) = stream.local_addr() {
        // A connection is dialled once.
        let _ = local.set(address);
    }
    stream.set_nodelay(true)?;
    Ok(stream)
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

    /// Whether the connection died of what may not be the fate of a new one: it was one, and was
    /// there before this query, or carried others too.
    pub(super) fn deserves_another(&self) -> bool {
        let state = self.connection.state();
        state.established && (!self.opener || state.carried > 1)
    }

    /// The reply came: the id is free.
    pub(super) fn answered(mut self) {
        self.leave(true);
    }

    /// The time is over. A connection that said nothing all the while is taken for dead.
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
        // Else who waits for room would not see that there is some, or a connection to spare.
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
