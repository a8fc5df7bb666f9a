//! One HTTP/2 connection to an upstream, with many requests on it; opened anew when it ends.
//!
//! The first request starts a task that opens it: a request that stops waiting does not affect the
//! others. After a failure there is a short pause in which all requests fail at once. What
//! requests are about it must never know.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::Type;
use tokio::net::{TcpSocket, UnixStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client::error::{self, End, Endpoints, GoError, late};
use crate::client::pooling::DIAL_TIMEOUT;
use crate::client::socket::socket;
use crate::stream::Stream;
use crate::tls::Session;

/// The flow-control windows of one stream, and of the whole connection. A
/// message is not longer than 64 KiB.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// A connection that was idle for so long is not trusted any more: something on the way may have
/// forgotten it.
const IDLE: Duration = Duration::from_secs(10);
/// A connection that fails a request is not replaced before this age: a server that breaks every
/// request is not dialled for each.
const YOUNG: Duration = Duration::from_millis(100);
/// The pause after a connection could not be opened: the first one, and the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// At an address.
    Address(SocketAddr),
    /// At a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// The connection to one upstream.
pub(super) struct Http2 {
    shared: Arc<Shared>,
}

struct Shared {
    place: ServerAddress,
    /// The TLS session and the expected server; `None`: plain text.
    session: Option<Session>,
    state: Mutex<State>,
    /// The state is another.
    changed: Notify,
}

struct State {
    link: Link,
    pause: Duration,
}

enum Link {
    None,
    Dialling,
    Open(Arc<Opened>),
    /// It could not be opened, and is not tried again before this moment.
    Failed(End, Instant),
}

/// A connection that is open, or was.
struct Opened {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
    /// It gets no new requests.
    retired: AtomicBool,
    /// How many replies came.
    heard: AtomicU64,
    /// When the last request or reply went over it, in milliseconds since it was opened.
    used: AtomicU64,
}

impl Opened {
    fn touch(&self) {
        self.used.store(self.since.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn is_fit(&self) -> bool {
        let idle = self.since.elapsed().as_millis() as u64 - self.used.load(Ordering::Relaxed);
        !self.retired.load(Ordering::Relaxed)
            && !self.sender.is_closed()
            && u128::from(idle) < IDLE.as_millis()
    }
}

/// A request's hold on the connection.
pub(super) struct Line {
    opened: Arc<Opened>,
    heard: u64,
}

impl Http2 {
    pub(super) fn new(place: ServerAddress, session: Option<Session>) -> Self {
        let state = Mutex::new(State { link: Link::None, pause: PAUSE });
        Self { shared: Arc::new(Shared { place, session, state, changed: Notify::new() }) }
    }

    pub(super) fn place(&self) -> &ServerAddress {
        &self.shared.place
    }

    /// A hold on the connection; waits while it is being opened. With `instead` not on that one.
    ///
    /// Errors: it could not be opened, now or a moment ago.
    pub(super) async fn line(&self, instead: Option<&Line>) -> io::Result<Line> {
        if let Some(Line { opened, .. }) = instead {
            opened.retired.store(true, Ordering::Relaxed);
        }
        loop {
            let changed = self.shared.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if let Some(line) = self.try_line()? {
                return Ok(line);
            }
            changed.await;
        }
    }

    fn try_line(&self) -> io::Result<Option<Line>> {
        let mut state = self.shared.state();
        match &state.link {
            Link::Open(opened) if opened.is_fit() => {
                opened.touch();
                let heard = opened.heard.load(Ordering::Relaxed);
                return Ok(Some(Line { opened: Arc::clone(opened), heard }));
            }
            Link::Failed(end, until) if Instant::now() < *until => return Err(end.error()),
            Link::Dialling => return Ok(None),
            Link::None | Link::Open(_) | Link::Failed(..) => {}
        }
        state.link = Link::Dialling;
        drop(state);
        tokio::spawn(dial(Arc::clone(&self.shared)));
        Ok(None)
    }
}

impl Line {
    /// Where to send a request.
    pub(super) fn sender(&self) -> SendRequest<Full<Bytes>> {
        self.opened.sender.clone()
    }

    /// A reply came over it.
    pub(super) fn answered(&self) {
        self.opened.heard.fetch_add(1, Ordering::Relaxed);
        self.opened.touch();
    }

    /// The deadline has passed. A connection without any reply meanwhile counts as dead.
    pub(super) fn timed_out(&self) {
        if self.opened.heard.load(Ordering::Relaxed) == self.heard {
            self.opened.retired.store(true, Ordering::Relaxed);
        }
    }

    /// Whether what it died of may not be the fate of a new one.
    pub(super) fn may_retry(&self) -> bool {
        self.opened.since.elapsed() >= YOUNG
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self) -> io::Result<Stream> {
        let stream: Stream = match &self.place {
            ServerAddress::Unix(path) => {
                Box::new(UnixStream::connect(path).await.map_err(|error| {
                    let text =
                        format!("dial unix {}: connect: {}", path.display(), error::words(&error));
                    dialling(GoError { text, number: error.raw_os_error() }.error(error.kind()))
                })?)
            }
            ServerAddress::Address(to) => {
                let socket = socket(None, *to, Type::STREAM).map_err(dialling)?;
                let stream = TcpSocket::from_std_stream(socket.into()).connect(*to).await;
                let told = |error| dialling(Endpoints::dial_error("tcp", None, *to, error));
                let stream = stream.map_err(told)?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        };
        match &self.session {
            None => Ok(stream),
            Some(session) => Ok(Box::new(session.handshake(stream).await.map_err(greeting)?)),
        }
    }
}

/// The error of gRPC's Go library when there is no connection.
fn transport(what: &str, error: io::Error) -> io::Error {
    let (kind, number) = (error.kind(), error::number(&error));
    let eof = kind == io::ErrorKind::UnexpectedEof && error.get_ref().is_none();
    let why = if eof { "EOF".to_owned() } else { error.to_string() };
    let text = format!("connection error: desc = \"transport: {what}: {why}\"");
    GoError { text, number }.error(kind)
}

pub(super) fn dialling(error: io::Error) -> io::Error {
    transport("Error while dialing", error)
}

fn greeting(error: io::Error) -> io::Error {
    transport("authentication handshake failed", error)
}

/// Ends dialling for all requests that wait, however the task ends.
struct Dialled {
    shared: Arc<Shared>,
    link: Link,
}

impl Drop for Dialled {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.link = std::mem::replace(&mut self.link, Link::None);
        drop(state);
        self.shared.changed.notify_waiters();
    }
}

/// The task that opens a connection and then drives it.
async fn dial(shared: Arc<Shared>) {
    let mut dialled = Dialled { shared: Arc::clone(&shared), link: Link::None };
    let opening = async {
        let stream = TokioIo::new(shared.open().await?);
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(STREAM_WINDOW);
        builder.initial_connection_window_size(CONNECTION_WINDOW);
        builder.handshake(stream).await.map_err(broken)
    };
    let opened = tokio::time::timeout(DIAL_TIMEOUT, opening).await.unwrap_or_else(|_| Err(late()));
    match opened {
        Err(error) => {
            let mut state = shared.state();
            let pause = state.pause;
            state.pause = (pause * 2).min(LONGEST_PAUSE);
            drop(state);
            dialled.link = Link::Failed(End::new(&error), Instant::now() + pause);
        }
        Ok((sender, connection)) => {
            shared.state().pause = PAUSE;
            dialled.link = Link::Open(Arc::new(Opened {
                sender,
                since: Instant::now(),
                retired: AtomicBool::new(false),
                heard: AtomicU64::new(0),
                used: AtomicU64::new(0),
            }));
            drop(dialled);
            // The connection must not keep its client alive.
            drop(shared);
            // Its requests report its errors.
            let _ = connection.await;
        }
    }
}

/// hyper's error as an error of the network, with the text of its cause.
pub(super) fn broken(error: hyper::Error) -> io::Error {
    let closed = error.is_canceled() || error.is_closed();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return End::new(io).error();
        }
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    if closed { io::ErrorKind::ConnectionAborted.into() } else { io::Error::other(text) }
}
