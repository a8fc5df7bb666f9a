//! The workers: one thread per core, each with a runtime of its own.

mod connections;
mod counters;
mod limit_control;
mod signal;
mod stats;
mod worker;

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub use counters::StatsSnapshot;
pub use limit_control::{LimitControl, WaitingLimit};
pub use stats::Stats;
pub use worker::Limits;
pub(crate) use worker::Worker;
pub(crate) use {connections::OpenConnection, counters::Counters, signal::Signal};

/// Task turns after which the runtime polls the sockets even if tasks are ready. A turn of a saturated
/// UDP socket is a batch of 64. TCP and timers therefore wait some hundred microseconds at most, for one
/// system call in 512 queries.
const EVENT_INTERVAL: u32 = 8;

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The worker of the current thread, if it is a worker's.
pub fn current_worker() -> Option<usize> {
    CURRENT.get()
}

/// The runtimes of the workers, for tasks that belong to one worker.
#[derive(Clone)]
pub struct Runtimes(Arc<[Handle]>);

impl Runtimes {
    /// How many workers there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Runs `task` on the thread of `worker`, modulo their number.
    pub fn spawn(&self, worker: usize, task: impl Future<Output = ()> + Send + 'static) {
        self.0[worker % self.0.len()].spawn(task);
    }
}

struct Thread {
    runtime: Handle,
    stop: oneshot::Sender<Duration>,
    thread: JoinHandle<()>,
}

/// The threads that answer queries.
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

    /// The runtime of worker `n`, modulo their number.
    pub fn handle(&self, n: usize) -> &Handle {
        &self.threads[n % self.threads.len()].runtime
    }

    /// The runtimes of all workers.
    pub fn runtimes(&self) -> Runtimes {
        Runtimes(self.threads.iter().map(|thread| thread.runtime.clone()).collect())
    }

    pub(crate) fn worker(&self, n: usize) -> &Arc<Worker> {
        &self.stats.workers[n % self.stats.workers.len()]
    }

    /// The first worker of the next `count` that get a socket. Listeners with fewer sockets than workers
    /// start at different workers.
    pub(crate) fn turn(&self, count: usize) -> usize {
        self.given.fetch_add(count, Ordering::Relaxed) % self.threads.len()
    }

    /// The counters, summed over all workers.
    pub fn stats(&self) -> StatsSnapshot {
        self.stats.snapshot()
    }

    /// A handle to the limits that outlives this value.
    pub fn room(&self) -> LimitControl {
        LimitControl { workers: Arc::clone(&self.stats.workers) }
    }

    /// A handle to the counters that outlives this value.
    pub fn stats_handle(&self) -> Stats {
        self.stats.clone()
    }

    /// Ends the workers. Running tasks have `grace` to finish.
    pub fn shutdown(self, grace: Duration) {
        let threads: Vec<_> = self
            .threads
            .into_iter()
            .map(|Thread { stop, thread, .. }| {
                // A worker that has ended has dropped its receiver.
                let _ = stop.send(grace);
                thread
            })
            .collect();
        for thread in threads {
            // A worker that panicked has ended, too.
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
                    // The receiver exists unless the caller has panicked.
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
