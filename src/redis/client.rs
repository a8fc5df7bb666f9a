//! A Redis client for which no query waits long.
//!
//! The commands of a worker share one connection, and writes have their own. Both are opened on demand.
//! Each lookup is bounded to some tens of milliseconds. After a failure, Redis is not queried for a
//! while, and one task tries from time to time whether it is back. This file must never know the
//! meaning of keys and values.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use net::client::{Network, Simulated};
use net::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::resp::{self, Value};

/// How long connecting may take. A lookup does not wait longer for it than for anything else.
const CONNECT: Duration = Duration::from_millis(200);
/// Lookups in a row that failed, and nobody asks any more. One connection that cannot be opened is
/// as bad.
const FAILURES: u32 = 3;
/// Between attempts to reach a Redis that failed: the first time, and at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// One that fails again within this time is left alone twice as long as before, at most so long.
const RELAPSE: Duration = Duration::from_secs(10);
/// A reply that takes longer will not come: the connection is given up.
const STALL: Duration = Duration::from_secs(1);
/// Commands that wait for a connection, and those on it that wait for their replies.
const LOOKUPS: usize = 1024;
const WRITES: usize = 256;
/// Octets of writes that wait.
const WRITE_OCTETS: usize = 4 << 20;
/// Nothing more is encoded while so much has not been sent.
const UNSENT: usize = 256 * 1024;

/// Why a command was not done.
#[derive(Debug)]
pub enum RedisError {
    /// It failed a moment ago and is left alone.
    Away,
    /// Too many commands wait.
    Busy,
    /// The network's word, or that of time.
    Network(io::Error),
    /// Redis's own word.
    Refused(String),
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away => f.write_str("not tried again yet after a failure"),
            Self::Busy => f.write_str("too many commands are waiting"),
            Self::Network(error) if error.kind() == io::ErrorKind::TimedOut => {
                f.write_str("no answer in time")
            }
            Self::Network(error) => error.fmt(f),
            Self::Refused(said) => f.write_str(said),
        }
    }
}

/// Called when Redis is left alone, with the reason, and when it is back.
pub type Tell = Arc<dyn Fn(Option<&RedisError>) + Send + Sync>;
/// Called when a write that was accepted is lost.
pub type Lost = Arc<dyn Fn() + Send + Sync>;

/// What a client is like.
#[derive(Clone)]
pub struct RedisOptions {
    /// Where it is.
    pub to: SocketAddr,
    /// How long a lookup may take.
    pub timeout: Duration,
    /// How many workers ask.
    pub workers: usize,
    /// Who wants to know.
    pub tell: Tell,
}

/// One Redis.
pub struct RedisClient {
    network: Arc<Network>,
    /// One for each worker.
    lookups: Box<[Line]>,
    writes: Line,
    shared: Arc<Shared>,
}

struct Shared {
    options: RedisOptions,
    /// Lookups that failed, in a row.
    failures: AtomicU32,
    /// It is left alone.
    away: AtomicBool,
    /// A task looks whether it is back.
    probing: AtomicBool,
    pace: Mutex<Pace>,
    /// How often it was left alone: connections from before are not used again.
    epoch: AtomicUsize,
    /// Octets of writes that wait.
    octets: AtomicUsize,
}

/// How long it is left alone.
struct Pace {
    pause: Duration,
    /// When it answered again.
    back: Option<Instant>,
}

impl RedisClient {
    /// A client that has not connected yet.
    pub fn new(network: Arc<Network>, options: RedisOptions) -> Self {
        let lookups = (0..options.workers.max(1)).map(|_| Line::new(LOOKUPS)).collect();
        let shared = Arc::new(Shared {
            options,
            failures: AtomicU32::new(0),
            away: AtomicBool::new(false),
            probing: AtomicBool::new(false),
            pace: Mutex::new(Pace { pause: PAUSE, back: None }),
            epoch: AtomicUsize::new(0),
            octets: AtomicUsize::new(0),
        });
        Self { network, lookups, writes: Line::new(WRITES), shared }
    }

    /// Whether it is asked at all. If not, somebody is made to look whether it is back.
    #[inline]
    pub fn is_there(&self) -> bool {
        let away = self.shared.away.load(Ordering::Relaxed);
        if away {
            probe(&self.network, &self.shared);
        }
        !away
    }

    /// The value of `key`, for a query of `worker`.
    ///
    /// # Errors
    /// It is not known: Redis is not asked, or did not answer in time, or had something else to say.
    pub async fn get(&self, worker: usize, key: &[u8]) -> Result<Option<Vec<u8>>, RedisError> {
        if !self.is_there() {
            return Err(RedisError::Away);
        }
        let bytes = encode(&[b"GET", key]);
        let asked = match &*self.network {
            Network::Simulated(world) => {
                let limit = self.shared.options.timeout;
                simulated(&**world, self.shared.options.to, &bytes, limit).await
            }
            Network::Os => {
                let (sender, receiver) = oneshot::channel();
                let line = &self.lookups[worker % self.lookups.len()];
                line.submit(&self.network, &self.shared, bytes, Waiting::Lookup(sender))?;
                match timeout(self.shared.options.timeout, receiver).await {
                    Ok(Ok(value)) => Ok(value),
                    // Its connection ended, which was told where it did.
                    Ok(Err(_)) => Err(RedisError::Network(io::ErrorKind::NotConnected.into())),
                    Err(_) => Err(RedisError::Network(late())),
                }
            }
        };
        let read = asked.and_then(|value| match value {
            Value::Bulk(bytes) => Ok(Some(bytes)),
            Value::Null => Ok(None),
            Value::Error(said) => Err(refused(&said)),
            Value::Status(_) | Value::Integer(_) => Err(RedisError::Network(odd())),
        });
        match &read {
            Ok(_) => self.shared.succeeded(),
            Err(error) => self.shared.failed(&self.network, error),
        }
        read
    }

    /// Sets `key` to `value` for `lifetime`, some time soon; `lost` is called if that fails.
    ///
    /// # Errors
    /// It is not even tried.
    pub fn set(
        &self,
        key: &[u8],
        value: &[u8],
        lifetime: Duration,
        lost: Lost,
    ) -> Result<(), RedisError> {
        if !self.is_there() {
            return Err(RedisError::Away);
        }
        let lifetime = lifetime.as_millis().to_string();
        let bytes = encode(&[b"SET", key, value, b"PX", lifetime.as_bytes()]);
        if let Network::Simulated(world) = &*self.network {
            return match world.raw_tcp(self.shared.options.to, &bytes) {
                Some((_, reply)) if reply.starts_with(b"+") => Ok(()),
                _ => Err(RedisError::Network(io::ErrorKind::ConnectionRefused.into())),
            };
        }
        let Some(octets) = Octets::take(&self.shared, bytes.len()) else {
            return Err(RedisError::Busy);
        };
        let write = Write { lost: Some(lost), _octets: octets };
        self.writes.submit(&self.network, &self.shared, bytes, Waiting::Write(write))
    }
}

impl Shared {
    fn succeeded(&self) {
        // Read first: this is written once, and read for each query.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    #[cold]
    fn failed(self: &Arc<Self>, network: &Arc<Network>, error: &RedisError) {
        // Each query of those that wait may fail for itself, but not with this.
        if matches!(error, RedisError::Busy | RedisError::Away) {
            return;
        }
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES {
            self.leave(network, error);
        }
    }

    /// Leaves it alone from now on.
    #[cold]
    fn leave(self: &Arc<Self>, network: &Arc<Network>, error: &RedisError) {
        if self.away.swap(true, Ordering::Relaxed) {
            return;
        }
        self.epoch.fetch_add(1, Ordering::Relaxed);
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let relapse = pace.back.is_some_and(|back| back.elapsed() < RELAPSE);
        pace.pause = if relapse { (pace.pause * 2).min(RELAPSE) } else { PAUSE };
        drop(pace);
        (self.options.tell)(Some(error));
        probe(network, self);
    }

    fn back(&self) {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).back = Some(Instant::now());
        self.failures.store(0, Ordering::Relaxed);
        self.away.store(false, Ordering::Relaxed);
        (self.options.tell)(None);
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let connecting = stream::connect_tcp(self.options.to);
        timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(late()))
    }
}

fn encode(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    resp::command(parts, &mut bytes);
    bytes
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

fn odd() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not a Redis reply")
}

fn refused(said: &[u8]) -> RedisError {
    RedisError::Refused(String::from_utf8_lossy(said).into_owned())
}

async fn simulated(
    world: &dyn Simulated,
    to: SocketAddr,
    bytes: &[u8],
    limit: Duration,
) -> Result<Value, RedisError> {
    let Some((delay, reply)) = world.raw_tcp(to, bytes) else {
        return Err(RedisError::Network(io::ErrorKind::ConnectionRefused.into()));
    };
    tokio::time::sleep(delay.min(limit)).await;
    if delay > limit {
        return Err(RedisError::Network(late()));
    }
    match resp::reply(&reply) {
        Ok(Some((value, _))) => Ok(value),
        _ => Err(RedisError::Network(odd())),
    }
}

// --- whether it is back

/// Starts the task that looks whether it is back, unless there is one.
#[cold]
fn probe(network: &Arc<Network>, shared: &Arc<Shared>) {
    if shared.probing.load(Ordering::Relaxed) {
        return;
    }
    // A caller outside any runtime cannot start it; the next one will.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if shared.probing.swap(true, Ordering::Relaxed) {
        return;
    }
    let probing = Probing(Arc::downgrade(shared));
    runtime.spawn(look(Arc::clone(network), probing));
}

/// The task's mark; gone with it, however it ends.
struct Probing(Weak<Shared>);

impl Drop for Probing {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.probing.store(false, Ordering::Relaxed);
        }
    }
}

async fn look(network: Arc<Network>, probing: Probing) {
    let Some(shared) = probing.0.upgrade() else { return };
    let mut pause = shared.pace.lock().unwrap_or_else(PoisonError::into_inner).pause;
    drop(shared);
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE.max(pause));
        // Whoever needed it is gone.
        let Some(shared) = probing.0.upgrade() else { return };
        if ping(&network, &shared).await.is_ok() {
            shared.back();
            return;
        }
    }
}

/// Whether it answers, over a connection of its own, within the time of a lookup.
async fn ping(network: &Network, shared: &Shared) -> Result<(), RedisError> {
    let bytes = encode(&[b"PING"]);
    let limit = shared.options.timeout;
    let said = match network {
        Network::Simulated(world) => simulated(&**world, shared.options.to, &bytes, limit).await?,
        Network::Os => {
            let mut stream = shared.dial().await.map_err(RedisError::Network)?;
            let asked = async {
                stream.write_all(&bytes).await?;
                let mut read = Vec::new();
                loop {
                    if stream.read_buf(&mut read).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    if let Some((value, _)) = resp::reply(&read).map_err(|_| odd())? {
                        return Ok(value);
                    }
                }
            };
            let asked = timeout(limit, asked).await.unwrap_or_else(|_| Err(late()));
            asked.map_err(RedisError::Network)?
        }
    };
    match said {
        Value::Error(said) => Err(refused(&said)),
        Value::Status(_) | Value::Integer(_) | Value::Bulk(_) | Value::Null => Ok(()),
    }
}

// --- connections

/// A connection, or none as long as it is not needed.
struct Line {
    room: usize,
    queue: Mutex<Option<Queue>>,
}

struct Queue {
    commands: mpsc::Sender<Command>,
    epoch: usize,
}

/// A command on its way.
struct Command {
    bytes: Vec<u8>,
    waiting: Waiting,
}

/// Who waits for its reply.
enum Waiting {
    Lookup(oneshot::Sender<Value>),
    Write(Write),
}

/// A write that is not done yet; dropped, it is lost.
struct Write {
    lost: Option<Lost>,
    _octets: Octets,
}

impl Drop for Write {
    fn drop(&mut self) {
        if let Some(lost) = self.lost.take() {
            lost();
        }
    }
}

/// Some of the octets that writes may take while they wait.
struct Octets(Arc<Shared>, usize);

impl Octets {
    fn take(shared: &Arc<Shared>, count: usize) -> Option<Self> {
        let taken = Self(Arc::clone(shared), count);
        (shared.octets.fetch_add(count, Ordering::Relaxed) + count <= WRITE_OCTETS).then_some(taken)
    }
}

impl Drop for Octets {
    fn drop(&mut self) {
        self.0.octets.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Line {
    fn new(room: usize) -> Self {
        Self { room, queue: Mutex::new(None) }
    }

    fn submit(
        &self,
        network: &Arc<Network>,
        shared: &Arc<Shared>,
        bytes: Vec<u8>,
        waiting: Waiting,
    ) -> Result<(), RedisError> {
        let mut command = Command { bytes, waiting };
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = shared.epoch.load(Ordering::Relaxed);
        if let Some(open) = queue.as_ref().filter(|queue| queue.epoch == epoch) {
            match open.commands.try_send(command) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(mut refused)) => {
                    refused.waiting.forget();
                    return Err(RedisError::Busy);
                }
                Err(mpsc::error::TrySendError::Closed(again)) => command = again,
            }
        }
        let (commands, receiver) = mpsc::channel(self.room);
        // There is room in a queue that nobody knows yet.
        let _ = commands.try_send(command);
        *queue = Some(Queue { commands, epoch });
        drop(queue);
        tokio::spawn(run(Arc::clone(network), Arc::clone(shared), receiver, self.room));
        Ok(())
    }
}

impl Waiting {
    /// The caller is told otherwise.
    fn forget(&mut self) {
        if let Self::Write(write) = self {
            write.lost = None;
        }
    }

    fn done(self, value: Value) {
        match self {
            // Nobody there any more: the reply came too late.
            Self::Lookup(sender) => drop(sender.send(value)),
            Self::Write(mut write) => {
                if matches!(value, Value::Status(_)) {
                    write.lost = None;
                }
            }
        }
    }
}

/// The task of a connection: ends with it, or when nobody has commands for it any more.
async fn run(
    network: Arc<Network>,
    shared: Arc<Shared>,
    mut commands: mpsc::Receiver<Command>,
    room: usize,
) {
    match shared.dial().await {
        Err(error) => shared.leave(&network, &RedisError::Network(error)),
        Ok(stream) => {
            let mut pending = VecDeque::new();
            let ended = converse(stream, &mut commands, &mut pending, room).await;
            // An end that nobody notices is none: Redis may close what is idle.
            if let Err(error) = ended
                && !pending.is_empty()
            {
                shared.failed(&network, &RedisError::Network(error));
            }
        }
    }
}

/// Sends commands and hands out replies, which come in the same order.
async fn converse(
    mut stream: TcpStream,
    commands: &mut mpsc::Receiver<Command>,
    pending: &mut VecDeque<(Waiting, Instant)>,
    room: usize,
) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let (mut unsent, mut sent) = (Vec::new(), 0);
    let mut read = Vec::new();
    let mut open = true;
    loop {
        if !open && pending.is_empty() {
            return Ok(());
        }
        let stalled = pending.front().map(|(_, since)| *since + STALL);
        tokio::select! {
            command = commands.recv(), if open && pending.len() < room && unsent.len() < UNSENT => {
                match command {
                    Some(Command { bytes, waiting }) => {
                        unsent.extend_from_slice(&bytes);
                        pending.push_back((waiting, Instant::now()));
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
                hand_out(&mut read, pending)?;
            }
            () = tokio::time::sleep_until(stalled.unwrap_or_else(Instant::now)), if stalled.is_some() => {
                return Err(late());
            }
        }
    }
}

/// Gives all whole replies in `read` to who waits for them.
fn hand_out(read: &mut Vec<u8>, pending: &mut VecDeque<(Waiting, Instant)>) -> io::Result<()> {
    let mut at = 0;
    while let Some((value, length)) = resp::reply(&read[at..]).map_err(|_| odd())? {
        at += length;
        let (waiting, _) = pending.pop_front().ok_or_else(odd)?;
        waiting.done(value);
    }
    read.drain(..at);
    Ok(())
}
