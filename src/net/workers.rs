//! The workers: one thread per core, each with a runtime of its own.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::handler::Handler;
use crate::listener::{ListenSpec, Listener};
use crate::room::Room;
use crate::stats::{Counters, Stats, StatsSnapshot};
use crate::tcp::Connections;

/// After how many task turns the runtime looks for socket events even though tasks are ready. A
/// turn of a saturated UDP socket is a batch of 64: this bounds how long TCP and timers wait for
/// it to some hundred microseconds, for one system call in 512 queries.
const EVENT_INTERVAL: u32 = 8;

/// How much a worker takes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Waiting queries per worker.
    pub waiting: usize,
    /// Open TCP connections per worker.
    pub tcp_connections: usize,
    /// Unanswered queries per TCP connection.
    pub tcp_pipeline: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { waiting: 16_384, tcp_connections: 5_000, tcp_pipeline: 128 }
    }
}

/// What the sockets of one worker share.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) connections: Connections,
    waiting: AtomicUsize,
    /// Below [`Limits::waiting`] and [`Limits::tcp_connections`] where memory is short.
    pub(crate) max_waiting: AtomicUsize,
    pub(crate) max_connections: AtomicUsize,
    /// How many connections there are descriptors for.
    pub(crate) descriptors: AtomicUsize,
}

impl Worker {
    fn new(index: usize, limits: Limits) -> Self {
        Self {
            index,
            limits,
            counters: Counters::default(),
            connections: Connections::default(),
            waiting: AtomicUsize::new(0),
            max_waiting: AtomicUsize::new(limits.waiting),
            max_connections: AtomicUsize::new(limits.tcp_connections),
            descriptors: AtomicUsize::new(usize::MAX),
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes a place among the waiting queries, if there is one. Only the worker's own thread
    /// takes places.
    pub(crate) fn enter_waiting(&self) -> bool {
        let waiting = self.waiting();
        let room = waiting < self.max_waiting.load(Ordering::Relaxed);
        if room {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        } else if waiting < self.limits.waiting {
            self.counters.memory_refused.add(1);
        }
        room
    }

    /// TCP connections that may be open now.
    pub(crate) fn max_connections(&self) -> usize {
        let descriptors = self.descriptors.load(Ordering::Relaxed);
        self.max_connections.load(Ordering::Relaxed).min(descriptors)
    }

    pub(crate) fn leave_waiting(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The worker whose thread this is, if it is one's.
pub fn current_worker() -> Option<usize> {
    CURRENT.get()
}

/// Where to run what belongs to one worker, its connections for instance.
#[derive(Clone)]
pub struct Runtimes(Arc<[Handle]>);

impl Runtimes {
    /// How many workers there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Runs `task` on the thread of `worker`, counted round and round.
    pub fn spawn(&self, worker: usize, task: impl Future<Output = ()> + Send + 'static) {
        self.0[worker % self.0.len()].spawn(task);
    }
}

struct Thread {
    runtime: Handle,
    stop: oneshot::Sender<Duration>,
    thread: JoinHandle<()>,
}

/// The threads that answer.
pub struct Workers {
    threads: Vec<Thread>,
    stats: Stats,
    /// Sockets given to workers so far.
    given: AtomicUsize,
}

impl Workers {
    /// Starts `count` workers (at least one).
    pub fn start(count: usize, limits: Limits) -> io::Result<Self> {
        let workers: Arc<[Arc<Worker>]> =
            (0..count.max(1)).map(|index| Arc::new(Worker::new(index, limits))).collect();
        let threads =
            workers.iter().map(|worker| start_thread(worker.index)).collect::<Result<_, _>>()?;
        Ok(Self { threads, stats: Stats { workers }, given: AtomicUsize::new(0) })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// The runtime of worker `n`, counted round and round.
    pub fn handle(&self, n: usize) -> &Handle {
        &self.threads[n % self.threads.len()].runtime
    }

    /// The runtimes of all, for those who have no listeners to open.
    pub fn runtimes(&self) -> Runtimes {
        Runtimes(self.threads.iter().map(|thread| thread.runtime.clone()).collect())
    }

    pub(crate) fn worker(&self, n: usize) -> &Arc<Worker> {
        &self.stats.workers[n % self.stats.workers.len()]
    }

    /// The first of the next `count` workers to give a socket to: listeners that have fewer sockets
    /// than there are workers do not all begin with the same one.
    pub(crate) fn turn(&self, count: usize) -> usize {
        self.given.fetch_add(count, Ordering::Relaxed) % self.threads.len()
    }

    /// Binds on every worker, then starts to answer: all or nothing.
    pub fn listen(&self, spec: &ListenSpec, handler: Arc<dyn Handler>) -> io::Result<Listener> {
        Listener::open(self, spec, &handler)
    }

    /// What the sockets counted, summed over all workers.
    pub fn stats(&self) -> StatsSnapshot {
        self.stats.snapshot()
    }

    /// A handle to the bounds that outlives this value.
    pub fn room(&self) -> Room {
        Room { workers: Arc::clone(&self.stats.workers) }
    }

    /// A handle to the counters that outlives this value.
    pub fn stats_handle(&self) -> Stats {
        self.stats.clone()
    }

    /// Ends the workers: tasks that are still there have `grace` to finish.
    pub fn shutdown(self, grace: Duration) {
        let threads: Vec<_> = self
            .threads
            .into_iter()
            .map(|Thread { stop, thread, .. }| {
                // A worker that is gone already needs no telling.
                let _ = stop.send(grace);
                thread
            })
            .collect();
        for thread in threads {
            // A worker that panicked is as ended as one that returned.
            let _ = thread.join();
        }
    }
}

fn start_thread(index: usize) -> io::Result<Thread> {
    let (stop, stopped) = oneshot::channel::<Duration>();
    let (ready, started) = mpsc::channel();
    let thread =
        std::thread::Builder::new().name(format!("catena-worker-{index}")).spawn(move || {
            CURRENT.set(Some(index));
            let _memory = sys::cache_freed_memory();
            let runtime = match Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .build()
            {
                Ok(runtime) => runtime,
                Err(error) => {
                    // Nobody listens only if the caller is gone.
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let _ = ready.send(Ok(runtime.handle().clone()));
            runtime.block_on(async {
                let grace = stopped.await.unwrap_or_default();
                let end = tokio::time::Instant::now() + grace;
                let metrics = Handle::current().metrics();
                while metrics.num_alive_tasks() > 0 && tokio::time::Instant::now() < end {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
        })?;
    let runtime = started
        .recv()
        .map_err(|_| io::Error::other("the worker thread ended before it started"))??;
    Ok(Thread { runtime, stop, thread })
}

/// Whether an address stands for all addresses of this host.
pub(crate) fn is_wildcard(addr: SocketAddr) -> bool {
    addr.ip().is_unspecified()
}
