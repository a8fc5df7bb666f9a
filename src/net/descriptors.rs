//! File descriptors: how many the process may have, and who may have how many of them.
//!
//! A client costs a descriptor and so does a socket to an upstream. Without shares the clients take all, and
//! no query can be forwarded any more.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More than this is not asked for: programs that the server starts inherit the limit, and some close every
/// descriptor that they might have.
const ENOUGH: u64 = 1 << 20;
/// Descriptors of a worker: its runtime.
const PER_WORKER: usize = 4;
/// Descriptors of the process itself: standard streams, the main runtime, signals, notices of files, and a
/// few files that are read or written.
const OWN: usize = 16;

/// The share of upstreams; 0 until descriptors are shared out.
static UPSTREAMS: AtomicUsize = AtomicUsize::new(0);

/// The limit before and after it was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What the process was started with.
    pub before: usize,
    /// What it has now.
    pub now: usize,
}

/// Who may have how many descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Connections of TCP clients, over all workers.
    pub clients: usize,
    /// Sockets to upstreams, over all workers.
    pub upstreams: usize,
    /// HTTP clients of the endpoints, all together.
    pub admin: usize,
}

/// Raises the soft limit (RLIMIT_NOFILE) to the hard one, as far as that is of use.
pub fn raise() -> Limit {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        // What POSIX promises at least is not known to be less.
        return Limit { before: 1024, now: 1024 };
    };
    let wanted = hard.min(ENOUGH).max(soft);
    let raised = wanted > soft && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok();
    let count = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    Limit { before: count(soft), now: count(if raised { wanted } else { soft }) }
}

/// Shares out `limit` descriptors, of which `listeners` are sockets that are listened on.
pub fn share_out(limit: usize, workers: usize, listeners: usize) -> Shares {
    let shares = Shares::of(limit, workers, listeners);
    UPSTREAMS.store(shares.upstreams, Ordering::Relaxed);
    shares
}

/// How many descriptors the sockets to upstreams may take, over all workers.
pub fn for_upstreams() -> usize {
    match UPSTREAMS.load(Ordering::Relaxed) {
        // Nobody shared them out, as in tests.
        0 => Shares::of(raise().now, 1, 0).upstreams,
        share => share,
    }
}

/// Whether `error` says that the limit is reached.
pub fn is_limit_reached(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMFILE)
}

impl Shares {
    /// Half of what the server itself does not need is for clients, three eighths are for upstreams.
    fn of(limit: usize, workers: usize, listeners: usize) -> Self {
        let needed = OWN + workers * PER_WORKER + listeners;
        // Where even that is not there, opening the listeners fails, and that is the message.
        let free = limit.saturating_sub(needed).max(limit / 4);
        let clients = (free / 2).max(1);
        let upstreams = (free / 8 * 3).max(1);
        Self { clients, upstreams, admin: free.saturating_sub(clients + upstreams).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fit_the_limit() {
        for limit in [64, 100, 256, 1024, 65_536, 1 << 20] {
            for workers in [1, 2, 4] {
                let shares = Shares::of(limit, workers, 2 * workers);
                let own = OWN + workers * PER_WORKER + 2 * workers;
                let all = shares.clients + shares.upstreams + shares.admin;
                assert!(own + all <= limit, "{limit} {workers} {shares:?}");
                assert!(shares.upstreams * 2 >= shares.clients, "{limit} {workers} {shares:?}");
            }
        }
        assert_eq!(Shares::of(64, 2, 4), Shares { clients: 18, upstreams: 12, admin: 6 });
        let few = Shares::of(8, 4, 8);
        assert!(few.clients > 0 && few.upstreams > 0 && few.admin > 0);
    }

    #[test]
    fn upstreams_have_a_share_before_anything_is_shared_out() {
        assert!(for_upstreams() > 0);
    }
}
