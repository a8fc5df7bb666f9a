//! Background work: failed upstreams are checked, hosts are resolved again when their TTL is over, and
//! files are read again when they change.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use files::versions::Versions;
use files::watch::Looks;
use net::client::Network;
use net::{Runtimes, random};
use tokio::task::{AbortHandle, JoinSet};

use super::config::Who;
use super::health;
use super::lookup::{Host, Resolver};
use super::members::{Member, Registry, Roster};
use super::target::{self, Servers};
use super::upstream::Upstream;

/// Hosts are not looked up more often than that, whatever their TTL says,
const FLOOR: Duration = Duration::from_secs(5);
/// nor less often.
const CEILING: Duration = Duration::from_secs(300);
/// After a lookup that failed, doubled each time
const BACK_OFF: Duration = Duration::from_secs(1);
/// up to this.
const BACK_OFF_MOST: Duration = Duration::from_secs(60);
/// How often files are looked at, where nobody tells that they change.
const LOOK: Duration = Duration::from_secs(30);

/// Somebody who looks whether a site is elsewhere.
pub(crate) enum Looker {
    /// Looks its host up.
    Host { site: usize, host: Host, port: u16, fresh: Duration, resolver: Resolver },
    /// Reads its file.
    File { site: usize, path: PathBuf, looks: Looks },
}

/// All that goes on for one group.
pub(crate) struct Tending {
    pub(crate) who: Who,
    pub(crate) roster: Arc<Roster>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) network: Arc<Network>,
    /// Where connections are opened ahead of the first query.
    pub(crate) runtimes: Option<Arc<Runtimes>>,
    /// Whether upstreams are checked.
    pub(crate) checks: bool,
}

/// Runs until the configuration is replaced.
pub(crate) async fn tend(tending: Tending, lookers: Vec<Looker>) {
    let tending = Arc::new(tending);
    // Ends with this task.
    let mut tasks = JoinSet::new();
    for looker in lookers {
        tasks.spawn(look(Arc::clone(&tending), looker));
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
                tending.checks.then(|| tasks.spawn(health::watch(one, network, *check_every)));
            watched.push((Arc::clone(upstream), watch));
        }
        drop(now);
        tending.roster.changed.notified().await;
        // Those that were ended are let go of.
        while tasks.try_join_next().is_some() {}
    }
}

async fn look(tending: Arc<Tending>, looker: Looker) {
    match looker {
        Looker::Host { site, host, port, fresh, resolver } => {
            follow_host(&tending, site, &host, port, fresh, &resolver).await;
        }
        Looker::File { site, path, looks } => follow_file(&tending, site, path, looks).await,
    }
}

/// Looks a host up whenever what is known of it is over.
async fn follow_host(
    tending: &Tending,
    site: usize,
    host: &Host,
    port: u16,
    fresh: Duration,
    resolver: &Resolver,
) {
    let who = tending.who.name();
    // Nothing is known, or from the configuration before.
    let mut wait = if fresh.is_zero() { BACK_OFF } else { fresh.clamp(FLOOR, CEILING) };
    let mut back_off = BACK_OFF;
    loop {
        tokio::time::sleep(spread(wait)).await;
        match resolver.lookup(host).await {
            Ok(found) => {
                back_off = BACK_OFF;
                wait = found.ttl.clamp(FLOOR, CEILING);
                tending.registry.remember(resolver, host, &found.ips);
                let addresses: Vec<SocketAddr> =
                    found.ips.iter().map(|&ip| SocketAddr::new(ip, port)).collect();
                let shown = show(&addresses);
                if tending.roster.moved(site, addresses) {
                    telemetry::info!("plugin/{who}: {} now resolves to {shown}", host.text);
                }
            }
            Err(error) => {
                back_off = (back_off * 2).min(BACK_OFF_MOST);
                wait = back_off;
                let problem = format!("failed to resolve `{}`: {error}", host.text);
                telemetry::warning!("plugin/{who}: {problem}: trying again in {}s", wait.as_secs());
                tending.roster.lost(site, problem);
            }
        }
    }
}

/// Reads a file whenever it may have changed.
async fn follow_file(tending: &Tending, site: usize, path: PathBuf, mut looks: Looks) {
    let who = tending.who.name();
    let mut told = false;
    // What was read at set-up is read once more, in case it changed since.
    let mut seen = Versions::default();
    loop {
        looks.next(LOOK).await;
        let (file, before) = (path.clone(), seen.clone());
        let read = tokio::task::spawn_blocking(move || {
            if before.are_current() {
                return None;
            }
            // The version is looked at first: a change while reading is another one.
            Some((Versions::of(&file), target::read(&file)))
        });
        let Ok(Some((version, read))) = read.await else { continue };
        seen = version;
        let problem = match read {
            Ok(servers) if servers.addresses.is_empty() => "it has no `nameserver` line".to_owned(),
            Ok(Servers { addresses, problems }) => {
                told = false;
                for problem in problems {
                    telemetry::warning!("plugin/{who}: {}: {problem}", path.display());
                }
                let shown = show(&addresses);
                if tending.roster.moved(site, addresses) {
                    telemetry::info!("plugin/{who}: upstreams of {}: {shown}", path.display());
                }
                continue;
            }
            Err(error) => error.to_string(),
        };
        // Once, and not at each look.
        if !std::mem::replace(&mut told, true) {
            let path = path.display();
            telemetry::warning!(
                "plugin/{who}: {path}: {problem}; the previous upstreams stay in use"
            );
        }
    }
}

fn show(addresses: &[SocketAddr]) -> String {
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    shown.join(", ")
}

/// A little less, so that not all who know the same ask at the same moment.
fn spread(wait: Duration) -> Duration {
    let [byte] = random::bytes().unwrap_or([0]);
    wait - wait / 10 * u32::from(byte) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_by_a_tenth() {
        let wait = Duration::from_secs(100);
        let all: Vec<Duration> = (0..200).map(|_| spread(wait)).collect();
        assert!(all.iter().all(|one| (Duration::from_secs(90)..=wait).contains(one)));
        assert!(all.iter().any(|one| *one < Duration::from_secs(94)));
        assert!(all.iter().any(|one| *one > Duration::from_secs(96)));
    }
}
