//! HTTP/2. One task drives a connection and all exchanges on it.
//!
//! It uses `h2` and not hyper: hyper needs a task of the runtime for each request. `h2` itself ends
//! connections that reset streams rapidly, that send headers without end, or frames that nobody needs.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use exchange::Exchange;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::blocked::{Blocked, Watched};
use super::request::{self, Asked, MAX_MESSAGE};
use crate::clock;
use crate::listen::handler::{self, Permit};
use crate::listen::http_settings::Http;
use crate::listen::pool;
use crate::listen::setup::{Setup, canonical};
use crate::listen::tasks::{Finished, Tasks};

/// Requests per call of the handler.
const BATCH: usize = 64;
/// Entries for waiting queries that an idle connection keeps.
const KEPT_TASKS: usize = 4;
/// Octets of the head of a request, as HTTP/2 counts them.
const MAX_HEAD: u32 = 16 << 10;
/// Octets of bodies that a client may send ahead.
const WINDOW: u32 = 256 << 10;
/// Replies up to this long are handed to the connection whatever the client's window. A client has fewer
/// streams than would matter.
const SMALL: usize = 2 << 10;
/// Octets of longer replies that wait for the client's window.
const MAX_BLOCKED: usize = 1 << 20;
/// After a connection is to end, the time for the client to notice.
const LINGER: Duration = Duration::from_secs(1);

type Respond = SendResponse<Bytes>;

/// Serves a connection until it ends.
pub(super) async fn serve<S>(
    stream: Watched<S>,
    blocked: Arc<Blocked>,
    setup: Setup,
    http: Arc<Http>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let greeting = Builder::new()
        .max_concurrent_streams(http.settings.max_streams)
        .max_header_list_size(MAX_HEAD)
        .initial_connection_window_size(WINDOW)
        .max_send_buffer_size(MAX_MESSAGE)
        .handshake::<_, Bytes>(stream);
    let greeted = tokio::time::timeout(setup.timeouts.read, greeting).await;
    let Ok(greeted) = greeted else {
        setup.worker.counters.tcp_timed_out.add(1);
        return;
    };
    let Ok(connection) = greeted else { return };
    let now = Instant::now();
    let mut driver = Driver {
        connection,
        timer: Box::pin(tokio::time::sleep_until(now + setup.timeouts.read)),
        state: State {
            setup,
            http,
            blocked,
            tasks: Tasks::new(KEPT_TASKS),
            bodies: Vec::new(),
            unsent: Vec::new(),
            unsent_octets: 0,
            ready: Vec::new(),
            exchanges: Vec::new(),
            active: now,
            queries: 0,
            ending: None,
        },
    };
    poll_fn(|cx| driver.poll(cx)).await;
}

struct Driver<S: AsyncRead + AsyncWrite + Unpin> {
    // Closed before the state leaves the registry.
    connection: Connection<Watched<S>, Bytes>,
    timer: Pin<Box<Sleep>>,
    state: State,
}

/// All of a connection but its streams.
struct State {
    setup: Setup,
    http: Arc<Http>,
    blocked: Arc<Blocked>,
    /// Exchanges that wait.
    tasks: Tasks<Respond>,
    /// Requests whose bodies are incomplete.
    bodies: Vec<Body>,
    /// Replies for which the client's window has no room.
    unsent: Vec<Unsent>,
    unsent_octets: usize,
    /// The requests of the next batch, and their exchanges.
    ready: Vec<Respond>,
    exchanges: pool::Exchanges,
    /// The time of the last request or reply.
    active: Instant,
    queries: u32,
    /// No more requests are taken, and at this time the connection ends.
    ending: Option<Instant>,
}

/// A request whose body is incomplete.
struct Body {
    stream: RecvStream,
    respond: Respond,
    peer: std::net::SocketAddr,
    bytes: Vec<u8>,
    since: Instant,
}

/// A reply that waits for the client's window.
struct Unsent {
    stream: SendStream<Bytes>,
    reply: Bytes,
    since: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// One turn; ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.state.setup.entry.set_waker(cx.waker());
        loop {
            self.state.collect(cx);
            self.state.receive(cx);
            self.state.send(cx);
            // Also sends what was queued.
            let more = match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.state.take(request, respond, cx);
                    self.state.exchanges.len() < BATCH
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => false,
            };
            if more {
                continue;
            }
            if self.state.serve() {
                continue;
            }
            break;
        }
        self.state.setup.entry.set_busy(self.state.is_busy());
        self.poll_end(cx)
    }

    /// Whether time is up.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let state = &mut self.state;
            let now = Instant::now();
            if state.ending.is_none() {
                let closing = state.setup.entry.signal.grace();
                let limited =
                    state.setup.timeouts.max_queries.is_some_and(|most| state.queries >= most);
                let idle = !state.is_busy() && now >= state.active + state.setup.timeouts.idle;
                if let Some(grace) = closing.or_else(|| (limited || idle).then_some(LINGER)) {
                    // "... a server that is attempting to gracefully shut down a connection" (RFC 9113 section 6.8)
                    state.ending = Some(now + grace);
                    self.connection.graceful_shutdown();
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            let deadline = self.state.deadline();
            if deadline <= now {
                if self.state.ending.is_none() {
                    self.state.setup.worker.counters.tcp_timed_out.add(1);
                }
                return Poll::Ready(());
            }
            // The timer may expire early, never late: in the steady state it is not touched.
            if deadline < self.timer.deadline() {
                self.timer.as_mut().reset(deadline);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer.as_mut().reset(deadline);
        }
    }
}

impl State {
    fn is_busy(&self) -> bool {
        !self.tasks.is_empty() || !self.bodies.is_empty() || !self.unsent.is_empty()
    }

    /// When the connection ends unless something happens before.
    fn deadline(&self) -> Instant {
        let timeouts = &self.setup.timeouts;
        let bodies = self.bodies.iter().map(|body| body.since + timeouts.read);
        let unsent = self.unsent.iter().map(|unsent| unsent.since + timeouts.write);
        let stuck = self.blocked.deadline(timeouts.write);
        let all = bodies.chain(unsent).chain(stuck).chain(self.ending);
        let idle = match self.is_busy() {
            false => self.active + timeouts.idle,
            // Looked at again whenever something happens.
            true => Instant::now() + Duration::from_secs(3600),
        };
        all.fold(idle, Instant::min)
    }

    /// Takes up a request.
    fn take(&mut self, request: Request<RecvStream>, mut respond: Respond, cx: &mut Context<'_>) {
        self.active = Instant::now();
        let (head, stream) = request.into_parts();
        let settings = &self.http.settings;
        let mut peer = self.setup.peer;
        if let Some(client) = request::forwarded(&head.headers, peer.ip(), settings) {
            peer = canonical(std::net::SocketAddr::new(client, 0));
        }
        match request::read(&head.method, &head.uri, &head.headers, settings) {
            Ok(Asked::Message(message)) => self.ask(&message, peer, respond),
            Ok(Asked::Body) => {
                let since = self.active;
                let body = Body { stream, respond, peer, bytes: Vec::new(), since };
                // It is often there already.
                let rest = self.receive_one(body, cx);
                self.bodies.extend(rest);
            }
            Err(status) => self.refuse(status, &mut respond),
        }
    }

    /// Adds a query to the batch.
    fn ask(&mut self, message: &[u8], peer: std::net::SocketAddr, respond: Respond) {
        let mut exchange = pool::take();
        let query = &mut exchange.query;
        query.buffer_mut().clear();
        query.buffer_mut().extend_from_slice(message);
        self.setup.fill(query, peer, clock::now());
        self.queries = self.queries.saturating_add(1);
        self.exchanges.push(exchange);
        self.ready.push(respond);
    }

    /// Has the batch served; whether there was one.
    fn serve(&mut self) -> bool {
        if self.exchanges.is_empty() {
            return false;
        }
        let worker = Arc::clone(&self.setup.worker);
        worker.counters.tcp_received.add(self.exchanges.len() as u64);
        self.setup.entry.touch(clock::now());
        handler::serve(&*self.setup.handler, &worker, &mut self.exchanges);
        let exchanges = std::mem::take(&mut self.exchanges);
        let ready = std::mem::take(&mut self.ready);
        for (mut exchange, respond) in exchanges.into_iter().zip(ready) {
            if let Some(pending) = exchange.take_pending() {
                if let Some(permit) = Permit::take(&worker) {
                    if let Some(finished) =
                        self.tasks.spawn(permit, respond, pending.resume(exchange))
                    {
                        self.finish(finished);
                    }
                    continue;
                }
                handler::refuse(pending, &worker, &mut exchange);
            }
            self.answer(exchange, respond);
        }
        true
    }

    /// Collects answers of exchanges that waited.
    fn collect(&mut self, cx: &Context<'_>) {
        if self.tasks.is_empty() {
            return;
        }
        self.tasks.begin_turn(cx);
        while let Some(finished) = self.tasks.next_finished() {
            self.finish(finished);
        }
    }

    fn finish(
        &mut self,
        Finished { tag: mut respond, permit: _permit, result }: Finished<Respond>,
    ) {
        self.active = Instant::now();
        match result {
            Ok(exchange) => self.answer(exchange, respond),
            Err(_) => {
                self.setup.worker.counters.panics.add(1);
                self.refuse(StatusCode::INTERNAL_SERVER_ERROR, &mut respond);
            }
        }
    }

    fn answer(&mut self, exchange: Box<Exchange>, mut respond: Respond) {
        if !exchange.outcome.is_send() {
            self.refuse(StatusCode::INTERNAL_SERVER_ERROR, &mut respond);
            pool::give(exchange);
            return;
        }
        let reply = Bytes::copy_from_slice(exchange.reply.bytes());
        pool::give(exchange);
        // A stream that the client has reset takes nothing any more.
        let Ok(mut stream) = respond.send_response(request::success(&reply), false) else { return };
        self.setup.worker.counters.tcp_sent.add(1);
        self.count(StatusCode::OK);
        if reply.len() > SMALL {
            if self.unsent_octets + reply.len() > MAX_BLOCKED {
                stream.send_reset(Reason::ENHANCE_YOUR_CALM);
                self.setup.worker.sessions.calmed.add(1);
                return;
            }
            stream.reserve_capacity(reply.len());
            self.unsent_octets += reply.len();
            self.unsent.push(Unsent { stream, reply, since: Instant::now() });
            return;
        }
        let _ = stream.send_data(reply, true);
    }

    fn refuse(&self, status: StatusCode, respond: &mut Respond) {
        self.count(status);
        let _ = respond.send_response(request::refusal(status), true);
    }

    fn count(&self, status: StatusCode) {
        self.setup.handler.answered(status.as_u16(), self.setup.worker.index);
    }

    /// Receives bodies.
    fn receive(&mut self, cx: &mut Context<'_>) {
        for body in std::mem::take(&mut self.bodies) {
            if let Some(body) = self.receive_one(body, cx) {
                self.bodies.push(body);
            }
        }
    }

    /// Receives what there is of a body; returns it if it is incomplete.
    fn receive_one(&mut self, mut body: Body, cx: &mut Context<'_>) -> Option<Body> {
        loop {
            match body.stream.poll_data(cx) {
                Poll::Pending => return Some(body),
                Poll::Ready(Some(Ok(part))) => {
                    let _ = body.stream.flow_control().release_capacity(part.len());
                    if body.bytes.len() + part.len() > MAX_MESSAGE {
                        self.refuse(StatusCode::PAYLOAD_TOO_LARGE, &mut body.respond);
                        return None;
                    }
                    body.bytes.extend_from_slice(&part);
                }
                Poll::Ready(None) => {
                    match request::checked(body.bytes) {
                        Ok(message) => self.ask(&message, body.peer, body.respond),
                        Err(status) => self.refuse(status, &mut body.respond),
                    }
                    return None;
                }
                // The client has reset it.
                Poll::Ready(Some(Err(_))) => return None,
            }
        }
    }

    /// Sends as much of long replies as there is room for now.
    fn send(&mut self, cx: &mut Context<'_>) {
        if self.unsent.is_empty() {
            return;
        }
        let mut octets = 0;
        self.unsent.retain_mut(|Unsent { stream, reply, since }| {
            loop {
                let room = stream.capacity().min(reply.len());
                if room > 0 {
                    let part = reply.split_to(room);
                    *since = Instant::now();
                    if stream.send_data(part, reply.is_empty()).is_err() || reply.is_empty() {
                        return false;
                    }
                }
                match stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_)) | None) => return false,
                    Poll::Pending => {
                        octets += reply.len();
                        return true;
                    }
                }
            }
        });
        self.unsent_octets = octets;
    }
}
