//! Connections to one upstream, kept to be used again.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::Type;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::{Accept, Network, Source, late, socket};
use crate::workers::current_worker;

/// Whether a kept connection carried the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reused(pub bool);

/// Connections to one upstream. Each carries one question at a time; the one that has been idle
/// longest is used first, so that all of them stay alive or go.
pub struct TcpPool {
    expire: Duration,
    max_idle: usize,
    idle: Mutex<VecDeque<Idle>>,
}

struct Idle {
    stream: TcpStream,
    since: Instant,
    to: SocketAddr,
    source: Option<IpAddr>,
    /// A connection lives in the runtime that opened it.
    worker: Option<usize>,
}

impl TcpPool {
    /// A pool that keeps a connection for `expire`, and at most `max_idle` of them (0: no bound).
    pub fn new(expire: Duration, max_idle: usize) -> Self {
        Self { expire, max_idle, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections are kept now.
    pub fn len(&self) -> usize {
        self.idle().len()
    }

    /// Whether none are kept now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes all connections that are kept.
    pub fn clear(&self) {
        self.idle().clear();
    }

    /// Sends `message` and waits for a reply that `accept` says yes to. A kept connection that
    /// turns out to be dead is replaced by a fresh one, once and silently.
    ///
    /// # Errors
    /// `TimedOut` after `timeout`, `UnexpectedEof` if the upstream hangs up; else what the system
    /// says.
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
            let Some((delay, reply)) = world.tcp(to, message) else {
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            let comes = Instant::now() + delay;
            tokio::time::sleep_until(comes.min(end)).await;
            if comes <= end && accept(&reply) {
                *into = reply;
                return Ok(Reused(false));
            }
            tokio::time::sleep_until(end).await;
            return Err(late());
        }
        tokio::time::timeout_at(end, self.converse(source.into(), to, message, into, accept))
            .await
            .map_err(|_| late())?
    }

    async fn converse(
        &self,
        source: Source<'_>,
        to: SocketAddr,
        message: &[u8],
        into: &mut Vec<u8>,
        accept: Accept<'_>,
    ) -> io::Result<Reused> {
        let framed = frame(message)?;
        let address = source.address;
        if let Some(mut stream) = self.take(address, to)
            && exchange(&mut stream, &framed, into, accept).await.is_ok()
        {
            source.tell(|| stream.local_addr());
            self.keep(stream, address, to);
            return Ok(Reused(true));
        }
        let fresh = TcpSocket::from_std_stream(socket(address, to, Type::STREAM)?.into());
        let mut stream = fresh.connect(to).await?;
        source.tell(|| stream.local_addr());
        stream.set_nodelay(true)?;
        exchange(&mut stream, &framed, into, accept).await?;
        self.keep(stream, address, to);
        Ok(Reused(false))
    }

    fn take(&self, source: Option<IpAddr>, to: SocketAddr) -> Option<TcpStream> {
        let worker = current_worker();
        let now = Instant::now();
        let mut idle = self.idle();
        while idle.front().is_some_and(|first| now.duration_since(first.since) >= self.expire) {
            idle.pop_front();
        }
        let fits = idle
            .iter()
            .position(|one| one.worker == worker && one.to == to && one.source == source)?;
        idle.remove(fits).map(|one| one.stream)
    }

    fn keep(&self, stream: TcpStream, source: Option<IpAddr>, to: SocketAddr) {
        let mut idle = self.idle();
        if self.max_idle > 0 && idle.len() >= self.max_idle {
            idle.pop_front();
        }
        let since = Instant::now();
        idle.push_back(Idle { stream, since, to, source, worker: current_worker() });
    }
}

fn frame(message: &[u8]) -> io::Result<Vec<u8>> {
    let len = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&len.to_be_bytes());
    framed.extend_from_slice(message);
    Ok(framed)
}

/// One question and its reply.
async fn exchange(
    stream: &mut TcpStream,
    framed: &[u8],
    into: &mut Vec<u8>,
    accept: &mut (dyn FnMut(&[u8]) -> bool + Send),
) -> io::Result<()> {
    stream.write_all(framed).await?;
    loop {
        let len = usize::from(stream.read_u16().await?);
        into.clear();
        into.reserve(len);
        let mut rest = (&mut *stream).take(len as u64);
        while into.len() < len {
            if rest.read_buf(into).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if accept(into) {
            return Ok(());
        }
    }
}
