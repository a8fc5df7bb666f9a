//! Whether Redis answers: suspends it after failures, and probes it until it answers again.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use net::client::{Network, Simulated};
use net::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::error::{RedisError, not_a_reply, timed_out};
use crate::resp::{self, Value};

/// How long connecting may take. A lookup does not wait longer for it than for its reply.
const CONNECT: Duration = Duration::from_millis(200);
/// Failed lookups in a row that suspend Redis. A connection that cannot be opened suspends it at once.
const FAILURES: u32 = 3;
/// The pause before the first probe, and the longest pause between two probes.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A Redis that fails again within this time is suspended twice as long as before, at most this long.
const RELAPSE: Duration = Duration::from_secs(10);

/// Called with the reason when Redis is suspended, and with `None` when it answers again.
pub type OnHealth = Arc<dyn Fn(Option<&RedisError>) + Send + Sync>;

/// The options of a client.
#[derive(Clone)]
pub struct RedisOptions {
    /// The address of Redis.
    pub to: SocketAddr,
    /// How long a lookup may take.
    pub timeout: Duration,
    /// The number of workers, each of which has a connection of its own.
    pub workers: usize,
    /// Receives changes of the health.
    pub on_health: OnHealth,
}

/// The health of one Redis, shared by all its connections.
pub(crate) struct Health {
    pub(crate) network: Arc<Network>,
    pub(crate) options: RedisOptions,
    /// Failed lookups in a row.
    failures: AtomicU32,
    suspended: AtomicBool,
    /// Whether a task probes.
    probing: AtomicBool,
    pace: Mutex<Pace>,
    /// Number of suspensions: connections from before the last one are not used again.
    epoch: AtomicUsize,
}

/// The length of a suspension.
struct Pace {
    pause: Duration,
    /// When the last suspension ended.
    resumed: Option<Instant>,
}

impl Health {
    pub(crate) fn new(network: Arc<Network>, options: RedisOptions) -> Self {
        Self {
            network,
            options,
            failures: AtomicU32::new(0),
            suspended: AtomicBool::new(false),
            probing: AtomicBool::new(false),
            pace: Mutex::new(Pace { pause: PAUSE, resumed: None }),
            epoch: AtomicUsize::new(0),
        }
    }

    /// Whether commands are sent. If not, a probe is running or is started.
    #[inline]
    pub(crate) fn is_available(self: &Arc<Self>) -> bool {
        let suspended = self.suspended.load(Ordering::Relaxed);
        if suspended {
            self.probe();
        }
        !suspended
    }

    pub(crate) fn epoch(&self) -> usize {
        self.epoch.load(Ordering::Relaxed)
    }

    pub(crate) fn note_success(&self) {
        // Read first: this is written once, and read for each query.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    #[cold]
    pub(crate) fn note_failure(self: &Arc<Self>, error: &RedisError) {
        // These two are bounds of ours and no failures of Redis.
        if matches!(error, RedisError::Busy | RedisError::Suspended) {
            return;
        }
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES {
            self.suspend(error);
        }
    }

    /// Sends no more commands until a probe succeeds.
    #[cold]
    pub(crate) fn suspend(self: &Arc<Self>, error: &RedisError) {
        if self.suspended.swap(true, Ordering::Relaxed) {
            return;
        }
        self.epoch.fetch_add(1, Ordering::Relaxed);
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let relapse = pace.resumed.is_some_and(|resumed| resumed.elapsed() < RELAPSE);
        pace.pause = if relapse { (pace.pause * 2).min(RELAPSE) } else { PAUSE };
        drop(pace);
        (self.options.on_health)(Some(error));
        self.probe();
    }

    fn resume(&self) {
        let resumed = Some(Instant::now());
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).resumed = resumed;
        self.failures.store(0, Ordering::Relaxed);
        self.suspended.store(false, Ordering::Relaxed);
        (self.options.on_health)(None);
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        let connecting = stream::connect_tcp(self.options.to);
        timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// Starts the task that probes, unless it runs.
    #[cold]
    fn probe(self: &Arc<Self>) {
        if self.probing.load(Ordering::Relaxed) {
            return;
        }
        // A caller outside any runtime cannot start it; the next one will.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.probing.swap(true, Ordering::Relaxed) {
            return;
        }
        runtime.spawn(probe_until_up(Probing(Arc::downgrade(self))));
    }

    /// Sends PING over a connection of its own and waits as long as a lookup would.
    async fn ping(&self) -> Result<(), RedisError> {
        let bytes = resp::encode(&[b"PING"]);
        let limit = self.options.timeout;
        let value = match &*self.network {
            Network::Simulated(world) => {
                simulated(&**world, self.options.to, &bytes, limit).await?
            }
            Network::Os => {
                let mut stream = self.connect().await.map_err(RedisError::Network)?;
                let answer = async {
                    stream.write_all(&bytes).await?;
                    let mut read = Vec::new();
                    loop {
                        if stream.read_buf(&mut read).await? == 0 {
                            return Err(io::ErrorKind::UnexpectedEof.into());
                        }
                        if let Some((value, _)) = resp::reply(&read).map_err(|_| not_a_reply())? {
                            return Ok(value);
                        }
                    }
                };
                let answer = timeout(limit, answer).await.unwrap_or_else(|_| Err(timed_out()));
                answer.map_err(RedisError::Network)?
            }
        };
        match value {
            Value::Error(message) => Err(RedisError::refused(&message)),
            Value::Status(_) | Value::Integer(_) | Value::Bulk(_) | Value::Null => Ok(()),
        }
    }
}

/// The probing task's mark, cleared when the task ends, however it ends.
struct Probing(Weak<Health>);

impl Drop for Probing {
    fn drop(&mut self) {
        if let Some(health) = self.0.upgrade() {
            health.probing.store(false, Ordering::Relaxed);
        }
    }
}

async fn probe_until_up(probing: Probing) {
    let Some(health) = probing.0.upgrade() else { return };
    let mut pause = health.pace.lock().unwrap_or_else(PoisonError::into_inner).pause;
    drop(health);
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE.max(pause));
        // Without a client nothing needs the result.
        let Some(health) = probing.0.upgrade() else { return };
        if health.ping().await.is_ok() {
            health.resume();
            return;
        }
    }
}

/// The reply of a simulated Redis.
pub(crate) async fn simulated(
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
        return Err(RedisError::Network(timed_out()));
    }
    match resp::reply(&reply) {
        Ok(Some((value, _))) => Ok(value),
        _ => Err(RedisError::Network(not_a_reply())),
    }
}
