//! TCP, plain and below TLS: accepts connections on one worker, within bounds.

mod connection;
mod outbox;
mod output;
mod scratch;
mod secure;
mod state;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use wire::Transport;

use crate::listen::handler::Handler;
use crate::listen::http;
use crate::listen::setup::{Place, Setup, canonical};
use crate::listen::spec::StreamSettings;
use crate::workers::Signal;
use crate::workers::Worker;
use crate::{clock, tls};

use crate::workers::OpenConnection;
use connection::Connection;
use secure::Handshakes;

/// Evictions for one new connection at most. After the limit was lowered there may be many connections
/// above it.
const EVICTED: usize = 16;
/// Pause after accepting failed because descriptors or memory are short.
const SCARCE_PAUSE: Duration = Duration::from_millis(100);
/// Pause after it failed for another reason.
const FAULT_PAUSE: Duration = Duration::from_millis(1);

/// One listening socket on its worker.
pub(crate) struct Acceptor {
    listener: TcpListener,
    accepted: Accepted,
}

/// The accepted connections of one listening socket.
struct Accepted {
    settings: watch::Receiver<StreamSettings>,
    handshakes: Handshakes,
    worker: Arc<Worker>,
    handler: Arc<dyn Handler>,
    signal: Arc<Signal>,
    open: JoinSet<()>,
}

enum Event {
    Connection(TcpStream, SocketAddr),
    Failed(io::Error),
    Close,
}

impl Acceptor {
    /// Registers the socket with the runtime of the current context.
    pub(crate) fn new(
        listener: std::net::TcpListener,
        settings: watch::Receiver<StreamSettings>,
        worker: Arc<Worker>,
        handler: Arc<dyn Handler>,
        signal: Arc<Signal>,
    ) -> io::Result<Self> {
        let listener = TcpListener::from_std(listener)?;
        let (handshakes, open) = (Handshakes::default(), JoinSet::new());
        let accepted = Accepted { settings, handshakes, worker, handler, signal, open };
        Ok(Self { listener, accepted })
    }

    /// Accepts until the signal is raised, then waits for the connections to finish.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| {
            self.accepted.signal.subscribe(cx.waker());
            Poll::Ready(())
        })
        .await;
        loop {
            match poll_fn(|cx| self.poll_event(cx)).await {
                Event::Connection(stream, peer) => {
                    self.accepted.make_room().await;
                    self.accepted.serve(stream, peer);
                }
                Event::Failed(error) => self.accepted.back_off(&error).await,
                Event::Close => break,
            }
        }
        let Self { listener, mut accepted } = self;
        // The kernel has accepted these connections already, so they are answered. The runtime may not know
        // of them yet.
        if let Ok(listener) = listener.into_std() {
            while let Ok((stream, peer)) = accept_now(&listener) {
                accepted.make_room().await;
                accepted.serve(stream, peer);
            }
        }
        accepted.worker.connections.wake(&accepted.signal);
        while accepted.open.join_next().await.is_some() {}
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.accepted.reap(cx);
        if self.accepted.signal.grace().is_some() {
            return Poll::Ready(Event::Close);
        }
        self.listener.poll_accept(cx).map(|result| match result {
            Ok((stream, peer)) => Event::Connection(stream, peer),
            Err(error) => Event::Failed(error),
        })
    }
}

impl Accepted {
    /// Removes connections that have ended.
    fn reap(&mut self, cx: &mut Context<'_>) {
        while !self.open.is_empty()
            && let Poll::Ready(Some(ended)) = self.open.poll_join_next(cx)
        {
            if ended.is_err_and(|error| error.is_panic()) {
                self.worker.counters.panics.add(1);
            }
        }
    }

    /// Evicts idle connections if one more would exceed the limit. Their sockets close when the runtime
    /// drops their tasks.
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

    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) {
        let counters = &self.worker.counters;
        let connections = &self.worker.connections;
        if connections.sockets() >= self.worker.max_connections() {
            counters.tcp_refused.add(1);
            return;
        }
        let Ok(local) = stream.local_addr() else {
            return;
        };
        let settings = self.settings.borrow();
        let permit = settings.http.as_ref().map(|http| http.connections.try_acquire_owned());
        if permit.as_ref().is_some_and(Option::is_none) {
            self.worker.sessions.https_refused.add(1);
            return;
        }
        counters.tcp_accepted.add(1);
        let entry = Arc::new(OpenConnection::new(Arc::clone(&self.signal), clock::now()));
        let http = settings.http.clone();
        let setup = Setup {
            peer: canonical(peer),
            local: canonical(local),
            transport: match (&http, &settings.tls) {
                (Some(_), _) => Transport::Https,
                (None, Some(_)) => Transport::Tls,
                (None, None) => Transport::Tcp,
            },
            tls13: false,
            timeouts: settings.timeouts,
            handler: Arc::clone(&self.handler),
            place: Place::new(&self.worker, &entry),
        };
        let handshake = settings.tls.as_ref().map(|acceptor| {
            let session = acceptor.session(if http.is_some() { tls::HTTP } else { tls::DOT });
            (session, self.handshakes.begin(&self.worker, &entry))
        });
        let task = match (http, handshake) {
            (None, None) => self.open.spawn(Connection::new(stream, setup).run()),
            (None, Some((session, handshake))) => {
                self.open.spawn(secure::serve(session, stream, setup, handshake))
            }
            (Some(http), handshake) => self.open.spawn(async move {
                let _permit = permit;
                match handshake {
                    None => http::serve(stream, false, setup, http).await,
                    Some((session, handshake)) => {
                        let greeted = secure::greet(session, stream, setup, handshake).await;
                        if let Some((stream, setup)) = greeted {
                            let is_http2 = stream.protocol() == Some(b"h2");
                            http::serve(stream, is_http2, setup, http).await;
                        }
                    }
                }
            }),
        };
        entry.set_task(task);
    }

    async fn back_off(&self, error: &io::Error) {
        self.worker.counters.tcp_accept_failed.add(1);
        let scarce = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
        if error.raw_os_error().is_some_and(|code| scarce.contains(&code)) {
            if self.worker.connections.evict() {
                self.worker.counters.tcp_evicted.add(1);
            }
            tokio::time::sleep(SCARCE_PAUSE).await;
        } else {
            // Usually the error of one client. The pause bounds the rate if it is not.
            tokio::time::sleep(FAULT_PAUSE).await;
        }
    }
}

/// Accepts a connection from the queue of the kernel.
fn accept_now(listener: &std::net::TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((TcpStream::from_std(stream)?, peer))
}
