//! UDP: receives a batch, has it answered in one call, and sends the replies in one system call.

mod replies;

use std::future::poll_fn;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sys::{BATCH, Sent};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::clock;
use crate::listen::bind::is_wildcard;
use crate::listen::handler::{self, Handler, Permit};
use crate::listen::pool;
use crate::listen::tasks::{Finished, Tasks};
use crate::workers::Counters;
use crate::workers::Signal;
use crate::workers::Worker;
use crate::writable::writable;

use replies::{Batch, DeferredReplies, Replies};

/// The time to wait for a full send buffer before replies are dropped.
const PATIENCE: Duration = Duration::from_millis(50);
/// After a batch of this size, the next receive does not ask the runtime first: at such a rate more
/// queries have arrived by then.
const BUSY: usize = BATCH / 8;
/// Pause after an unexpected error of the socket, which may repeat.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// Entries for waiting queries that are reused when none waits.
const KEPT_TASKS: usize = 1024;
/// The discard port. A closing socket is connected to it, so that it gets no more queries.
const DISCARD: u16 = 9;

/// One UDP socket on its worker.
pub(crate) struct Socket {
    fd: AsyncFd<UdpSocket>,
    local: SocketAddr,
    worker: Arc<Worker>,
    handler: Arc<dyn Handler>,
    signal: Arc<Signal>,
    batch: Batch,
    deferred: DeferredReplies,
    /// Exchanges that wait.
    tasks: Tasks<()>,
    /// The task has yielded since the last batch.
    yielded: bool,
}

enum Event {
    Received,
    Deferred,
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
            // Not for writing: each datagram that leaves would wake the task.
            fd: sys::register(socket, Interest::READABLE)?,
            local,
            worker,
            handler,
            signal,
            batch: Batch::new(wildcard),
            deferred: DeferredReplies::new(wildcard, local.is_ipv6()),
            tasks: Tasks::new(KEPT_TASKS),
            yielded: false,
        })
    }

    /// Answers queries until the signal is raised, then finishes.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| {
            self.signal.subscribe(cx.waker());
            Poll::Ready(())
        })
        .await;
        loop {
            match poll_fn(|cx| self.poll_event(cx)).await {
                Event::Received => self.answer().await,
                Event::Deferred => self.send_deferred().await,
                Event::Failed => tokio::time::sleep(ERROR_PAUSE).await,
                Event::Close(grace) => return self.finish(grace).await,
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(grace) = self.signal.grace() {
            return Poll::Ready(Event::Close(grace));
        }
        if self.poll_tasks(cx) {
            return Poll::Ready(Event::Deferred);
        }
        // Between two batches other tasks of this worker have their turn. A wake of this task does that
        // without a system call; the runtime polls its sockets every few turns.
        if !mem::replace(&mut self.yielded, true) {
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
                    self.yielded = received < BUSY;
                    return Poll::Ready(Event::Received);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Poll::Ready(Event::Failed),
            }
        }
    }

    /// Continues exchanges that need not wait any longer; whether there are replies to send.
    fn poll_tasks(&mut self, cx: &Context<'_>) -> bool {
        // Twice: tasks that yielded to the others of their batch continue at once.
        for _ in 0..2 {
            if self.tasks.is_empty() {
                break;
            }
            self.tasks.begin_turn(cx);
            while !self.deferred.is_full()
                && let Some(finished) = self.tasks.next_finished()
            {
                finish(finished, &mut self.deferred, &self.worker.counters);
            }
        }
        !self.deferred.is_empty()
    }

    /// Answers the batch just received.
    async fn answer(&mut self) {
        let queries = self.batch.queries(self.local, self.worker.index, clock::now());
        self.worker.counters.udp_received.add(queries.len() as u64);
        self.worker.counters.udp_batches.add(1);
        if handler::serve(&*self.handler, &self.worker, queries) {
            for exchange in queries {
                let Some(pending) = exchange.take_pending() else { continue };
                let Some(permit) = Permit::take(&self.worker) else {
                    handler::refuse(pending, &self.worker, exchange);
                    continue;
                };
                let mut waits = mem::replace(exchange, pool::take());
                waits.query.leave_buffer_to(&mut exchange.query);
                if let Some(finished) = self.tasks.spawn(permit, (), pending.resume(waits)) {
                    finish(finished, &mut self.deferred, &self.worker.counters);
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

    /// Accepts no more queries, answers those in the socket, and finishes those that wait.
    async fn finish(mut self, grace: Duration) {
        // A connected socket gets datagrams from its peer only. All others go to the other sockets of the
        // port. If this fails, datagrams between the last read and closing are lost.
        let _ = self.fd.get_ref().connect(discard(self.local));
        loop {
            match self.batch.receive(self.fd.get_ref().as_fd()) {
                Ok(0) => break,
                Ok(_) => self.answer().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error; reading clears it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let end = Instant::now() + grace;
        while !self.tasks.is_empty() {
            let late = tokio::time::timeout_at(
                end,
                poll_fn(|cx| {
                    let some = self.poll_tasks(cx);
                    if some || self.tasks.is_empty() { Poll::Ready(some) } else { Poll::Pending }
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

/// Adds the reply of an exchange that waited.
fn finish(finished: Finished<()>, deferred: &mut DeferredReplies, counters: &Counters) {
    match finished.result {
        Ok(exchange) => deferred.push(exchange),
        Err(_) => counters.panics.add(1),
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

/// An address that a socket bound to `local` can connect to and that sends no queries.
fn discard(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let mut addr = local;
    addr.set_ip(ip);
    addr.set_port(DISCARD);
    addr
}
