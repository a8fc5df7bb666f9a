//! UDP: receive a batch, answer it in one call, send the replies in one call.

mod replies;
mod waiting;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sys::{BATCH, Sent};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::handler::{self, Handler, Permit};
use crate::signal::Signal;
use crate::stats::Counters;
use crate::workers::{Worker, is_wildcard};
use crate::{clock, pool};

use replies::{Batch, DeferredReplies, Replies};
use waiting::{Done, Waiting};

/// How long a full send buffer is waited for before replies are dropped.
const PATIENCE: Duration = Duration::from_millis(50);
/// A batch of at least this many is followed by another look at the queue, without asking the
/// runtime: while so many arrive, more have arrived by the time they are answered.
const BUSY: usize = BATCH / 8;
/// Pause after an error that receiving cannot explain, lest it repeats at full speed.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// The discard port: where a closing socket is connected to, so that it gets no more queries.
const NOWHERE: u16 = 9;

/// One UDP socket on its worker.
pub(crate) struct Socket {
    fd: AsyncFd<UdpSocket>,
    local: SocketAddr,
    worker: Arc<Worker>,
    handler: Arc<dyn Handler>,
    signal: Arc<Signal>,
    batch: Batch,
    deferred: DeferredReplies,
    waiting: Waiting,
    /// A turn was taken: others go first.
    gave_way: bool,
}

enum Event {
    Received,
    Late,
    Failed,
    Close(Duration),
}

impl Socket {
    /// Registers the socket with the runtime of the current context.
    pub(crate) fn new(
        socket: UdpSocket,
        local: SocketAddr,
        worker: Arc<Worker>,
        handler: Arc<dyn Handler>,
        signal: Arc<Signal>,
    ) -> io::Result<Self> {
        let wildcard = is_wildcard(local);
        Ok(Self {
            // Not for writing: each datagram that leaves would wake us.
            fd: sys::register(socket, Interest::READABLE)?,
            local,
            worker,
            handler,
            signal,
            batch: Batch::new(wildcard),
            deferred: DeferredReplies::new(wildcard, local.is_ipv6()),
            waiting: Waiting::default(),
            gave_way: false,
        })
    }

    /// Answers until the signal is raised, then finishes.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| {
            self.signal.subscribe(cx.waker());
            Poll::Ready(())
        })
        .await;
        loop {
            match poll_fn(|cx| self.poll_event(cx)).await {
                Event::Received => self.answer().await,
                Event::Late => self.send_deferred().await,
                Event::Failed => tokio::time::sleep(ERROR_PAUSE).await,
                Event::Close(grace) => return self.finish(grace).await,
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(grace) = self.signal.grace() {
            return Poll::Ready(Event::Close(grace));
        }
        if self.poll_late(cx) {
            return Poll::Ready(Event::Late);
        }
        // Between two batches other tasks of this worker have their turn. Waking ourselves does
        // that without a system call; the runtime looks at its sockets every few turns.
        if !std::mem::replace(&mut self.gave_way, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let mut ready = match self.fd.poll_read_ready(cx) {
                Poll::Ready(Ok(ready)) => ready,
                Poll::Ready(Err(_)) => return Poll::Ready(Event::Failed),
                Poll::Pending => return Poll::Pending,
            };
            match self.batch.receive(self.fd.get_ref().as_fd()) {
                Ok(received) => {
                    // A short batch emptied the queue.
                    if !self.batch.is_full() && received < BUSY {
                        ready.clear_ready();
                    }
                    self.gave_way = received < BUSY;
                    return Poll::Ready(Event::Received);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Poll::Ready(Event::Failed),
            }
        }
    }

    /// Goes on with queries that need wait no longer; whether there are replies to send.
    fn poll_late(&mut self, cx: &Context<'_>) -> bool {
        // Twice: those who stepped aside for the others of their batch go on at once.
        for _ in 0..2 {
            if self.waiting.is_empty() {
                break;
            }
            self.waiting.look(cx);
            while !self.deferred.is_full()
                && let Some(done) = self.waiting.next()
            {
                self.finished(done);
            }
        }
        !self.deferred.is_empty()
    }

    fn finished(&mut self, done: Done) {
        match done {
            Ok(slot) => self.deferred.push(slot),
            Err(_) => self.worker.counters.panics.add(1),
        }
    }

    /// Answers the batch just received.
    async fn answer(&mut self) {
        let queries = self.batch.queries(self.local, self.worker.index, clock::now());
        self.worker.counters.udp_received.add(queries.len() as u64);
        self.worker.counters.udp_batches.add(1);
        if handler::serve(&*self.handler, &self.worker, queries) {
            for slot in queries {
                let Some(pending) = slot.take_pending() else { continue };
                match Permit::take(&self.worker) {
                    Some(permit) => {
                        let mut waits = std::mem::replace(slot, pool::take());
                        waits.query.leave_buffer_to(&mut slot.query);
                        let rest = pending.resume(waits);
                        match self.waiting.enter(permit, rest) {
                            Some(Ok(slot)) => self.deferred.push(slot),
                            Some(Err(_)) => self.worker.counters.panics.add(1),
                            None => {}
                        }
                    }
                    None => handler::refuse(pending, &self.worker, slot),
                }
            }
        }
        send(self.fd.get_ref(), &mut self.batch, &self.worker.counters).await;
    }

    /// Sends the replies to queries that waited.
    async fn send_deferred(&mut self) {
        send(self.fd.get_ref(), &mut self.deferred, &self.worker.counters).await;
        self.deferred.clear();
    }

    /// Lets no more queries in, answers those that are in, waits for those that wait.
    async fn finish(mut self, grace: Duration) {
        // A connected socket gets datagrams from its peer only: all others go to whoever shares
        // the port now. Where this fails, what comes between the last read and closing is lost.
        let _ = self.fd.get_ref().connect(nowhere(self.local));
        loop {
            match self.batch.receive(self.fd.get_ref().as_fd()) {
                Ok(0) => break,
                Ok(_) => self.answer().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The error of connecting, or of a reply that nobody wanted; reading clears it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let end = Instant::now() + grace;
        while !self.waiting.is_empty() {
            let late = tokio::time::timeout_at(
                end,
                poll_fn(|cx| {
                    let some = self.poll_late(cx);
                    if some || self.waiting.is_empty() { Poll::Ready(some) } else { Poll::Pending }
                }),
            );
            match late.await {
                Ok(true) => self.send_deferred().await,
                Ok(false) => {}
                Err(_) => break,
            }
        }
    }
}

/// Sends replies, and waits up to [`PATIENCE`] for a full send buffer.
async fn send(socket: &UdpSocket, replies: &mut impl Replies, counters: &Counters) {
    let Sent { mut sent, mut dropped, mut blocked } = replies.send(socket.as_fd(), 0);
    if blocked {
        let end = Instant::now() + PATIENCE;
        while blocked && writable(socket, end).await {
            counters.send_blocked.add(1);
            let more = replies.send(socket.as_fd(), sent + dropped);
            sent += more.sent;
            dropped += more.dropped;
            blocked = more.blocked;
        }
        dropped = replies.count() - sent;
    }
    if sent > 0 {
        counters.udp_sent.add(sent as u64);
    }
    if dropped > 0 {
        counters.send_dropped.add(dropped as u64);
    }
}

/// Waits until the socket takes more; `false` when it does not by `end`.
pub(crate) async fn writable(socket: &UdpSocket, end: Instant) -> bool {
    let Ok(copy) = socket.try_clone() else {
        return false;
    };
    let Ok(copy) = sys::register(copy, Interest::WRITABLE) else {
        return false;
    };
    matches!(tokio::time::timeout_at(end, copy.writable()).await, Ok(Ok(_)))
}

/// An address that a socket bound to `local` can be connected to and that asks nothing.
fn nowhere(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let mut addr = local;
    addr.set_ip(ip);
    addr.set_port(NOWHERE);
    addr
}
