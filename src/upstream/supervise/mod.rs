//! Background work: failed upstreams are checked, hosts are resolved again when their TTL is over, and
//! files are read again when they change.
//!
//! It must never know: clients, the order in which upstreams are asked, nor what their answers mean.

mod check;
mod follow;

use std::sync::Arc;

use net::Runtimes;
use net::client::Network;
use tokio::task::{AbortHandle, JoinSet};

use crate::roster::{Member, Roster, Upstream};

pub(crate) use follow::{Follower, Watch};

/// The background work of one group.
pub(crate) struct Supervisor {
    pub(crate) roster: Arc<Roster>,
    pub(crate) network: Arc<Network>,
    /// Where connections are opened ahead of the first query.
    pub(crate) runtimes: Option<Arc<Runtimes>>,
    /// Whether upstreams are checked.
    pub(crate) checks: bool,
}

/// Runs until the configuration is replaced.
pub(crate) async fn supervise(supervisor: Supervisor, follower: Follower, watches: Vec<Watch>) {
    let follower = Arc::new(follower);
    // Ends with this task.
    let mut tasks = JoinSet::new();
    for watch in watches {
        tasks.spawn(Arc::clone(&follower).follow(watch));
    }
    let mut watched: Vec<(Arc<Upstream>, Option<AbortHandle>)> = Vec::new();
    loop {
        let now = supervisor.roster.now();
        let is_there = |one: &Arc<Upstream>| now.iter().any(|now| Arc::ptr_eq(&now.upstream, one));
        watched.retain(|(one, watch)| {
            let stays = is_there(one);
            if let (false, Some(watch)) = (stays, watch) {
                watch.abort();
            }
            stays
        });
        for Member { upstream, check_every, .. } in now.iter() {
            if watched.iter().any(|(one, _)| Arc::ptr_eq(one, upstream)) {
                continue;
            }
            if let Some(runtimes) = &supervisor.runtimes {
                upstream.warm(runtimes);
            }
            let (one, network) = (Arc::clone(upstream), Arc::clone(&supervisor.network));
            let watch =
                supervisor.checks.then(|| tasks.spawn(check::watch(one, network, *check_every)));
            watched.push((Arc::clone(upstream), watch));
        }
        drop(now);
        supervisor.roster.changed.notified().await;
        // Releases the tasks that have ended.
        while tasks.try_join_next().is_some() {}
    }
}
