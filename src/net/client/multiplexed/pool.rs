//! Connections to one upstream on which each query has its own stream: few connections, each with many
//! queries, kept open while queries arrive.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::broken::Broken;
use super::carrier::{Carrier, Shared, Ticket};
use super::over::Over;
use super::task::{self, CONNECTIONS};
use super::used::LastUse;
use crate::client::error::{
    self, ConnectionsFull, DEADLINE, Endpoints, GoError, InvalidReply, Op, late,
};
use crate::client::http::Answer;
use crate::client::network::{Ends, Outgoing};
use crate::client::pooling::{Idle, PoolOptions};
use crate::workers::current_worker;

/// Queries that wait for a place on a connection, in one pool.
const WAITING: usize = 1000;
/// With fewer connections, a query opens another one instead of waiting for one that is stalled.
const SPREAD: usize = 4;
/// Connections over HTTPS, QUIC or HTTP/3. The one with the least to do gets the next query; there
/// is a second one only when the others are full or stalled.
pub(crate) struct CarrierPool {
    shared: Arc<Shared>,
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
    pub(crate) fn new(over: Over, options: PoolOptions, used: Arc<LastUse>) -> Self {
        Self { shared: Arc::new(Shared::new(over, options, used, WAITING)) }
    }

    /// Opens a connection ahead of the first query, if there is none.
    pub(crate) fn warm(&self, source: Option<IpAddr>, to: SocketAddr) {
        self.shared.warm(Ends { source, to, worker: current_worker() }, None);
    }

    /// Sends `framed`, which begins with the message's length and zero for its id, and waits for the
    /// answer. If the connection dies that was there before the query, or carried others too, it is
    /// sent once more over a fresh one. Also returns whether the connection was reused.
    pub(crate) async fn ask(
        &self,
        sent: Outgoing<'_>,
        framed: &Bytes,
    ) -> io::Result<(Answer, bool)> {
        let Outgoing { source, to, deadline: end, .. } = sent;
        let ends = sent.ends();
        let mut since = None;
        loop {
            self.shared.used.touch(Instant::now());
            let joined = timeout_at(end, self.join(ends, since)).await;
            let endpoints = Endpoints { proto: "udp", local: None, remote: to };
            let ticket = joined.map_err(|_| endpoints.tell(Op::Dial, late()))??;
            let outcome = timeout_at(end, ticket.exchange(framed)).await;
            source.tell(|| ticket.local().ok_or_else(|| io::ErrorKind::NotConnected.into()));
            match outcome {
                Ok(Ok(answer)) => {
                    ticket.answered();
                    return Ok((answer, !ticket.opener));
                }
                Ok(Err(Broken::Connection(_))) if since.is_none() && ticket.may_retry() => {
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

    /// An error of a request, in the words of Go's HTTP client. Errors of HTTP itself keep their text.
    pub(crate) fn tell(&self, to: SocketAddr, framed: &Bytes, error: io::Error) -> io::Error {
        let (Over::Https(_, resource) | Over::H3(_, resource)) = &self.shared.over else {
            return error;
        };
        if error
            .get_ref()
            .is_some_and(|inner| inner.is::<ConnectionsFull>() || inner.is::<InvalidReply>())
        {
            return error;
        }
        let (kind, number) = (error.kind(), error::number(&error));
        let what = match kind {
            io::ErrorKind::TimedOut if number.is_none() => {
                format!("{DEADLINE} (Client.Timeout exceeded while awaiting headers)")
            }
            _ => error.to_string(),
        };
        let text = format!("{}: {what}", resource.told(to, &framed.slice(2..)));
        GoError { text, number }.error(kind)
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
                waiting = Some(permit.ok_or_else(|| io::Error::other(ConnectionsFull))?);
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
        task::start(carrier, Arc::clone(shared));
        ticket
    }
}
