//! A connection that opens when the first command needs it, and the commands that are pending on it.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::error::{RedisError, not_a_reply, timed_out};
use crate::health::Health;
use crate::resp::{self, Value};

/// The deadline of a reply: after it the connection is closed.
const STALL: Duration = Duration::from_secs(1);
/// The most octets of commands that wait to be sent: beyond it, no further command is encoded.
const UNSENT: usize = 256 * 1024;

/// Called when a write that was accepted is lost.
pub type OnLost = Arc<dyn Fn() + Send + Sync>;

/// A connection, open while commands need it.
pub(crate) struct Connection {
    /// The most commands that wait for the connection, and the most that wait on it for their replies.
    capacity: usize,
    queue: Mutex<Option<Queue>>,
}

struct Queue {
    commands: mpsc::Sender<Command>,
    epoch: usize,
}

struct Command {
    bytes: Vec<u8>,
    pending: Pending,
}

/// The receiver of a command's reply.
pub(crate) enum Pending {
    Lookup(oneshot::Sender<Value>),
    Write(Write),
}

/// A pending write. Dropped before its reply arrives, it is lost.
pub(crate) struct Write {
    pub(crate) on_lost: Option<OnLost>,
    pub(crate) _octets: Octets,
}

impl Drop for Write {
    fn drop(&mut self) {
        if let Some(on_lost) = self.on_lost.take() {
            on_lost();
        }
    }
}

/// A share of the octets that pending writes may take.
pub(crate) struct Octets(Arc<AtomicUsize>, usize);

impl Octets {
    pub(crate) fn take(total: &Arc<AtomicUsize>, count: usize, limit: usize) -> Option<Self> {
        let taken = Self(Arc::clone(total), count);
        (total.fetch_add(count, Ordering::Relaxed) + count <= limit).then_some(taken)
    }
}

impl Drop for Octets {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Connection {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, queue: Mutex::new(None) }
    }

    /// Queues a command, and opens the connection if it is closed.
    pub(crate) fn submit(
        &self,
        health: &Arc<Health>,
        bytes: Vec<u8>,
        pending: Pending,
    ) -> Result<(), RedisError> {
        let mut command = Command { bytes, pending };
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = health.epoch();
        if let Some(open) = queue.as_ref().filter(|queue| queue.epoch == epoch) {
            match open.commands.try_send(command) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(mut refused)) => {
                    refused.pending.cancel();
                    return Err(RedisError::Busy);
                }
                Err(mpsc::error::TrySendError::Closed(again)) => command = again,
            }
        }
        let (commands, receiver) = mpsc::channel(self.capacity);
        // A new queue has space for one command.
        let _ = commands.try_send(command);
        *queue = Some(Queue { commands, epoch });
        drop(queue);
        tokio::spawn(run(Arc::clone(health), receiver, self.capacity));
        Ok(())
    }
}

impl Pending {
    /// Reports no loss: the caller gets an error instead.
    fn cancel(&mut self) {
        if let Self::Write(write) = self {
            write.on_lost = None;
        }
    }

    fn finish(self, value: Value) {
        match self {
            // The receiver is gone if the reply is late.
            Self::Lookup(sender) => drop(sender.send(value)),
            Self::Write(mut write) => {
                if matches!(value, Value::Status(_)) {
                    write.on_lost = None;
                }
            }
        }
    }
}

/// The task of a connection. It ends with the connection, or when no client is left.
async fn run(health: Arc<Health>, mut commands: mpsc::Receiver<Command>, capacity: usize) {
    match health.connect().await {
        Err(error) => health.suspend(&RedisError::Network(error)),
        Ok(stream) => {
            let mut pending = VecDeque::new();
            let ended = exchange(stream, &mut commands, &mut pending, capacity).await;
            // Redis may close an idle connection: an end that no command notices is no failure.
            if let Err(error) = ended
                && !pending.is_empty()
            {
                health.note_failure(&RedisError::Network(error));
            }
        }
    }
}

/// Sends commands and delivers replies, which arrive in the same order.
async fn exchange(
    mut stream: TcpStream,
    commands: &mut mpsc::Receiver<Command>,
    pending: &mut VecDeque<(Pending, Instant)>,
    capacity: usize,
) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let (mut unsent, mut sent) = (Vec::new(), 0);
    let mut read = Vec::new();
    let mut open = true;
    loop {
        if !open && pending.is_empty() {
            return Ok(());
        }
        let deadline = pending.front().map(|(_, since)| *since + STALL);
        let takes_more = open && pending.len() < capacity && unsent.len() < UNSENT;
        tokio::select! {
            command = commands.recv(), if takes_more => {
                match command {
                    Some(Command { bytes, pending: receiver }) => {
                        unsent.extend_from_slice(&bytes);
                        pending.push_back((receiver, Instant::now()));
                    }
                    None => open = false,
                }
            }
            written = writer.write(&unsent[sent..]), if !unsent.is_empty() => {
                sent += written?;
                if sent == unsent.len() {
                    unsent.clear();
                    sent = 0;
                }
            }
            count = reader.read_buf(&mut read) => {
                if count? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                deliver(&mut read, pending)?;
            }
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                return Err(timed_out());
            }
        }
    }
}

/// Delivers all complete replies in `read`.
fn deliver(read: &mut Vec<u8>, pending: &mut VecDeque<(Pending, Instant)>) -> io::Result<()> {
    let mut at = 0;
    while let Some((value, length)) = resp::reply(&read[at..]).map_err(|_| not_a_reply())? {
        at += length;
        let (receiver, _) = pending.pop_front().ok_or_else(not_a_reply)?;
        receiver.finish(value);
    }
    read.drain(..at);
    Ok(())
}
