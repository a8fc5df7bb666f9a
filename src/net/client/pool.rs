//! Connections to one upstream, each with many queries on it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::Type;
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::connection::{self, Connection, Ticket};
use super::told::Between;
use super::{Accept, Ends, Network, Source, late, simulated_stream, socket};
use crate::tls::Session;
use crate::workers::current_worker;

/// Open connections of one pool. With the queries that each carries this is more than `forward`
/// lets wait at once.
const CONNECTIONS: usize = 160;

/// With so many connections open, queries share them. Many servers answer one query of a
/// connection after the other, so sharing is not for those who can do without.
const SPREAD: usize = 4;

/// Whether the question went over a connection that was not opened for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reused(pub bool);

/// What connections are like.
#[derive(Clone)]
pub struct PoolOptions {
    /// How long an idle connection is kept; zero: it carries one question.
    pub expire: Duration,
    /// How many idle connections are kept; zero: no bound of its own.
    pub max_idle: usize,
    /// For how long a connection gets new queries; zero: no bound.
    pub max_age: Duration,
    /// With TLS, and whom to expect.
    pub session: Option<Session>,
    /// Called for each message that nobody waits for.
    pub stray: Arc<dyn Fn() + Send + Sync>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        let expire = Duration::from_secs(10);
        let stray = Arc::new(|| {});
        Self { expire, max_idle: 0, max_age: Duration::ZERO, session: None, stray }
    }
}

impl PoolOptions {
    /// For one question over a connection of its own.
    pub fn once(session: Option<Session>) -> Self {
        Self { expire: Duration::ZERO, session, ..Self::default() }
    }
}

/// Connections to one upstream, over TCP or TLS. Each carries many queries at once; the one with
/// the least to do gets the next, of equals the oldest, so that those that are not needed end.
pub struct StreamPool {
    shared: Arc<Shared>,
}

/// What the tasks of connections know too.
pub(super) struct Shared {
    pub(super) options: PoolOptions,
    /// All that are open, in the order they were opened.
    open: Mutex<Vec<Arc<Connection>>>,
    /// A connection ended, or has room again.
    pub(super) room: Notify,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection ended.
    pub(super) fn forget(&self, gone: &Arc<Connection>) {
        self.open().retain(|one| !Arc::ptr_eq(one, gone));
        self.room.notify_waiters();
    }

    /// A connection is idle now: closes the one that has been for longest, if there are too many.
    pub(super) fn bound_idle(&self) {
        let most = self.options.max_idle;
        if most == 0 {
            return;
        }
        let open = self.open();
        let mut idle: Vec<(Instant, &Arc<Connection>)> =
            open.iter().filter_map(|one| Some((one.idle_since()?, one))).collect();
        idle.sort_by_key(|(since, _)| *since);
        let surplus = idle.len().saturating_sub(most);
        for (_, one) in &idle[..surplus] {
            one.retire();
        }
    }
}

impl Drop for StreamPool {
    fn drop(&mut self) {
        self.clear();
    }
}

impl StreamPool {
    /// A pool of connections like that.
    pub fn new(options: PoolOptions) -> Self {
        let shared = Shared { options, open: Mutex::default(), room: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// How many connections are kept now, busy or idle.
    pub fn len(&self) -> usize {
        self.shared.open().iter().filter(|one| one.is_kept()).count()
    }

    /// Whether none are kept now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens a connection ahead of the first query, in the runtime this is called in, if there is
    /// none.
    pub(super) fn warm(&self, source: Option<IpAddr>, to: SocketAddr) {
        let ends = Ends { source, to, worker: current_worker() };
        let mut open = self.shared.open();
        if open.len() >= CONNECTIONS || open.iter().any(|one| one.ends == ends && one.is_kept()) {
            return;
        }
        // Without a socket the first query is told why.
        let Ok(socket) = socket(source, to, Type::STREAM) else { return };
        let connection = Arc::new(Connection::new(ends, false));
        open.push(Arc::clone(&connection));
        drop(open);
        let socket = TcpSocket::from_std_stream(socket.into());
        tokio::spawn(connection::run(connection, Arc::clone(&self.shared), socket));
    }

    /// Closes all connections, each as soon as no query waits on it.
    pub fn clear(&self) {
        for one in self.shared.open().iter() {
            one.retire();
        }
    }

    /// Sends `message`, which begins with an id, and waits for a reply that `accept` says yes to.
    /// If the connection dies that carried other queries too, the message is sent once more over
    /// a fresh one.
    ///
    /// # Errors
    /// `TimedOut` after `timeout`, `UnexpectedEof` if the upstream hangs up; else what the system
    /// or TLS says.
    #[expect(clippy::too_many_arguments, reason = "a question, whom to ask, and for how long")]
    pub async fn ask(
        &self,
        network: &Network,
        source: impl Into<Source<'_>>,
        to: SocketAddr,
        message: &[u8],
        timeout: Duration,
        into: &mut Vec<u8>,
        accept: Accept<'_>,
    ) -> io::Result<Reused> {
        let end = Instant::now() + timeout;
        if let Network::Simulated(world) = network {
            simulated_stream(&**world, to, message, end, into, accept).await?;
            return Ok(Reused(false));
        }
        if !(2..=usize::from(u16::MAX)).contains(&message.len()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let source = source.into();
        let ends = Ends { source: source.address, to, worker: current_worker() };
        let mut again = false;
        loop {
            let joined = timeout_at(end, self.join(ends, message, again)).await;
            let late = |_| Between::dialled("tcp", source.address, to, late());
            let ticket = joined.map_err(late)??;
            let replied = async {
                loop {
                    let reply = ticket.next().await?;
                    if accept(&reply) {
                        return Ok(reply);
                    }
                }
            };
            let outcome = timeout_at(end, replied).await;
            source.tell(|| ticket.local().ok_or_else(|| io::ErrorKind::NotConnected.into()));
            match outcome {
                Ok(Ok(reply)) => {
                    *into = reply;
                    let reused = Reused(!ticket.opener);
                    ticket.answered();
                    return Ok(reused);
                }
                Ok(Err(_)) if !again && ticket.deserves_another() => again = true,
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(ticket.timed_out()),
            }
        }
    }

    /// A place on a connection with room, or on a new one; waits while there is neither. With
    /// `alone` on a new one which nobody else gets before it brought something.
    async fn join(&self, ends: Ends, message: &[u8], alone: bool) -> io::Result<Ticket> {
        loop {
            let room = self.shared.room.notified();
            let mut room = std::pin::pin!(room);
            room.as_mut().enable();
            if let Some(ticket) = self.try_join(ends, message, alone)? {
                return Ok(ticket);
            }
            room.await;
        }
    }

    fn try_join(&self, ends: Ends, message: &[u8], alone: bool) -> io::Result<Option<Ticket>> {
        let mut open = self.shared.open();
        let full = open.len() >= CONNECTIONS;
        if !alone && !self.shared.options.expire.is_zero() {
            let fits = open.iter().filter(|one| one.ends == ends);
            let loads = fits.filter_map(|one| Some((one.load(&self.shared.options)?, one)));
            // Of equals the oldest: who is not needed is left alone, and expires.
            if let Some((load, one)) = loads.min_by_key(|(load, _)| *load)
                && (load.waiting == 0 || full || open.len() >= SPREAD && !load.stalled)
                && let Some(ticket) = one.enter(&self.shared, message, false)
            {
                return Ok(Some(ticket));
            }
        }
        if full {
            // An idle one makes room as soon as its task ends.
            if let Some(idle) = open.iter().find(|one| one.idle_since().is_some()) {
                idle.retire();
            }
            return Ok(None);
        }
        let socket = TcpSocket::from_std_stream(socket(ends.source, ends.to, Type::STREAM)?.into());
        let connection = Arc::new(Connection::new(ends, alone));
        open.push(Arc::clone(&connection));
        let ticket = connection.enter(&self.shared, message, true);
        drop(open);
        tokio::spawn(connection::run(connection, Arc::clone(&self.shared), socket));
        Ok(ticket)
    }
}
