//! The counters of all workers, for readers.

use std::sync::Arc;

use super::counters::StatsSnapshot;
use super::worker::Worker;

/// The counters of all workers.
#[derive(Clone)]
pub struct Stats {
    pub(crate) workers: Arc<[Arc<Worker>]>,
}

impl Stats {
    /// The sums over all workers.
    pub fn snapshot(&self) -> StatsSnapshot {
        let mut sum = StatsSnapshot::default();
        self.workers.iter().for_each(|worker| add(&mut sum, worker));
        sum
    }

    /// The counters of worker `n`.
    pub fn worker(&self, n: usize) -> Option<StatsSnapshot> {
        let mut own = StatsSnapshot::default();
        add(&mut own, self.workers.get(n)?);
        Some(own)
    }
}

fn add(sum: &mut StatsSnapshot, worker: &Worker) {
    sum.add(&worker.counters, &worker.sessions);
    sum.waiting += worker.waiting() as u64;
    sum.tcp_open += worker.connections.len() as u64;
}
