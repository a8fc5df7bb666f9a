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

pub(crate) use follow::{Follower, Looker};

/// All that goes on for one group.
pub(crate) struct Tending {
    pub(crate) roster: Arc<Roster>,
    pub(crate) network: Arc<Network>,
    /// Where connections are opened ahead of the first query.
    pub(crate) runtimes: Option<Arc<Runtimes>>,
    /// Whether upstreams are checked.
    pub(crate) checks: bool,
}

/// Runs until the configuration is replaced.
pub(crate) async fn tend(tending: Tending, follower: Follower, lookers: Vec<Looker>) {
    let follower = Arc::new(follower);
    // Ends with this task.
    let mut tasks = JoinSet::new();
    for looker in lookers {
        tasks.spawn(Arc::clone(&follower).follow(looker));
    }
    let mut watched: Vec<(Arc<Upstream>, Option<AbortHandle>)> = Vec::new();
    loop {
        let now = tending.roster.now();
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
            if let Some(runtimes) = &tending.runtimes {
                upstream.warm(runtimes);
            }
            let (one, network) = (Arc::clone(upstream), Arc::clone(&tending.network));
            let watch =
                tending.checks.then(|| tasks.spawn(check::watch(one, network, *check_every)));
            watched.push((Arc::clone(upstream), watch));
        }
        drop(now);
        tending.roster.changed.notified().await;
        // Those that were ended are let go of.
        while tasks.try_join_next().is_some() {}
    }
}
