//! Numbers with one cell for each worker, in cache lines of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The shard to count in: the number of a worker, or [`SHARED`] on any other thread.
pub type Worker = usize;

/// The shard for everything that is not a worker's own thread.
pub const SHARED: Worker = usize::MAX;

/// As many numbers as one cache line holds.
#[repr(align(64))]
#[derive(Debug, Default)]
struct Line([AtomicU64; LINE]);

const LINE: usize = 8;

/// A group of numbers counted together: one contiguous stretch of memory per worker.
///
/// A clone shares the numbers.
#[derive(Clone, Debug)]
pub struct Cells {
    lines: Arc<[Line]>,
    /// Lines of one worker.
    stride: usize,
}

impl Cells {
    /// `len` numbers for each of the workers.
    pub fn new(len: usize) -> Self {
        // An even number of lines: processors fetch lines in pairs, and workers must not share a pair.
        let stride = len.div_ceil(LINE).next_multiple_of(2);
        // The last shard is SHARED.
        let lines = (0..(workers() + 1) * stride).map(|_| Line::default()).collect();
        Self { lines, stride }
    }

    /// Adds `n` to number `index`.
    #[inline]
    pub fn add(&self, worker: Worker, index: usize, n: u64) {
        self.shard(worker).add(index, n);
    }

    /// The numbers of one worker, to add to several at once.
    #[inline]
    pub fn shard(&self, worker: Worker) -> Shard<'_> {
        let others = self.lines.len() - self.stride;
        let start = worker.saturating_mul(self.stride);
        let shared = start >= others;
        let start = if shared { others } else { start };
        Shard { lines: &self.lines[start..start + self.stride], shared }
    }

    /// Prefetches the first `lines` cache lines of a worker's numbers, eight in each.
    #[inline]
    pub fn prefetch(&self, worker: Worker, lines: usize) {
        for line in self.shard(worker).lines.iter().take(lines) {
            wire::prefetch::fetch(line);
        }
    }

    /// The sum of number `index` over all workers.
    pub fn sum(&self, index: usize) -> u64 {
        self.lines
            .chunks_exact(self.stride)
            .map(|shard| shard[index / LINE].0[index % LINE].load(Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }
}

/// One worker's numbers of a [`Cells`].
#[derive(Clone, Copy, Debug)]
pub struct Shard<'a> {
    lines: &'a [Line],
    shared: bool,
}

impl Shard<'_> {
    /// Adds `n` to number `index`.
    #[inline]
    pub fn add(&self, index: usize, n: u64) {
        let cell = &self.lines[index / LINE].0[index % LINE];
        if self.shared {
            cell.fetch_add(n, Ordering::Relaxed);
        } else {
            // The worker's thread is the only writer, so load and store need not be one operation.
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
        }
    }
}

/// Sets the number of workers, once for the process. Workers beyond the number that was known when the first
/// metric was registered would count in the shared shard, one cache line for all of them.
pub fn set_workers(count: usize) {
    let _ = WORKERS.set(count);
    debug_assert!(
        workers() >= count,
        "a metric was registered before the number of workers was set"
    );
}

fn workers() -> usize {
    *WORKERS.get_or_init(|| 1)
}

static WORKERS: OnceLock<usize> = OnceLock::new();
