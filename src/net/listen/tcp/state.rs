//! All of a connection but its stream: messages are taken up in batches, and answers are collected in
//! whatever order they are ready (RFC 7766 section 6.2.1.1).

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use exchange::{Channel, Exchange};
use tokio::time::Instant;
use wire::HEADER;

use super::outbox::{Content, Message, Outbox, Stream};
use super::output::{ENOUGH, Output};
use super::scratch;
use crate::clock;
use crate::listen::handler::{self, Permit};
use crate::listen::pool::{self, Exchanges};
use crate::listen::setup::Setup;
use crate::listen::tasks::{Finished, Tasks};

/// Queries per call of the handler.
const BATCH: usize = 64;
/// Entries for waiting queries that an idle connection keeps.
const KEPT_TASKS: usize = 4;
/// When the listener closes, the timeout for the rest of a message that has begun.
const REST: Duration = Duration::from_millis(200);

/// The state of one connection.
pub(super) struct ConnectionState {
    pub(super) setup: Setup,
    pub(super) output: Output,
    input: Input,
    /// Exchanges that wait.
    tasks: Tasks<Arc<Stream>>,
    /// Messages of replies of several.
    outbox: Arc<Outbox>,
    /// Exchanges that are finished, but their last message is in the outbox.
    finishing: usize,
    /// The time of the last whole message or answer.
    active: Instant,
    /// The end of the grace period, once the listener closes.
    closing: Option<Instant>,
}

/// Octets that were read.
#[derive(Default)]
struct Input {
    /// Part of a message, or messages for which there is no room yet.
    bytes: Vec<u8>,
    /// Since when a message is incomplete.
    partial: Option<Instant>,
    /// Queries so far.
    queries: u32,
    /// No more is read: the client or the server ended it.
    ended: bool,
}

impl Drop for ConnectionState {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

impl ConnectionState {
    pub(super) fn new(setup: Setup, now: Instant) -> Self {
        Self {
            setup,
            output: Output::default(),
            input: Input::default(),
            tasks: Tasks::new(KEPT_TASKS),
            outbox: Arc::default(),
            finishing: 0,
            active: now,
            closing: None,
        }
    }

    /// Begins a turn: notices that the listener closes.
    pub(super) fn begin(&mut self, context: &Context<'_>) {
        self.setup.entry.set_waker(context.waker());
        if self.closing.is_none()
            && let Some(grace) = self.setup.entry.signal.grace()
        {
            self.closing = Some(Instant::now() + grace);
        }
        self.output.borrow_buffer();
    }

    /// Ends a turn.
    pub(super) fn end(&mut self) {
        self.output.return_buffer();
        self.setup.entry.set_busy(self.is_busy());
    }

    /// Whether the listener closes.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether no more is read.
    pub(super) fn has_input_ended(&self) -> bool {
        self.input.ended
    }

    /// Whether a message has begun and is incomplete.
    pub(super) fn has_partial_message(&self) -> bool {
        self.input.partial.is_some()
    }

    /// Queries without their last message in the output.
    fn waiting(&self) -> usize {
        self.tasks.len() + self.finishing
    }

    /// Whether answers are in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.output.is_blocked() || self.waiting() > 0
    }

    /// Whether nothing is in flight in either direction.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_busy() && !self.input.ended && self.input.partial.is_none() && !self.is_closing()
    }

    /// Whether no more queries may wait.
    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= self.setup.worker.limits.tcp_pipeline
    }

    /// Whether a message can be taken up now.
    pub(super) fn has_message_and_room(&self) -> bool {
        !self.input.ended
            && !self.is_full()
            && self.output.answers() < ENOUGH
            && self.input.has_message()
    }

    /// When the connection ends unless something happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let timeouts = &self.setup.timeouts;
        let own = if let Some(deadline) = self.output.deadline(timeouts.write) {
            Some(deadline)
        } else if self.input.ended || self.is_full() {
            None
        } else if let Some(partial) = self.input.partial {
            let rest = if self.is_closing() { REST } else { timeouts.read };
            Some(partial + rest.min(timeouts.read))
        } else if self.waiting() > 0 {
            None
        } else if self.input.queries == 0 {
            Some(self.active + timeouts.read)
        } else {
            Some(self.active + timeouts.idle)
        };
        match (own, self.closing) {
            (Some(own), Some(closing)) => Some(own.min(closing)),
            (own, closing) => own.or(closing),
        }
    }

    /// Collects answers of exchanges that waited, then one message of several.
    pub(super) fn collect(&mut self, context: &Context<'_>) {
        if !self.tasks.is_empty() {
            self.outbox.register(context);
            self.tasks.begin_turn(context);
            while self.output.answers() <= ENOUGH
                && let Some(finished) = self.tasks.next_finished()
            {
                self.finish(finished);
            }
        }
        if self.can_send_part()
            && let Some(message) = self.outbox.pop()
        {
            self.send_part(message);
        }
    }

    /// Whether `collect` would find more now.
    pub(super) fn has_more_to_collect(&self) -> bool {
        self.output.answers() <= ENOUGH && self.tasks.has_turn()
            || self.can_send_part() && !self.outbox.is_empty()
    }

    fn can_send_part(&self) -> bool {
        !self.output.has_part() && self.output.answers() <= ENOUGH
    }

    fn send_part(&mut self, Message { content, ticket }: Message) {
        match content {
            Content::Part(bytes) => {
                self.output.push_part(&bytes, ticket);
                self.setup.worker.counters.tcp_sent.add(1);
            }
            Content::Last(exchange, _permit) => {
                self.finishing -= 1;
                if exchange.outcome.is_send() {
                    self.output.push_part(exchange.reply.bytes(), ticket);
                    self.setup.worker.counters.tcp_sent.add(1);
                }
                pool::give(exchange);
            }
        }
        self.active = Instant::now();
    }

    fn finish(&mut self, Finished { tag: stream, permit, result }: Finished<Arc<Stream>>) {
        let Ok(mut exchange) = result else {
            self.setup.worker.counters.panics.add(1);
            return;
        };
        self.active = Instant::now();
        exchange.channel = None;
        match stream.finish(exchange, permit) {
            Some(exchange) => self.answer(exchange),
            None => self.finishing += 1,
        }
    }

    fn answer(&mut self, exchange: Box<Exchange>) {
        if exchange.outcome.is_send() {
            self.output.push(exchange.reply.bytes());
            self.setup.worker.counters.tcp_sent.add(1);
        }
        pool::give(exchange);
    }

    /// Has `read` fill the worker's buffer and takes up its messages; `false` when the connection broke.
    pub(super) fn take_in(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<bool> {
        scratch::with_read_buffer(|buffer| {
            read(buffer).map(|read| match read {
                Err(_) => false,
                Ok(0) => {
                    // The rest of a message will not come.
                    self.input.ended = true;
                    self.input.partial = None;
                    true
                }
                Ok(len) => {
                    self.read(&buffer[..len]);
                    true
                }
            })
        })
    }

    /// Answers whole messages of what was read, and keeps the rest.
    fn read(&mut self, bytes: &[u8]) {
        let progress = if self.input.bytes.is_empty() {
            let taken = self.take_up(bytes);
            if !self.input.ended {
                self.input.bytes.extend_from_slice(&bytes[taken..]);
            }
            taken > 0
        } else {
            self.input.bytes.extend_from_slice(bytes);
            self.take_up_rest()
        };
        self.input.note_partial(progress);
    }

    /// Takes up messages that were read earlier; whether there were any.
    pub(super) fn take_up_rest(&mut self) -> bool {
        if self.input.bytes.is_empty() || self.input.ended {
            return false;
        }
        let mut input = std::mem::take(&mut self.input.bytes);
        let taken = self.take_up(&input);
        if taken == input.len() || self.input.ended {
            input = Vec::new();
        } else if taken > 0 {
            input.drain(..taken);
        }
        self.input.bytes = input;
        if taken > 0 {
            self.input.note_partial(true);
        }
        taken > 0
    }

    /// Answers the whole messages at the start of `bytes`, as far as there is room; returns their octets.
    fn take_up(&mut self, bytes: &[u8]) -> usize {
        let taken = scratch::with_batch(|batch| {
            let mut at = 0;
            while !self.input.ended && self.output.answers() < ENOUGH {
                let now = clock::now();
                at += self.fill(batch, &bytes[at..], now);
                if batch.is_empty() {
                    break;
                }
                self.setup.entry.touch(now);
                self.serve(batch);
            }
            at
        });
        if taken > 0 {
            self.active = Instant::now();
        }
        taken
    }

    /// Fills a batch with the whole messages at the start of `bytes`; returns their octets.
    fn fill(&mut self, batch: &mut Exchanges, bytes: &[u8], now: wire::Moment) -> usize {
        let setup = &self.setup;
        let room = setup.worker.limits.tcp_pipeline.saturating_sub(self.waiting()).min(BATCH);
        let mut at = 0;
        while batch.len() < room
            && let Some(message) = whole(&bytes[at..])
        {
            at += 2 + message.len();
            if message.len() < HEADER {
                // This is not DNS, and neither is what follows.
                self.input.ended = true;
                break;
            }
            let mut exchange = pool::take();
            let query = &mut exchange.query;
            query.buffer_mut().clear();
            query.buffer_mut().extend_from_slice(message);
            query.client.peer = setup.peer;
            query.client.local = setup.local;
            query.client.transport = setup.transport;
            query.client.tls13 = setup.tls13;
            // "… a TIMEOUT value of 0", and the client closes (RFC 7828 section 3.3.2).
            let closing = self.closing.is_some();
            query.client.keepalive = if closing { 0 } else { setup.timeouts.keepalive() };
            query.client.worker = setup.worker.index;
            query.client.received = now;
            batch.push(exchange);
            self.input.queries = self.input.queries.saturating_add(1);
            if setup.timeouts.max_queries.is_some_and(|most| self.input.queries >= most) {
                self.input.ended = true;
                break;
            }
        }
        at
    }

    fn serve(&mut self, batch: &mut Exchanges) {
        let worker = Arc::clone(&self.setup.worker);
        worker.counters.tcp_received.add(batch.len() as u64);
        handler::serve(&*self.setup.handler, &worker, batch);
        let mut sent = 0;
        for mut exchange in batch.drain(..) {
            if let Some(pending) = exchange.take_pending() {
                if let Some(permit) = Permit::take(&worker) {
                    let stream = Stream::new(&self.outbox);
                    exchange.channel = Some(Arc::clone(&stream) as Arc<dyn Channel>);
                    let rest = pending.resume(exchange);
                    if let Some(finished) = self.tasks.spawn(permit, stream, rest) {
                        self.finish(finished);
                    }
                    continue;
                }
                handler::refuse(pending, &worker, &mut exchange);
            }
            if exchange.outcome.is_send() {
                self.output.push(exchange.reply.bytes());
                sent += 1;
            }
            pool::give(exchange);
        }
        if sent > 0 {
            worker.counters.tcp_sent.add(sent);
        }
    }
}

impl Input {
    fn has_message(&self) -> bool {
        whole(&self.bytes).is_some()
    }

    /// Starts or stops the time of an incomplete message.
    fn note_partial(&mut self, progress: bool) {
        if self.bytes.is_empty() || self.ended || self.has_message() {
            self.partial = None;
        } else if progress || self.partial.is_none() {
            self.partial = Some(Instant::now());
        }
    }
}

/// The message at the start of `bytes`, if all of it is there.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*len)))
}
