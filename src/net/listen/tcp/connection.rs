//! One connection: its stream, its timer, and the turns of its task.

use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::state::ConnectionState;
use crate::listen::setup::Setup;

/// Reads, or messages of several, in a row before other tasks have their turn.
const TURN: usize = 4;
/// The time that a client may take to close its side after we closed ours.
const LINGER: Duration = Duration::from_millis(500);

/// The stream below a connection.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Unpin {
    /// Reads from the system, whatever the runtime knows of the socket: the runtime learns of new octets
    /// when it polls the next time, and what came before our FIN is to be answered.
    fn read_now(&mut self, into: &mut [u8]) -> io::Result<usize>;

    /// Drops octets that the client sent; none when it has closed its side.
    fn poll_drop(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    /// Whether the system has taken octets of a write that is still pending.
    fn has_progressed(&mut self) -> bool;
}

impl Carrier for TcpStream {
    fn read_now(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(&*self)).read(into)
    }

    fn poll_drop(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut dropped = [0; 4096];
        let mut buffer = ReadBuf::new(&mut dropped);
        Pin::new(self).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
    }

    fn has_progressed(&mut self) -> bool {
        false
    }
}

/// Closes our side, then drops what arrives until the client closes its own: closing a socket with unread
/// octets resets the connection, and what is in flight is lost with it. A client that does not close its
/// side in time gets a reset.
pub(super) async fn close(mut stream: impl Carrier) {
    let end = Instant::now() + LINGER;
    let _ = tokio::time::timeout_at(end, poll_fn(|cx| poll_end(&mut stream, cx))).await;
}

fn poll_end(stream: &mut impl Carrier, cx: &mut Context<'_>) -> Poll<()> {
    if ready!(Pin::new(&mut *stream).poll_shutdown(cx)).is_err() {
        return Poll::Ready(());
    }
    while let Ok(1..) = ready!(stream.poll_drop(cx)) {}
    Poll::Ready(())
}

/// One connection.
pub(super) struct Connection<S> {
    // Closed before the state leaves the registry.
    stream: S,
    timer: Pin<Box<Sleep>>,
    timer_at: Instant,
    state: ConnectionState,
}

impl<S: Carrier> Connection<S> {
    pub(super) fn new(stream: S, setup: Setup) -> Self {
        let now = Instant::now();
        let timer_at = now + setup.timeouts.read;
        let timer = Box::pin(tokio::time::sleep_until(timer_at));
        Self { stream, timer, timer_at, state: ConnectionState::new(setup, now) }
    }

    /// Serves the connection until it ends.
    pub(super) async fn run(mut self) {
        let orderly = poll_fn(|cx| self.poll(cx)).await;
        if orderly {
            close(self.stream).await;
        }
    }

    /// One turn; ready when the connection has ended: `true` in good order.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.state.begin(cx);
        let result = self.poll_messages(cx);
        self.state.end();
        if result.is_ready() { result } else { self.poll_timer(cx) }
    }

    fn poll_messages(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut steps = 0;
        loop {
            self.state.collect(cx);
            self.state.take_up_rest();
            if !self.poll_write(cx) {
                return Poll::Ready(false);
            }
            if self.state.output.is_stalled() {
                return Poll::Pending;
            }
            if self.state.has_message_and_room() {
                continue;
            }
            if steps == TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            steps += 1;
            if self.state.has_more_to_collect() {
                continue;
            }
            if self.state.has_input_ended() {
                return if self.state.is_busy() { Poll::Pending } else { Poll::Ready(true) };
            }
            if self.state.is_full() {
                return Poll::Pending;
            }
            match self.poll_read(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(false),
                // Closing: what arrives before the last answer is written is answered, too. Then our
                // FIN follows at once.
                Poll::Pending if self.state.is_closing() => match self.read_now() {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Poll::Ready(false),
                    Poll::Pending if self.state.is_busy() || self.state.has_partial_message() => {
                        return Poll::Pending;
                    }
                    Poll::Pending => return Poll::Ready(true),
                },
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Reads and answers; `false` when the connection broke.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let stream = &mut self.stream;
        self.state.take_in(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            let read = Pin::new(stream).poll_read(cx, &mut buffer);
            read.map_ok(|()| buffer.filled().len())
        })
    }

    /// The same without the runtime; pending when there is nothing.
    fn read_now(&mut self) -> Poll<bool> {
        let stream = &mut self.stream;
        self.state.take_in(|scratch| match stream.read_now(scratch) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            read => Poll::Ready(read),
        })
    }

    /// Writes the output as far as the socket takes it; `false` when the connection broke.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let output = &mut self.state.output;
        while output.is_blocked() {
            match Pin::new(&mut self.stream).poll_write(cx, output.unwritten()) {
                Poll::Ready(Ok(0) | Err(_)) => return false,
                Poll::Ready(Ok(written)) => output.wrote(written),
                Poll::Pending => {
                    output.block(self.stream.has_progressed());
                    return true;
                }
            }
        }
        true
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            // The timer may expire early, never late: in the steady state it is not touched.
            let deadline = self.state.deadline();
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
                    if self.state.is_idle() && self.read_now() == Poll::Ready(true) {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    if !self.state.is_closing() {
                        self.state.setup.worker.counters.tcp_timed_out.add(1);
                    }
                    return Poll::Ready(!self.state.output.is_blocked());
                }
                Some(deadline) => self.timer_at = deadline,
                None => self.timer_at = now + Duration::from_secs(1),
            }
            self.timer.as_mut().reset(self.timer_at);
        }
    }
}
