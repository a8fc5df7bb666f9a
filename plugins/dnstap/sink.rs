//! The destination of messages: a bounded queue, and the task that drains it outside the query path.
//!
//! A sink survives reloads: while its directive does not change, its connection and its connected
//! readers stay. When no configuration uses the sink any more, it sends what is queued and ends.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use net::stream::{self, Belief, Door, Endpoint, Files, Stream};
use telemetry::metrics::{self, Counter, SHARED, Worker};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::time::timeout;

use super::frames;

/// How long a reader may take: to be reached, to agree, to take what is written.
const PATIENCE: Duration = Duration::from_secs(4);
/// Before the first further attempt to reach a reader; doubled up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Between two lines of the log about messages that were dropped, as in CoreDNS.
const TELL: Duration = Duration::from_secs(10);
/// Octets that wait, for each queue of 10,000 messages: with whole messages these may be large.
const OCTETS: usize = 16 << 20;
/// Messages are written together up to this many octets.
const BATCH: usize = 64 << 10;
/// Readers of one listener.
const MAX_READERS: usize = 64;
/// Messages that a reader may be behind. Kept once for all readers.
const BEHIND: usize = 1024;

/// Where to send to or listen, and how. Sinks of equal targets are one.
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
    Connect { belief: Belief, send_buffer: usize },
    /// Readers connect to us.
    Listen { files: Option<Files> },
}

/// The end of it that plugins hold.
pub(super) struct Sink {
    queue: mpsc::Sender<Box<[u8]>>,
    shared: Arc<Shared>,
    /// What the task needs; gone once it runs.
    start: Mutex<Option<Start>>,
}

type Start = (Target, mpsc::Receiver<Box<[u8]>>);

/// What plugins and the task both know.
struct Shared {
    /// Octets that wait.
    octets: AtomicUsize,
    max_octets: usize,
    /// Readers that want messages; a sink that connects counts as one, for its messages wait.
    readers: AtomicUsize,
    /// Dropped since the log said so.
    untold: AtomicU64,
    dropped: Counter,
    sent: Counter,
    /// The last plugin is gone.
    ended: Notify,
}

impl Shared {
    #[cold]
    fn lose(&self, worker: Worker, count: u64) {
        self.untold.fetch_add(count, Ordering::Relaxed);
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
            max_octets: target.queue * OCTETS,
            readers: AtomicUsize::new(usize::from(matches!(target.mode, Mode::Connect { .. }))),
            untold: AtomicU64::new(0),
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

    /// Whether anybody wants messages.
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
        self.shared.untold.load(Ordering::Relaxed)
    }

    /// The task, if it does not run yet. It must not hold the sink, whose end ends it.
    pub(super) fn task(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        let (target, queue) = start.take()?;
        let shared = Arc::clone(&self.shared);
        Some(async move {
            let told = Arc::clone(&shared);
            let work = async {
                match target.mode {
                    Mode::Connect { belief, send_buffer } => {
                        feed(&target.endpoint, belief, send_buffer, queue, &shared).await;
                    }
                    Mode::Listen { files } => {
                        listen(&target.endpoint, files, queue, &shared).await;
                    }
                }
            };
            tokio::select! {
                () = work => {}
                () = tell(&told) => {}
            }
        })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.ended.notify_one();
    }
}

/// Tells the log of dropped messages, for ever.
async fn tell(shared: &Shared) {
    loop {
        tokio::time::sleep(TELL).await;
        let dropped = shared.untold.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            telemetry::warning!("plugin/dnstap: Dropped dnstap messages: {dropped}");
        }
    }
}

/// Keeps a connection to the reader, and writes what is in the queue.
async fn feed(
    endpoint: &Endpoint,
    belief: Belief,
    send_buffer: usize,
    mut queue: mpsc::Receiver<Box<[u8]>>,
    shared: &Shared,
) {
    let (mut pause, mut told) = (PAUSE, false);
    loop {
        let reached = async {
            let mut stream = stream::connect(endpoint, belief, send_buffer).await?;
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
    // Nobody took these.
    queue.close();
    while let Ok(message) = queue.try_recv() {
        shared.taken(&message);
        shared.lose(SHARED, 1);
    }
}

/// Writes messages to the connection until there are no more.
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
            gone = gone(&mut read) => return Err(gone),
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

/// Waits until the reader goes away: it has nothing to say before the end.
async fn gone(read: &mut ReadHalf<Stream>) -> io::Error {
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

/// A message for all readers; none: the end.
type News = Option<Arc<[u8]>>;

/// Lets readers in, and gives each of them what is in the queue.
async fn listen(
    endpoint: &Endpoint,
    files: Option<Files>,
    mut queue: mpsc::Receiver<Box<[u8]>>,
    shared: &Arc<Shared>,
) {
    let Some(door) = open(endpoint, files.as_ref(), shared).await else { return };
    let news = broadcast::Sender::<News>::new(BEHIND);
    let (readers, of_readers) = (news.clone(), Arc::clone(shared));
    let serve = move |stream| read_by(stream, readers.subscribe(), Arc::clone(&of_readers));
    let spread = async {
        while let Some(message) = queue.recv().await {
            shared.taken(&message);
            // Fails if there are no readers, and then nobody misses it.
            let _ = news.send(Some(message.into()));
        }
        let _ = news.send(None);
    };
    door.serve(MAX_READERS, serve, spread).await;
}

/// The door, as soon as it can be opened; `None` if it is not needed any more.
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

/// Gives one reader the news, until it goes away or there are no more. One that is too slow misses
/// some, which are counted.
async fn read_by(mut stream: Stream, mut news: broadcast::Receiver<News>, shared: Arc<Shared>) {
    if within(frames::begin(&mut stream)).await.is_err() {
        return;
    }
    let _reader = Reader::new(&shared);
    let (mut read, mut write) = tokio::io::split(stream);
    let mut batch = Vec::new();
    loop {
        let first = tokio::select! {
            first = news.recv() => first,
            _ = gone(&mut read) => return,
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

/// Counts a reader while it is there.
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
