//! The destination of messages: a bounded queue, and the task that drains it outside the query path.
//!
//! A sink survives reloads: while its directive does not change, its connection and its connected
//! readers stay. When no configuration uses the sink any more, it sends what is queued and ends.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use net::stream::{self, Door, Endpoint, Files, Stream, Verification};
use telemetry::metrics::{self, Counter, SHARED, Worker};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::time::timeout;

use super::frames;

/// The timeout of a connection attempt, of the handshake and of a write.
const PATIENCE: Duration = Duration::from_secs(4);
/// The pause before the second connection attempt; doubled up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// The interval of log lines about dropped messages, as in CoreDNS.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// The bound in octets of each queue of 10,000 messages.
const QUEUE_OCTETS: usize = 16 << 20;
/// The most octets of messages that are written together.
const BATCH: usize = 64 << 10;
/// The most readers of one listener.
const MAX_READERS: usize = 64;
/// Messages that are kept for slow readers, once for all of them.
const BACKLOG: usize = 1024;

/// The address of a sink and its options. Equal targets share a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    pub(super) mode: Mode,
    /// In units of 10,000 messages.
    pub(super) queue: usize,
}

/// The direction in which connections are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// We connect to the reader.
    Connect { verification: Verification, send_buffer: usize },
    /// Readers connect to us.
    Listen { files: Option<Files> },
}

/// The handle of the queue that plugins hold.
pub(super) struct Sink {
    queue: mpsc::Sender<Box<[u8]>>,
    shared: Arc<Shared>,
    /// The arguments of the task, until it starts.
    start: Mutex<Option<Start>>,
}

type Start = (Target, mpsc::Receiver<Box<[u8]>>);

/// The state that plugins and the task share.
struct Shared {
    /// Octets in the queue.
    octets: AtomicUsize,
    max_octets: usize,
    /// Connected readers. A sink that connects counts as one reader, since its messages are queued.
    readers: AtomicUsize,
    /// Dropped messages that the log does not report yet.
    unreported: AtomicU64,
    dropped: Counter,
    sent: Counter,
    /// Notified when the last plugin has dropped the sink.
    ended: Notify,
}

impl Shared {
    #[cold]
    fn lose(&self, worker: Worker, count: u64) {
        self.unreported.fetch_add(count, Ordering::Relaxed);
        self.dropped.add(worker, count);
    }

    fn taken(&self, message: &[u8]) {
        self.octets.fetch_sub(message.len(), Ordering::Relaxed);
    }
}

impl Sink {
    /// A sink without its task.
    pub(super) fn new(target: Target) -> Self {
        let endpoint = target.endpoint.to_string();
        let counter = |name, help| metrics::counter(name, help, &["endpoint"], &[&endpoint]);
        let (queue, receiver) = mpsc::channel(target.queue * 10_000);
        let shared = Shared {
            octets: AtomicUsize::new(0),
            max_octets: target.queue * QUEUE_OCTETS,
            readers: AtomicUsize::new(usize::from(matches!(target.mode, Mode::Connect { .. }))),
            unreported: AtomicU64::new(0),
            dropped: counter(
                "catena_dnstap_messages_dropped_total",
                "Messages dropped: the queue was full, or a reader was too slow or disconnected.",
            ),
            sent: counter("catena_dnstap_messages_sent_total", "Messages written to a reader."),
            ended: Notify::new(),
        };
        let start = Mutex::new(Some((target, receiver)));
        Self { queue, shared: Arc::new(shared), start }
    }

    /// Whether messages have a reader.
    #[inline]
    pub(super) fn is_wanted(&self) -> bool {
        self.shared.readers.load(Ordering::Relaxed) > 0
    }

    /// Puts a message into the queue; over its bounds the message is dropped and counted.
    pub(super) fn offer(&self, worker: Worker, message: &[u8]) {
        let shared = &self.shared;
        let before = shared.octets.fetch_add(message.len(), Ordering::Relaxed);
        if before + message.len() > shared.max_octets
            || self.queue.try_send(message.into()).is_err()
        {
            shared.taken(message);
            shared.lose(worker, 1);
        }
    }

    /// Dropped messages that the log does not yet report.
    #[cfg(test)]
    pub(super) fn dropped(&self) -> u64 {
        self.shared.unreported.load(Ordering::Relaxed)
    }

    /// The task, unless it has started. It ends when the sink is dropped, so it must not own the sink.
    pub(super) fn task(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        let (target, queue) = start.take()?;
        let shared = Arc::clone(&self.shared);
        Some(async move {
            let reported = Arc::clone(&shared);
            let work = async {
                match target.mode {
                    Mode::Connect { verification, send_buffer } => {
                        connect(&target.endpoint, verification, send_buffer, queue, &shared).await;
                    }
                    Mode::Listen { files } => {
                        listen(&target.endpoint, files, queue, &shared).await;
                    }
                }
            };
            tokio::select! {
                () = work => {}
                () = report_dropped(&reported) => {}
            }
        })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.ended.notify_one();
    }
}

/// Logs dropped messages from time to time.
async fn report_dropped(shared: &Shared) {
    loop {
        tokio::time::sleep(REPORT_EVERY).await;
        let dropped = shared.unreported.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            telemetry::warning!("plugin/dnstap: Dropped dnstap messages: {dropped}");
        }
    }
}

/// Connects to the reader, again after each failure, and writes the queue to it.
async fn connect(
    endpoint: &Endpoint,
    verification: Verification,
    send_buffer: usize,
    mut queue: mpsc::Receiver<Box<[u8]>>,
    shared: &Shared,
) {
    let (mut pause, mut told) = (PAUSE, false);
    loop {
        let reached = async {
            let mut stream = stream::connect(endpoint, verification, send_buffer).await?;
            frames::begin(&mut stream).await?;
            Ok(stream)
        };
        match within(reached).await {
            Ok(stream) => {
                (pause, told) = (PAUSE, false);
                match write_all(stream, &mut queue, shared).await {
                    Ok(()) => return,
                    Err(error) => {
                        telemetry::warning!(
                            "plugin/dnstap: connection to {endpoint} lost: {error}"
                        );
                    }
                }
            }
            Err(error) => {
                if !told {
                    told = true;
                    telemetry::error!("plugin/dnstap: No connection to dnstap endpoint: {error}");
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(MAX_PAUSE),
                    () = shared.ended.notified() => break,
                }
            }
        }
    }
    // The sink was dropped without a connection.
    queue.close();
    while let Ok(message) = queue.try_recv() {
        shared.taken(&message);
        shared.lose(SHARED, 1);
    }
}

/// Writes messages to the connection until the queue is closed and empty.
async fn write_all(
    stream: Stream,
    queue: &mut mpsc::Receiver<Box<[u8]>>,
    shared: &Shared,
) -> io::Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut batch = Vec::new();
    loop {
        let first = tokio::select! {
            first = queue.recv() => first,
            error = disconnected(&mut read) => return Err(error),
        };
        let Some(first) = first else {
            return within(frames::end(&mut read.unsplit(write))).await;
        };
        batch.clear();
        let mut count = 0;
        let mut next = Some(first);
        while let Some(message) = next {
            shared.taken(&message);
            frames::push(&mut batch, &message);
            count += 1;
            next = if batch.len() < BATCH { queue.try_recv().ok() } else { None };
        }
        write_batch(&mut write, &batch, count, shared).await?;
    }
}

async fn write_batch(
    write: &mut WriteHalf<Stream>,
    batch: &[u8],
    count: u64,
    shared: &Shared,
) -> io::Result<()> {
    let written = async {
        write.write_all(batch).await?;
        write.flush().await
    };
    let outcome = within(written).await;
    match &outcome {
        Ok(()) => shared.sent.add(SHARED, count),
        Err(_) => shared.lose(SHARED, count),
    }
    outcome
}

/// Waits until the reader disconnects. It sends nothing before the end of the stream.
async fn disconnected(read: &mut ReadHalf<Stream>) -> io::Error {
    match read.read_u8().await {
        Ok(_) => io::Error::other("the reader sent unexpected data"),
        Err(error) => error,
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(PATIENCE, work).await {
        Ok(outcome) => outcome,
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the reader did not respond in time"))
        }
    }
}

/// A message for all readers; `None` is the end.
type Broadcast = Option<Arc<[u8]>>;

/// Accepts readers and sends each of them all messages of the queue.
async fn listen(
    endpoint: &Endpoint,
    files: Option<Files>,
    mut queue: mpsc::Receiver<Box<[u8]>>,
    shared: &Arc<Shared>,
) {
    let Some(door) = open(endpoint, files.as_ref(), shared).await else { return };
    let messages = broadcast::Sender::<Broadcast>::new(BACKLOG);
    let (readers, of_readers) = (messages.clone(), Arc::clone(shared));
    let serve = move |stream| serve_reader(stream, readers.subscribe(), Arc::clone(&of_readers));
    let spread = async {
        while let Some(message) = queue.recv().await {
            shared.taken(&message);
            // Fails if no reader is connected.
            let _ = messages.send(Some(message.into()));
        }
        let _ = messages.send(None);
    };
    door.serve(MAX_READERS, serve, spread).await;
}

/// The listener, opened with retries; `None` if the sink was dropped first.
async fn open(endpoint: &Endpoint, files: Option<&Files>, shared: &Shared) -> Option<Door> {
    let (mut pause, mut told) = (PAUSE, false);
    loop {
        match Door::open(endpoint, files) {
            Ok(door) => return Some(door),
            Err(error) if !told => {
                told = true;
                telemetry::error!("plugin/dnstap: Failed to start dnstap listener: {error}");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(MAX_PAUSE),
            () = shared.ended.notified() => return None,
        }
    }
}

/// Sends messages to one reader until it disconnects or the sink ends. Messages that a slow reader
/// misses are counted.
async fn serve_reader(
    mut stream: Stream,
    mut messages: broadcast::Receiver<Broadcast>,
    shared: Arc<Shared>,
) {
    if within(frames::begin(&mut stream)).await.is_err() {
        return;
    }
    let _reader = Reader::new(&shared);
    let (mut read, mut write) = tokio::io::split(stream);
    let mut batch = Vec::new();
    loop {
        let first = tokio::select! {
            first = messages.recv() => first,
            _ = disconnected(&mut read) => return,
        };
        let message = match first {
            Ok(Some(message)) => message,
            Ok(None) | Err(RecvError::Closed) => {
                let _ = within(frames::end(&mut read.unsplit(write))).await;
                return;
            }
            Err(RecvError::Lagged(missed)) => {
                shared.lose(SHARED, missed);
                continue;
            }
        };
        batch.clear();
        frames::push(&mut batch, &message);
        if write_batch(&mut write, &batch, 1, &shared).await.is_err() {
            return;
        }
    }
}

/// Counts a reader while it is connected.
struct Reader<'a>(&'a Shared);

impl<'a> Reader<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.readers.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}
