//! The kinds of metrics: counters, gauges and histograms, and numbers that are read at each scrape.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cells::{Cells, Worker};

/// A number that only grows.
#[derive(Clone, Debug)]
pub struct Counter(pub(super) Cells);

impl Counter {
    /// Adds one.
    #[inline]
    pub fn inc(&self, worker: Worker) {
        self.0.add(worker, 0, 1);
    }

    /// Adds `n`.
    pub fn add(&self, worker: Worker, n: u64) {
        self.0.add(worker, 0, n);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.sum(0)
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Whether it is the same gauge.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The value.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// A distribution over fixed buckets.
#[derive(Clone, Debug)]
pub struct Histogram {
    cells: Cells,
    bounds: &'static [f64],
    /// The value of one unit of an observation: 1e-9 for nanoseconds.
    scale: f64,
    /// The bounds in units.
    units: Arc<[u64]>,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64], scale: f64) -> Self {
        let units = bounds.iter().map(|bound| (bound / scale).round() as u64).collect();
        // Buckets, the one above the last bound, and the sum.
        Self { cells: Cells::new(bounds.len() + 2), bounds, scale, units }
    }

    /// Counts one observation, in units of the histogram's scale.
    #[inline]
    pub fn observe(&self, worker: Worker, units: u64) {
        let bucket = self.units.iter().position(|&bound| units <= bound);
        self.cells.add(worker, bucket.unwrap_or(self.units.len()), 1);
        self.cells.add(worker, self.units.len() + 1, units);
    }

    /// The number of observations.
    pub fn count(&self) -> u64 {
        (0..=self.units.len()).map(|bucket| self.cells.sum(bucket)).sum()
    }

    /// The observations in each bucket alone, and their sum.
    pub(super) fn value(&self) -> Value {
        let counts = (0..=self.bounds.len()).map(|index| self.cells.sum(index)).collect();
        let sum = self.cells.sum(self.bounds.len() + 1) as f64 * self.scale;
        Value::Histogram { bounds: self.bounds, counts, sum }
    }
}

/// Buckets in seconds as CoreDNS times requests: 0.25 ms doubling fifteen times.
pub const TIME_BUCKETS: &[f64] = &[
    0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024,
    2.048, 4.096, 8.192,
];

/// Buckets in bytes as CoreDNS sizes messages.
pub const SIZE_BUCKETS: &[f64] = &[
    0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0, 16000.0, 32000.0,
    48000.0, 64000.0,
];

/// A number that is read at each scrape.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number that only grows.
    Counter(f64),
    /// A number that goes up and down.
    Gauge(f64),
    /// A distribution.
    Histogram {
        /// Upper bounds of the buckets.
        bounds: &'static [f64],
        /// Observations in each bucket alone, and above the last bound: one more than bounds.
        counts: Vec<u64>,
        /// The sum of all observations.
        sum: f64,
    },
}

/// One series of a [`source`].
#[derive(Clone, Debug)]
pub struct Sample {
    /// A value for each label.
    pub labels: Vec<String>,
    /// The number.
    pub value: Value,
}

/// The kinds of family a [`source`] may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Of [`Value::Counter`].
    Counter,
    /// Of [`Value::Gauge`].
    Gauge,
    /// Of [`Value::Histogram`].
    Histogram,
}
