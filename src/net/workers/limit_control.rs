//! Lower limits on waiting queries and connections while memory or descriptors are short.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::worker::Worker;

/// The least limit of a worker, however short memory is.
const LEAST: usize = 64;

/// The adjustable limits of all workers.
#[derive(Clone)]
pub struct LimitControl {
    pub(crate) workers: Arc<[Arc<Worker>]>,
}

/// A limit on waiting queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingLimit {
    /// The number that waits now, plus these.
    More(usize),
    /// Less than the number that waits now.
    Fewer,
}

impl LimitControl {
    /// Sets the limits of the workers: each gets what it uses, and a share of the rest.
    pub fn give(&self, waiting: WaitingLimit, connections: usize) {
        let count = self.workers.len().max(1);
        for worker in self.workers.iter() {
            let now = worker.waiting();
            let limit = match waiting {
                WaitingLimit::More(more) => now + more / count,
                WaitingLimit::Fewer => now - now / 8,
            };
            worker.max_waiting.store(limit.clamp(LEAST, worker.limits.waiting), Ordering::Relaxed);
            let limit = (connections / count).clamp(LEAST, worker.limits.tcp_connections);
            worker.max_connections.store(limit, Ordering::Relaxed);
        }
    }

    /// Sets the number of connections for which there are descriptors, over all workers.
    pub fn give_descriptors(&self, connections: usize) {
        let share = (connections / self.workers.len().max(1)).max(1);
        self.workers.iter().for_each(|it| it.descriptors.store(share, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workers::{Limits, Workers};

    #[test]
    fn workers_share_what_there_is() {
        let limits = Limits { waiting: 1000, tcp_connections: 500, tcp_pipeline: 1 };
        let workers = Workers::start(2, limits).unwrap();
        let room = workers.room();
        let worker = workers.worker(0);
        let taken = |count: usize| (0..count).take_while(|_| worker.enter_waiting()).count();
        assert_eq!(taken(400), 400);
        room.give(WaitingLimit::More(200), 300);
        assert_eq!(worker.max_connections.load(Ordering::Relaxed), 150);
        assert_eq!(taken(1000), 100);
        assert_eq!(workers.stats().memory_refused, 1);
        room.give(WaitingLimit::Fewer, 0);
        assert_eq!(taken(1), 0);
        (0..500).for_each(|_| worker.leave_waiting());
        assert_eq!(taken(1000), 500 - 500 / 8);
        room.give(WaitingLimit::More(usize::MAX / 2), usize::MAX);
        assert_eq!(taken(1000), 1000 - (500 - 500 / 8), "the fixed bound holds");
        assert_eq!(worker.max_connections.load(Ordering::Relaxed), 500);
        assert_eq!(workers.stats().memory_refused, 3);
        room.give_descriptors(30);
        assert_eq!(worker.max_connections(), 15);
        room.give(WaitingLimit::More(0), 0);
        assert_eq!(worker.max_connections(), 15, "memory allows for more, descriptors do not");
        workers.shutdown(std::time::Duration::ZERO);
    }
}
