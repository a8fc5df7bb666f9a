//! One connection: whole messages in, in batches; answers out in whatever order they are ready, as
//! many as there are in one write (RFC 7766).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use exchange::Exchange;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use wire::{HEADER, Transport};

use super::registry::Entry;
use crate::clock;
use crate::handler::{self, Handler, Permit};
use crate::listener::TcpTimeouts;
use crate::pool::{self, Slots};
use crate::workers::Worker;

/// Queries per call of the handler.
const BATCH: usize = 64;
/// Bytes per read.
const READ: usize = 64 << 10;
/// Answers beyond this are written before more queries are taken up.
const ENOUGH: usize = 64 << 10;
/// Buffers that grew beyond this are not kept.
const KEPT: usize = 256 << 10;
/// Reads in a row before other tasks have their turn.
const TURN: usize = 4;
/// When the listener closes, how long the rest of a message is waited for whose beginning came.
const REST: Duration = Duration::from_millis(200);
/// How long a client may take to close its side after we closed ours.
const LINGER: Duration = Duration::from_millis(500);

/// Memory that the connections of a worker use in turn.
#[derive(Default)]
struct Scratch {
    read: Vec<u8>,
    output: Vec<u8>,
    batch: Slots,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What carries a connection.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Unpin {
    /// Reads what the system has, whatever the runtime knows of it: it hears of new octets when it
    /// asks next, and what came before our FIN is to be answered.
    fn read_now(&self, into: &mut [u8]) -> io::Result<usize>;
}

impl Carrier for TcpStream {
    fn read_now(&self, into: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(self)).read(into)
    }
}

/// One connection.
pub(super) struct Connection<S> {
    // Closed before the desk says that it is.
    stream: S,
    timer: Pin<Box<Sleep>>,
    timer_at: Instant,
    desk: Desk,
}

/// All of a connection but its stream.
struct Desk {
    peer: SocketAddr,
    local: SocketAddr,
    transport: Transport,
    timeouts: TcpTimeouts,
    worker: Arc<Worker>,
    handler: Arc<dyn Handler>,
    entry: Arc<Entry>,
    /// What was read and is not taken up: part of a message, or messages there is no room for.
    input: Vec<u8>,
    /// What is to be written, from `written` on.
    output: Vec<u8>,
    written: usize,
    waiting: JoinSet<Box<Exchange>>,
    queries: u32,
    /// No more is read: the client said so, or we do.
    done_reading: bool,
    /// Since when: the last whole message, part of a message, a write that does not go on.
    active: Instant,
    partial: Option<Instant>,
    blocked: Option<Instant>,
    /// The end of the grace, once closing.
    closing: Option<Instant>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.worker.connections.remove(&self.entry);
    }
}

impl<S: Carrier> Connection<S> {
    pub(super) fn new(
        stream: S,
        [peer, local]: [SocketAddr; 2],
        transport: Transport,
        timeouts: TcpTimeouts,
        worker: Arc<Worker>,
        handler: Arc<dyn Handler>,
        entry: Arc<Entry>,
    ) -> Self {
        let now = Instant::now();
        let timer_at = now + timeouts.read;
        let desk = Desk {
            peer,
            local,
            transport,
            timeouts,
            worker,
            handler,
            entry,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            waiting: JoinSet::new(),
            queries: 0,
            done_reading: false,
            active: now,
            partial: None,
            blocked: None,
            closing: None,
        };
        Self { stream, timer: Box::pin(tokio::time::sleep_until(timer_at)), timer_at, desk }
    }

    /// Serves the connection until it ends.
    pub(super) async fn run(mut self) {
        let orderly = poll_fn(|cx| self.poll(cx)).await;
        if orderly {
            let end = Instant::now() + LINGER;
            // The client hears that this is the end; if not, it finds out.
            let _ = tokio::time::timeout_at(end, poll_fn(|cx| self.poll_end(cx))).await;
        }
    }

    /// Closes our side, then drops what still comes until the client closes its own: a socket that is
    /// closed with octets unread resets the connection, and answers on their way are lost with it.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        let mut dropped = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut dropped);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Goes on as far as it can; ready when the connection is at its end: `true` in good order.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.desk.entry.set_waker(cx.waker());
        if self.desk.closing.is_none()
            && let Some(grace) = self.desk.entry.signal.grace()
        {
            self.desk.closing = Some(Instant::now() + grace);
        }
        self.desk.borrow_output();
        let result = self.poll_messages(cx);
        self.desk.return_output();
        if result.is_ready() {
            return result;
        }
        self.desk.entry.set_busy(self.desk.is_busy());
        self.poll_timer(cx)
    }

    fn poll_messages(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut reads = 0;
        loop {
            let more = self.desk.collect(cx);
            let took = self.desk.take_up_rest();
            if !self.poll_write(cx) {
                return Poll::Ready(false);
            }
            if self.desk.is_blocked() {
                return Poll::Pending;
            }
            // A task just spawned wakes this one only once it was looked at.
            if more || took || self.desk.has_message_and_room() {
                continue;
            }
            if self.desk.done_reading {
                let over = self.desk.waiting.is_empty();
                return if over { Poll::Ready(true) } else { Poll::Pending };
            }
            if self.desk.is_full() {
                return Poll::Pending;
            }
            if reads == TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            match self.poll_read(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(false),
                // Closing: whatever comes before the last answer is written is answered, too. Then
                // our FIN follows at once.
                Poll::Pending if self.desk.closing.is_some() => match self.read_now() {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Poll::Ready(false),
                    Poll::Pending if self.desk.is_busy() || self.desk.partial.is_some() => {
                        return Poll::Pending;
                    }
                    Poll::Pending => return Poll::Ready(true),
                },
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Reads what is there and answers what can be; `false` when the connection broke.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let stream = &mut self.stream;
        self.desk.take_in(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            let read = Pin::new(stream).poll_read(cx, &mut buffer);
            read.map_ok(|()| buffer.filled().len())
        })
    }

    /// The same without the runtime; pending when there is nothing.
    fn read_now(&mut self) -> Poll<bool> {
        let stream = &self.stream;
        self.desk.take_in(|scratch| match stream.read_now(scratch) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            read => Poll::Ready(read),
        })
    }

    /// Writes what is there; `false` when the connection broke.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let desk = &mut self.desk;
        while desk.written < desk.output.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &desk.output[desk.written..]) {
                Poll::Ready(Ok(0) | Err(_)) => return false,
                Poll::Ready(Ok(written)) => {
                    desk.written += written;
                    desk.blocked = None;
                }
                Poll::Pending => {
                    desk.blocked.get_or_insert_with(Instant::now);
                    return true;
                }
            }
        }
        desk.output.clear();
        desk.written = 0;
        desk.blocked = None;
        true
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            // The timer may ring early, never late: in the steady state it is not touched.
            let deadline = self.desk.deadline();
            if let Some(deadline) = deadline
                && deadline < self.timer_at
            {
                self.timer_at = deadline;
                self.timer.as_mut().reset(deadline);
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            match deadline {
                Some(deadline) if deadline <= now => {
                    // A query that came this moment.
                    if self.desk.is_idle() && self.read_now() == Poll::Ready(true) {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    if self.desk.closing.is_none() {
                        self.desk.worker.counters.tcp_timed_out.add(1);
                    }
                    return Poll::Ready(!self.desk.is_blocked());
                }
                Some(deadline) => self.timer_at = deadline,
                None => self.timer_at = now + Duration::from_secs(1),
            }
            self.timer.as_mut().reset(self.timer_at);
        }
    }
}

impl Desk {
    fn is_blocked(&self) -> bool {
        self.written < self.output.len()
    }

    fn is_busy(&self) -> bool {
        self.is_blocked() || !self.waiting.is_empty()
    }

    /// Whether nothing is asked and nothing is to be written.
    fn is_idle(&self) -> bool {
        !self.is_busy() && !self.done_reading && self.partial.is_none() && self.closing.is_none()
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= self.worker.limits.tcp_pipeline
    }

    fn has_message_and_room(&self) -> bool {
        !self.done_reading && !self.is_full() && whole(&self.input).is_some()
    }

    fn deadline(&self) -> Option<Instant> {
        let own = if let Some(blocked) = self.blocked {
            Some(blocked + self.timeouts.write)
        } else if self.done_reading || self.is_full() {
            None
        } else if let Some(partial) = self.partial {
            let rest = if self.closing.is_some() { REST } else { self.timeouts.read };
            Some(partial + rest.min(self.timeouts.read))
        } else if !self.waiting.is_empty() {
            None
        } else if self.queries == 0 {
            Some(self.active + self.timeouts.read)
        } else {
            Some(self.active + self.timeouts.idle)
        };
        match (own, self.closing) {
            (Some(own), Some(closing)) => Some(own.min(closing)),
            (own, closing) => own.or(closing),
        }
    }

    /// Takes the worker's output buffer unless this connection has one of its own.
    fn borrow_output(&mut self) {
        if self.output.capacity() == 0 {
            self.output = SCRATCH.with_borrow_mut(|scratch| std::mem::take(&mut scratch.output));
        }
    }

    /// Gives it back when all is written.
    fn return_output(&mut self) {
        if self.output.is_empty() {
            let output = std::mem::take(&mut self.output);
            if output.capacity() <= KEPT {
                SCRATCH.with_borrow_mut(|scratch| scratch.output = output);
            }
        }
    }

    /// Collects answers that had to be waited for; whether there may be more of them that find no
    /// room now.
    fn collect(&mut self, cx: &mut Context<'_>) -> bool {
        while !self.waiting.is_empty() {
            if self.output.len() > ENOUGH {
                return true;
            }
            match self.waiting.poll_join_next(cx) {
                Poll::Ready(Some(Ok(slot))) => {
                    self.answer(slot);
                    self.active = Instant::now();
                }
                Poll::Ready(Some(Err(error))) => {
                    self.worker.counters.panics.add(u64::from(error.is_panic()));
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        false
    }

    /// Lets `read` fill the worker's buffer and answers what can be of that; `false` when the
    /// connection broke.
    fn take_in(&mut self, read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>) -> Poll<bool> {
        let mut scratch = SCRATCH.with_borrow_mut(|scratch| std::mem::take(&mut scratch.read));
        scratch.resize(READ, 0);
        let result = read(&mut scratch).map(|read| match read {
            Err(_) => false,
            Ok(0) => {
                // Half a message will not become a whole one.
                self.done_reading = true;
                self.partial = None;
                true
            }
            Ok(len) => {
                self.read(&scratch[..len]);
                true
            }
        });
        SCRATCH.with_borrow_mut(|shared| shared.read = scratch);
        result
    }

    /// Takes bytes just read: answers whole messages, keeps the rest.
    fn read(&mut self, bytes: &[u8]) {
        let progress = if self.input.is_empty() {
            let taken = self.take_up(bytes);
            if !self.done_reading {
                self.input.extend_from_slice(&bytes[taken..]);
            }
            taken > 0
        } else {
            self.input.extend_from_slice(bytes);
            self.take_up_rest()
        };
        self.note_partial(progress);
    }

    /// Starts or stops the clock of a message that is not whole.
    fn note_partial(&mut self, progress: bool) {
        if self.input.is_empty() || self.done_reading || whole(&self.input).is_some() {
            self.partial = None;
        } else if progress || self.partial.is_none() {
            self.partial = Some(Instant::now());
        }
    }

    /// Takes up messages that were read earlier; whether there were any.
    fn take_up_rest(&mut self) -> bool {
        if self.input.is_empty() || self.done_reading {
            return false;
        }
        let mut input = std::mem::take(&mut self.input);
        let taken = self.take_up(&input);
        if taken == input.len() || self.done_reading {
            input = Vec::new();
        } else if taken > 0 {
            input.drain(..taken);
        }
        self.input = input;
        if taken > 0 {
            self.note_partial(true);
        }
        taken > 0
    }

    /// Answers the whole messages at the start of `bytes`, as far as there is room; how many bytes
    /// that were.
    fn take_up(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        let mut batch = SCRATCH.with_borrow_mut(|scratch| std::mem::take(&mut scratch.batch));
        while !self.done_reading && self.output.len() < ENOUGH {
            let room = self.worker.limits.tcp_pipeline.saturating_sub(self.waiting.len());
            let now = clock::now();
            while batch.len() < room.min(BATCH)
                && let Some(message) = whole(&bytes[at..])
            {
                at += 2 + message.len();
                if message.len() < HEADER {
                    // Not DNS: whatever follows is not either.
                    self.done_reading = true;
                    break;
                }
                let mut slot = pool::take();
                let query = &mut slot.query;
                query.buffer_mut().clear();
                query.buffer_mut().extend_from_slice(message);
                query.client.peer = self.peer;
                query.client.local = self.local;
                query.client.transport = self.transport;
                // "… a TIMEOUT value of 0", and the client closes (RFC 7828 section 3.3.2).
                let closing = self.closing.is_some();
                query.client.keepalive = if closing { 0 } else { self.timeouts.keepalive() };
                query.client.worker = self.worker.index;
                query.client.received = now;
                batch.push(slot);
                self.queries = self.queries.saturating_add(1);
                if self.timeouts.max_queries.is_some_and(|most| self.queries >= most) {
                    self.done_reading = true;
                    break;
                }
            }
            if batch.is_empty() {
                break;
            }
            self.entry.touch(now);
            self.serve(&mut batch);
        }
        if at > 0 {
            self.active = Instant::now();
        }
        SCRATCH.with_borrow_mut(|scratch| scratch.batch = batch);
        at
    }

    fn serve(&mut self, batch: &mut Slots) {
        self.worker.counters.tcp_received.add(batch.len() as u64);
        handler::serve(&*self.handler, &self.worker, batch);
        let before = self.output.len();
        let mut sent = 0;
        for mut slot in batch.drain(..) {
            if let Some(pending) = slot.take_pending() {
                match Permit::take(&self.worker) {
                    Some(permit) => {
                        self.waiting.spawn(handler::resume(permit, pending, slot));
                        continue;
                    }
                    None => handler::refuse(pending, &self.worker, &mut slot),
                }
            }
            if slot.outcome.is_send() {
                append(&mut self.output, slot.reply.bytes());
                sent += 1;
            }
            pool::give(slot);
        }
        if self.output.len() > before {
            self.worker.counters.tcp_sent.add(sent);
        }
    }

    fn answer(&mut self, slot: Box<Exchange>) {
        if slot.outcome.is_send() {
            append(&mut self.output, slot.reply.bytes());
            self.worker.counters.tcp_sent.add(1);
        }
        pool::give(slot);
    }
}

/// Appends a message with its length before it. What is longer than any message is left out.
fn append(output: &mut Vec<u8>, message: &[u8]) {
    if let Ok(len) = u16::try_from(message.len()) {
        output.extend_from_slice(&len.to_be_bytes());
        output.extend_from_slice(message);
    }
}

/// The message at the start of `bytes`, if all of it is there.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*len)))
}
