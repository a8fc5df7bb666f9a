//! Bounds on transfers that are in flight, for the whole process.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The transfers of several messages that are in flight. All server blocks share it, over reloads.
#[derive(Default)]
pub(super) struct Running(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    all: usize,
    /// Only peers with a transfer: not more than there are transfers.
    peers: HashMap<IpAddr, usize>,
}

/// A transfer that is in flight until this is dropped.
pub(super) struct Slot {
    running: Arc<Running>,
    peer: IpAddr,
}

impl Running {
    /// Counts one more transfer, unless as many as `most` are in flight, or `most_of_peer` to this peer.
    pub(super) fn begin(
        self: &Arc<Self>,
        peer: IpAddr,
        most: usize,
        most_of_peer: usize,
    ) -> Option<Slot> {
        let peer = peer.to_canonical();
        let mut counts = self.lock();
        let of_peer = counts.peers.get(&peer).copied().unwrap_or(0);
        if counts.all >= most || of_peer >= most_of_peer {
            return None;
        }
        counts.all += 1;
        counts.peers.insert(peer, of_peer + 1);
        Some(Slot { running: Arc::clone(self), peer })
    }

    /// How many are in flight.
    pub(super) fn count(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.running.lock();
        counts.all -= 1;
        if let Some(count) = counts.peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_and_all_are_bounded_and_slots_come_back() {
        let running = Arc::new(Running::default());
        let [a, b, c] = [1, 2, 3].map(|last| IpAddr::from([192, 0, 2, last]));
        let begin = |peer| running.begin(peer, 3, 2);
        let first = begin(a).unwrap();
        let second = begin(a).unwrap();
        assert!(begin(a).is_none(), "two of one peer");
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert!(begin(mapped).is_none(), "the same peer");
        let third = begin(b).unwrap();
        assert!(begin(c).is_none(), "three in all");
        drop(first);
        let fourth = begin(c).unwrap();
        assert_eq!(running.count(), 3);
        drop((second, third, fourth));
        assert_eq!(running.count(), 0);
        assert!(running.lock().peers.is_empty());
    }
}
