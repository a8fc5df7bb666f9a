//! Messages of replies that have several, on their way to a connection.
//!
//! An exchange may have [`IN_FLIGHT`] messages that are not written to the socket yet. Then its plugin
//! waits before it makes the next one. The connection takes one message at a time, so that other answers
//! leave between them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use exchange::{BoxFuture, Channel, Exchange, Gone};
use futures_util::task::AtomicWaker;

use crate::listen::handler::Permit;

/// Messages of one exchange that were sent and are not written.
pub(super) const IN_FLIGHT: usize = 2;

/// The messages of one connection that wait to be written.
#[derive(Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    /// The task of the connection.
    owner: AtomicWaker,
}

#[derive(Default)]
struct Queue {
    /// In the order in which they were sent, so that exchanges take turns.
    messages: VecDeque<Message>,
    /// The connection has ended.
    closed: bool,
}

/// One message of several.
pub(super) struct Message {
    pub(super) content: Content,
    pub(super) ticket: Ticket,
}

/// The content of a message.
pub(super) enum Content {
    /// The message has successors.
    Part(Vec<u8>),
    /// The last message; its exchange still counts as one that waits.
    Last(Box<Exchange>, Permit),
}

/// The messages of one exchange: its channel, and what is in flight.
pub(super) struct Stream {
    own: Weak<Self>,
    outbox: Arc<Outbox>,
    state: Mutex<StreamState>,
}

#[derive(Default)]
struct StreamState {
    in_flight: usize,
    /// The future that waits in [`Channel::send`].
    sender: Option<Waker>,
}

/// One message in flight. It was written, or never will be, when this is dropped.
pub(super) struct Ticket(Arc<Stream>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox {
    /// From now on, a message wakes the task of `context`.
    pub(super) fn register(&self, context: &Context<'_>) {
        self.owner.register(context.waker());
    }

    /// The next message to write.
    pub(super) fn pop(&self) -> Option<Message> {
        lock(&self.queue).messages.pop_front()
    }

    /// Whether no message waits.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.queue).messages.is_empty()
    }

    /// The connection has ended: drops all messages. Senders get [`Gone`].
    pub(super) fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        let messages = mem::take(&mut queue.messages);
        drop(queue);
        // This wakes the senders.
        drop(messages);
    }

    fn push(&self, message: Message) -> Result<(), Gone> {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Err(Gone);
        }
        queue.messages.push_back(message);
        drop(queue);
        self.owner.wake();
        Ok(())
    }

    fn is_closed(&self) -> bool {
        lock(&self.queue).closed
    }
}

impl Stream {
    /// The messages of an exchange of this connection.
    pub(super) fn new(outbox: &Arc<Outbox>) -> Arc<Self> {
        let outbox = Arc::clone(outbox);
        Arc::new_cyclic(|own| Self { own: Weak::clone(own), outbox, state: Mutex::default() })
    }

    /// Queues the last message behind those in flight; returns it if there are none.
    pub(super) fn finish(&self, exchange: Box<Exchange>, permit: Permit) -> Option<Box<Exchange>> {
        if lock(&self.state).in_flight == 0 {
            return Some(exchange);
        }
        // A connection that has ended has no use for it.
        let _ = self.push(Content::Last(exchange, permit));
        None
    }

    fn push(&self, content: Content) -> Result<(), Gone> {
        let own = self.own.upgrade().ok_or(Gone)?;
        lock(&self.state).in_flight += 1;
        self.outbox.push(Message { content, ticket: Ticket(own) })
    }

    /// Whether the connection has ended, once there is room for another message.
    fn poll_room(&self, context: &Context<'_>) -> Poll<Result<(), Gone>> {
        // In this order: `close` releases the tickets after it has closed.
        let mut state = lock(&self.state);
        if state.in_flight >= IN_FLIGHT && !self.outbox.is_closed() {
            state.sender = Some(context.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        Poll::Ready(if self.outbox.is_closed() { Err(Gone) } else { Ok(()) })
    }
}

impl Channel for Stream {
    fn send<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<(), Gone>> {
        Box::pin(async move {
            poll_fn(|context| self.poll_room(context)).await?;
            self.push(Content::Part(message.to_vec()))?;
            poll_fn(|context| self.poll_room(context)).await
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.in_flight -= 1;
        let sender = state.sender.take();
        drop(state);
        if let Some(sender) = sender {
            sender.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(stream: &Arc<Stream>, byte: u8) -> BoxFuture<'static, Result<(), Gone>> {
        let stream = Arc::clone(stream);
        Box::pin(async move { stream.send(&[byte]).await })
    }

    fn poll(future: &mut BoxFuture<'static, Result<(), Gone>>) -> Poll<Result<(), Gone>> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    fn next(outbox: &Outbox) -> Option<(u8, Ticket)> {
        let Message { content, ticket } = outbox.pop()?;
        match content {
            Content::Part(bytes) => Some((bytes[0], ticket)),
            Content::Last(..) => None,
        }
    }

    #[test]
    fn two_messages_are_in_flight_and_exchanges_take_turns() {
        let outbox = Arc::default();
        let (a, b) = (Stream::new(&outbox), Stream::new(&outbox));
        assert_eq!(poll(&mut send(&a, 1)), Poll::Ready(Ok(())));
        let mut second = send(&a, 2);
        assert!(poll(&mut second).is_pending());
        let mut third = send(&a, 3);
        assert!(poll(&mut third).is_pending(), "it is not taken yet");
        assert_eq!(poll(&mut send(&b, 10)), Poll::Ready(Ok(())));
        let (first, ticket) = next(&outbox).unwrap();
        assert!(
            first == 1 && poll(&mut second).is_pending(),
            "it is in flight until it is written"
        );
        drop(ticket);
        assert_eq!(poll(&mut second), Poll::Ready(Ok(())));
        assert!(poll(&mut third).is_pending());
        let order = std::iter::from_fn(|| next(&outbox)).map(|(byte, _)| byte);
        assert_eq!(order.collect::<Vec<_>>(), [2, 10, 3]);
        assert_eq!(poll(&mut third), Poll::Ready(Ok(())));
    }

    #[test]
    fn senders_learn_that_the_connection_has_ended() {
        let outbox: Arc<Outbox> = Arc::default();
        let stream = Stream::new(&outbox);
        assert_eq!(poll(&mut send(&stream, 1)), Poll::Ready(Ok(())));
        let mut waits = send(&stream, 2);
        assert!(poll(&mut waits).is_pending());
        outbox.close();
        assert_eq!(poll(&mut waits), Poll::Ready(Err(Gone)));
        assert_eq!(poll(&mut send(&stream, 3)), Poll::Ready(Err(Gone)));
        assert!(outbox.is_empty());
    }
}
