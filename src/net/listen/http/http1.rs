//! HTTP/1.1, by hyper.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use exchange::Exchange;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::blocked::{Blocked, Watched};
use super::request::{self, Asked, MAX_MESSAGE};
use crate::clock;
use crate::listen::handler::{self, Permit};
use crate::listen::http_settings::Http;
use crate::listen::pool;
use crate::listen::setup::{Setup, canonical};

/// Octets of the head of a request; it may have a message as long as DNS permits.
const MAX_HEAD: usize = 128 << 10;
/// Lines of a head.
const MAX_LINES: usize = 64;
/// How often a client is looked at that may not read.
const LOOK: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(super) async fn serve<S>(
    stream: Watched<S>,
    blocked: Arc<Blocked>,
    setup: Setup,
    http: Arc<Http>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let setup = Arc::new(setup);
    let (of, settings) = (Arc::clone(&setup), Arc::clone(&http));
    let service = service_fn(move |request| {
        let (setup, http) = (Arc::clone(&of), Arc::clone(&settings));
        async move { Ok::<_, std::convert::Infallible>(respond(&setup, &http, request).await) }
    });
    let connection = Builder::new()
        .timer(TokioTimer::new())
        // Also between two requests.
        .header_read_timeout(setup.timeouts.idle.max(setup.timeouts.read))
        .max_headers(MAX_LINES)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut timer = Box::pin(tokio::time::sleep(LOOK));
    let mut ending = None;
    poll_fn(|cx| {
        setup.entry.set_waker(cx.waker());
        if ending.is_none()
            && let Some(grace) = setup.entry.signal.grace()
        {
            ending = Some(Instant::now() + grace);
            connection.as_mut().graceful_shutdown();
        }
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        poll_timer(&mut timer, &blocked, &setup, ending, cx)
    })
    .await;
}

/// Ready when the client does not read, or the listener has closed.
fn poll_timer(
    timer: &mut Pin<Box<Sleep>>,
    blocked: &Blocked,
    setup: &Setup,
    ending: Option<Instant>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    while timer.as_mut().poll(cx).is_ready() {
        let now = Instant::now();
        let stuck = blocked.deadline(setup.timeouts.write).is_some_and(|end| end <= now);
        if stuck {
            setup.worker.counters.tcp_timed_out.add(1);
        }
        if stuck || ending.is_some_and(|end| end <= now) {
            return Poll::Ready(());
        }
        timer.as_mut().reset(now + LOOK);
    }
    Poll::Pending
}

async fn respond(setup: &Setup, http: &Http, request: Request<Incoming>) -> Response<Full<Bytes>> {
    setup.entry.set_busy(true);
    let answered = answer(setup, http, request).await;
    setup.entry.set_busy(false);
    let (head, body) = match answered {
        Ok(reply) => (request::success(&reply), reply),
        Err(status) => (request::refusal(status), Bytes::new()),
    };
    setup.handler.answered(head.status().as_u16(), setup.worker.index);
    head.map(|()| Full::new(body))
}

/// The reply, or the status of the refusal.
async fn answer(
    setup: &Setup,
    http: &Http,
    request: Request<Incoming>,
) -> Result<Bytes, StatusCode> {
    let (head, body) = request.into_parts();
    let mut peer = setup.peer;
    if let Some(client) = request::forwarded(&head.headers, peer.ip(), &http.settings) {
        peer = canonical(std::net::SocketAddr::new(client, 0));
    }
    let message = match request::read(&head.method, &head.uri, &head.headers, &http.settings)? {
        Asked::Message(message) => message,
        Asked::Body => {
            let body = Limited::new(body, MAX_MESSAGE).collect();
            match tokio::time::timeout(setup.timeouts.read, body).await {
                Ok(Ok(body)) => request::checked(body.to_bytes().to_vec())?,
                Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                    return Err(StatusCode::PAYLOAD_TOO_LARGE);
                }
                Ok(Err(_)) => return Err(StatusCode::BAD_REQUEST),
                Err(_) => return Err(StatusCode::REQUEST_TIMEOUT),
            }
        }
    };
    let exchange =
        exchange(setup, &message, peer).await.ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    let reply = exchange.outcome.is_send().then(|| Bytes::copy_from_slice(exchange.reply.bytes()));
    pool::give(exchange);
    let reply = reply.ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    setup.worker.counters.tcp_sent.add(1);
    Ok(reply)
}

/// Has one query answered; nothing if the handler panicked while it waited.
async fn exchange(
    setup: &Setup,
    message: &[u8],
    peer: std::net::SocketAddr,
) -> Option<Box<Exchange>> {
    let worker = &setup.worker;
    let mut exchange = pool::take();
    let query = &mut exchange.query;
    query.buffer_mut().clear();
    query.buffer_mut().extend_from_slice(message);
    let now = clock::now();
    setup.fill(query, peer, now);
    setup.entry.touch(now);
    worker.counters.tcp_received.add(1);
    let mut batch = [exchange];
    handler::serve(&*setup.handler, worker, &mut batch);
    let [mut exchange] = batch;
    let Some(pending) = exchange.take_pending() else { return Some(exchange) };
    let Some(permit) = Permit::take(worker) else {
        handler::refuse(pending, worker, &mut exchange);
        return Some(exchange);
    };
    let mut rest = pending.resume(exchange);
    let finished = poll_fn(|cx| {
        let polled = std::panic::AssertUnwindSafe(|| rest.as_mut().poll(cx));
        match std::panic::catch_unwind(polled) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await;
    drop(permit);
    if finished.is_none() {
        worker.counters.panics.add(1);
    }
    finished
}
