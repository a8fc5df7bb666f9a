//! The bound on sockets to all upstreams of the process.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::descriptors;

/// A pool has so many, however many pools there are, unless descriptors are scarce.
pub(super) const LEAST_PORTS: usize = 16;
/// Sockets to all upstreams of the process, those of pools with no more than the least aside.
const ALL_PORTS: usize = 16_384;

/// The place of one socket among all that the process has to upstreams.
pub(super) struct Descriptor;

/// How many there are.
static OPEN: AtomicUsize = AtomicUsize::new(0);

impl Descriptor {
    /// A place, if there is one for a pool that has so many already. The rest of what the process may
    /// open is for others: listeners, clients, connections to upstreams, files.
    pub(super) fn take(had: usize) -> Option<Self> {
        // Connections to upstreams need the rest of their share.
        let most = descriptors::for_upstreams() / 3 * 2;
        // A pool that is late gets some all the same, but not where there are hardly any.
        let least = LEAST_PORTS.min(most / 4).max(1);
        let place =
            (OPEN.load(Ordering::Relaxed) < most.min(ALL_PORTS) || had < least).then_some(Self)?;
        OPEN.fetch_add(1, Ordering::Relaxed);
        Some(place)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}
