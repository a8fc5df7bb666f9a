//! Connections to one upstream, each with many queries on it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use socket2::Type;
use tokio::net::TcpSocket;
use tokio::time::timeout_at;

use super::connection::{Connection, Shared, Ticket};
use super::task;
use crate::client::error::{Endpoints, late};
use crate::client::network::{Accept, Ends, Network, Outgoing};
use crate::client::pooling::{Idle, PoolOptions};
use crate::client::simulated;
use crate::client::socket::socket;
use crate::workers::current_worker;

/// Open connections of one pool. With the queries that each carries this is more than `forward`
/// lets wait at once.
const CONNECTIONS: usize = 160;

/// With so many connections open, queries share them. Many servers answer one query of a
/// connection after the other, so queries share connections only when they must.
const SPREAD: usize = 4;

/// Whether the question went over a connection that was not opened for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reused(pub bool);

/// Connections to one upstream, over TCP or TLS. Each carries many queries at once; the one with
/// the least to do gets the next, of equals the oldest, so that those that are not needed end.
pub struct StreamPool {
    shared: Arc<Shared>,
}

impl Drop for StreamPool {
    fn drop(&mut self) {
        self.clear();
    }
}

impl StreamPool {
    /// A pool of connections like that.
    pub fn new(options: PoolOptions) -> Self {
        Self { shared: Arc::new(Shared::new(options)) }
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
    pub(crate) fn warm(&self, source: Option<IpAddr>, to: SocketAddr) {
        let ends = Ends { source, to, worker: current_worker() };
        let mut open = self.shared.open();
        if open.len() >= CONNECTIONS || open.iter().any(|one| one.ends == ends && one.is_kept()) {
            return;
        }
        // Without a socket, the first query gets the error.
        let Ok(socket) = socket(source, to, Type::STREAM) else { return };
        let connection = Arc::new(Connection::new(ends, false));
        open.push(Arc::clone(&connection));
        drop(open);
        let socket = TcpSocket::from_std_stream(socket.into());
        tokio::spawn(task::run(connection, Arc::clone(&self.shared), socket));
    }

    /// Closes all connections, each as soon as no query waits on it.
    pub fn clear(&self) {
        for one in self.shared.open().iter() {
            one.retire();
        }
    }

    /// Sends a message and waits for a reply that `accept` accepts.
    /// If the connection dies that carried other queries too, the message is sent once more over
    /// a fresh one.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `UnexpectedEof` if the upstream hangs up; else what the system
    /// or TLS says.
    pub async fn ask(
        &self,
        network: &Network,
        sent: Outgoing<'_>,
        accept: Accept<'_>,
    ) -> io::Result<(Vec<u8>, Reused)> {
        if let Network::Simulated(world) = network {
            let reply = simulated::stream(&**world, sent, accept).await?;
            return Ok((reply, Reused(false)));
        }
        let Outgoing { source, to, message, deadline: end } = sent;
        if !(2..=usize::from(u16::MAX)).contains(&message.len()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let ends = sent.ends();
        let mut again = false;
        loop {
            let joined = timeout_at(end, self.join(ends, message, again)).await;
            let late = |_| Endpoints::dial_error("tcp", source.address, to, late());
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
                    let reused = Reused(!ticket.opener);
                    ticket.answered();
                    return Ok((reply, reused));
                }
                Ok(Err(_)) if !again && ticket.may_retry() => again = true,
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(ticket.timed_out()),
            }
        }
    }

    /// A place on a connection with room, or on a new one; waits while there is neither. With
    /// `alone` on a new one, which no other query gets before its first message.
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
            // Of equals the oldest: a connection that is not needed stays idle and expires.
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
        tokio::spawn(task::run(connection, Arc::clone(&self.shared), socket));
        Ok(ticket)
    }
}
