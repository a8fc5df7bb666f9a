//! TCP: accepts connections on one worker, within bounds.

mod connection;
mod outbox;
mod output;
mod registry;
mod scratch;
mod state;

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
use state::Setup;

/// The most connections pushed out for one that comes: where the bound was lowered there may be many
/// too many.
const EVICTED: usize = 16;
/// Pause after accepting failed for want of descriptors or memory.
const SCARCE_PAUSE: Duration = Duration::from_millis(100);
/// Pause after it failed for any other reason.
const FAULT_PAUSE: Duration = Duration::from_millis(1);

/// One listening socket on its worker.
pub(crate) struct Acceptor {
    listener: TcpListener,
    hall: Hall,
}

/// The connections that were accepted.
struct Hall {
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
        let hall = Hall { timeouts, worker, handler, signal, open: JoinSet::new() };
        Ok(Self { listener, hall })
    }

    /// Accepts until the signal is raised, then waits for the connections to finish.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| {
            self.hall.signal.subscribe(cx.waker());
            Poll::Ready(())
        })
        .await;
        loop {
            match poll_fn(|cx| self.poll_event(cx)).await {
                Event::Accepted(stream, peer) => {
                    self.hall.make_room().await;
                    self.hall.welcome(stream, peer);
                }
                Event::Failed(error) => self.hall.recover(&error).await,
                Event::Close => break,
            }
        }
        let Self { listener, mut hall } = self;
        // What the kernel accepted is ours to answer. It is asked itself: the runtime may not
        // have heard of it yet.
        if let Ok(listener) = listener.into_std() {
            while let Ok((stream, peer)) = accept_now(&listener) {
                hall.make_room().await;
                hall.welcome(stream, peer);
            }
        }
        hall.worker.connections.wake(&hall.signal);
        while hall.open.join_next().await.is_some() {}
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.hall.reap(cx);
        if self.hall.signal.grace().is_some() {
            return Poll::Ready(Event::Close);
        }
        self.listener.poll_accept(cx).map(|accepted| match accepted {
            Ok((stream, peer)) => Event::Accepted(stream, peer),
            Err(error) => Event::Failed(error),
        })
    }
}

impl Hall {
    /// Forgets connections that have ended.
    fn reap(&mut self, cx: &mut Context<'_>) {
        while !self.open.is_empty()
            && let Poll::Ready(Some(ended)) = self.open.poll_join_next(cx)
        {
            if ended.is_err_and(|error| error.is_panic()) {
                self.worker.counters.panics.add(1);
            }
        }
    }

    /// Pushes out connections that are idle longest where one more would be too many. Their sockets
    /// close when their tasks had their turn.
    async fn make_room(&self) {
        let Worker { counters, connections, .. } = &*self.worker;
        let most = self.worker.max_connections();
        let excess = (connections.len() + 1).saturating_sub(most).min(EVICTED);
        let evicted = (0..excess).take_while(|_| connections.evict()).count();
        counters.tcp_evicted.add(evicted as u64);
        if connections.sockets() >= most {
            tokio::task::yield_now().await;
        }
    }

    fn welcome(&mut self, stream: TcpStream, peer: SocketAddr) {
        let counters = &self.worker.counters;
        let connections = &self.worker.connections;
        if connections.sockets() >= self.worker.max_connections() {
            counters.tcp_refused.add(1);
            return;
        }
        let Ok(local) = stream.local_addr() else {
            return;
        };
        counters.tcp_accepted.add(1);
        let entry = Arc::new(Entry::new(Arc::clone(&self.signal), clock::now()));
        connections.insert(&entry);
        let setup = Setup {
            peer: canonical(peer),
            local: canonical(local),
            transport: Transport::Tcp,
            timeouts: self.timeouts,
            worker: Arc::clone(&self.worker),
            handler: Arc::clone(&self.handler),
            entry: Arc::clone(&entry),
        };
        let connection = Connection::new(stream, setup);
        entry.set_task(self.open.spawn(connection.run()));
    }

    async fn recover(&self, error: &io::Error) {
        self.worker.counters.tcp_accept_failed.add(1);
        let scarce = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
        if error.raw_os_error().is_some_and(|code| scarce.contains(&code)) {
            if self.worker.connections.evict() {
                self.worker.counters.tcp_evicted.add(1);
            }
            tokio::time::sleep(SCARCE_PAUSE).await;
        } else {
            // Most likely the fault of one client: the next one is welcome, but not at full speed
            // if it is ours after all.
            tokio::time::sleep(FAULT_PAUSE).await;
        }
    }
}

/// Accepts a connection that is there.
fn accept_now(listener: &std::net::TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((TcpStream::from_std(stream)?, peer))
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
}
