//! Metrics: counted by each worker in cache lines of its own, and summed when they are scraped.
//!
//! Families live as long as the process and are found by name, so counting continues across reloads.
//! The code that counts holds a [`Counter`], a [`Gauge`] or a [`Histogram`]; a [`source`] reads numbers
//! that are kept elsewhere.

mod cells;
mod kinds;
mod registry;
mod text;

pub use cells::{Cells, SHARED, Shard, Worker, set_workers};
pub use kinds::{Counter, Gauge, Histogram, SIZE_BUCKETS, Sample, TIME_BUCKETS, Type, Value};
pub use registry::{
    counter, forget, forget_gauge, gauge, gauge_fn, histogram, own_gauge, source, text,
};
