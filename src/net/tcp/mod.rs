//! TCP: accepts connections on one worker, within bounds.

mod connection;
mod registry;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use wire::Transport;

use crate::clock;
use crate::handler::Handler;
use crate::listener::TcpTimeouts;
use crate::signal::Signal;
use crate::workers::Worker;

pub(crate) use registry::Connections;

use connection::Connection;
use registry::Entry;

/// Pause after accepting failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One listening socket on its worker, and the connections it accepted.
pub(crate) struct Acceptor {
    listener: TcpListener,
    timeouts: TcpTimeouts,
    worker: Arc<Worker>,
    handler: Arc<dyn Handler>,
    signal: Arc<Signal>,
    open: JoinSet<()>,
}

enum Event {
    Accepted(TcpStream, SocketAddr),
    Failed(io::Error),
    Close,
}

impl Acceptor {
    /// Registers the socket with the runtime of the current context.
    pub(crate) fn new(
        listener: std::net::TcpListener,
        timeouts: TcpTimeouts,
        worker: Arc<Worker>,
        handler: Arc<dyn Handler>,
        signal: Arc<Signal>,
    ) -> io::Result<Self> {
        let listener = TcpListener::from_std(listener)?;
        Ok(Self { listener, timeouts, worker, handler, signal, open: JoinSet::new() })
    }

    /// Accepts until the signal is raised, then waits for the connections to finish.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| {
            self.signal.subscribe(cx.waker());
            Poll::Ready(())
        })
        .await;
        loop {
            match poll_fn(|cx| self.poll_event(cx)).await {
                Event::Accepted(stream, peer) => self.welcome(stream, peer),
                Event::Failed(error) => self.recover(&error).await,
                Event::Close => break,
            }
        }
        // What the kernel accepted is ours to answer.
        while let Poll::Ready(Ok((stream, peer))) =
            poll_fn(|cx| Poll::Ready(self.listener.poll_accept(cx))).await
        {
            self.welcome(stream, peer);
        }
        let Self { listener, worker, signal, mut open, .. } = self;
        drop(listener);
        worker.connections.wake(&signal);
        while open.join_next().await.is_some() {}
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        while !self.open.is_empty()
            && let Poll::Ready(Some(ended)) = self.open.poll_join_next(cx)
        {
            if ended.is_err_and(|error| error.is_panic()) {
                self.worker.counters.panics.add(1);
            }
        }
        if self.signal.grace().is_some() {
            return Poll::Ready(Event::Close);
        }
        self.listener.poll_accept(cx).map(|accepted| match accepted {
            Ok((stream, peer)) => Event::Accepted(stream, peer),
            Err(error) => Event::Failed(error),
        })
    }

    fn welcome(&mut self, stream: TcpStream, peer: SocketAddr) {
        let counters = &self.worker.counters;
        let connections = &self.worker.connections;
        if connections.len() >= self.worker.limits.tcp_connections {
            if !connections.evict() {
                counters.tcp_refused.add(1);
                return;
            }
            counters.tcp_evicted.add(1);
        }
        let Ok(local) = stream.local_addr() else { return };
        counters.tcp_accepted.add(1);
        let entry = Arc::new(Entry::new(Arc::clone(&self.signal), clock::now()));
        connections.insert(&entry);
        let connection = Connection::new(
            stream,
            [canonical(peer), canonical(local)],
            Transport::Tcp,
            self.timeouts,
            Arc::clone(&self.worker),
            Arc::clone(&self.handler),
            Arc::clone(&entry),
        );
        let task = self.open.spawn(connection.run());
        entry.set_task(task);
    }

    async fn recover(&self, error: &io::Error) {
        // A client that hung up before it was accepted is nobody's fault.
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
        ) {
            return;
        }
        self.worker.counters.tcp_accept_failed.add(1);
        if self.worker.connections.evict() {
            self.worker.counters.tcp_evicted.add(1);
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
}

