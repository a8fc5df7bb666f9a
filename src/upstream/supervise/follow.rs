//! Follows the hosts and files of a group: hosts are resolved again when their TTL is over, and files
//! are read again when they change.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use files::versions::Versions;
use files::watch::PollSchedule;
use net::random;

use crate::config::Who;
use crate::locate::resolv::{self, Servers};
use crate::locate::{Host, KnownHosts, Resolver};
use crate::roster::Roster;

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
    File { site: usize, path: PathBuf, schedule: PollSchedule },
}

/// Puts new addresses into the roster of a group.
pub(crate) struct Follower {
    pub(crate) who: Who,
    pub(crate) roster: Arc<Roster>,
    pub(crate) known: Arc<KnownHosts>,
}

impl Follower {
    /// Follows one site until the configuration is replaced.
    pub(super) async fn follow(self: Arc<Self>, looker: Looker) {
        match looker {
            Looker::Host { site, host, port, fresh, resolver } => {
                self.follow_host(site, &host, port, fresh, &resolver).await;
            }
            Looker::File { site, path, schedule } => self.follow_file(site, path, schedule).await,
        }
    }

    /// Looks a host up whenever what is known of it is over.
    async fn follow_host(
        &self,
        site: usize,
        host: &Host,
        port: u16,
        fresh: Duration,
        resolver: &Resolver,
    ) {
        let who = self.who.name();
        // Nothing is known, or from the configuration before.
        let mut wait = if fresh.is_zero() { BACK_OFF } else { fresh.clamp(FLOOR, CEILING) };
        let mut back_off = BACK_OFF;
        loop {
            tokio::time::sleep(spread(wait)).await;
            match resolver.lookup(host).await {
                Ok(found) => {
                    back_off = BACK_OFF;
                    wait = found.ttl.clamp(FLOOR, CEILING);
                    self.known.remember(resolver, host, &found.ips);
                    let addresses: Vec<SocketAddr> =
                        found.ips.iter().map(|&ip| SocketAddr::new(ip, port)).collect();
                    let shown = show(&addresses);
                    if self.roster.moved(site, addresses) {
                        telemetry::info!("plugin/{who}: {} now resolves to {shown}", host.text);
                    }
                }
                Err(error) => {
                    back_off = (back_off * 2).min(BACK_OFF_MOST);
                    wait = back_off;
                    let problem = format!("failed to resolve `{}`: {error}", host.text);
                    telemetry::warning!(
                        "plugin/{who}: {problem}: trying again in {}s",
                        wait.as_secs()
                    );
                    self.roster.lost(site, problem);
                }
            }
        }
    }

    /// Reads a file whenever it may have changed.
    async fn follow_file(&self, site: usize, path: PathBuf, mut schedule: PollSchedule) {
        let who = self.who.name();
        let mut told = false;
        // What was read at set-up is read once more, in case it changed since.
        let mut seen = Versions::default();
        loop {
            schedule.next(LOOK).await;
            let (file, before) = (path.clone(), seen.clone());
            let read = tokio::task::spawn_blocking(move || {
                if before.are_current() {
                    return None;
                }
                // The version is looked at first: a change while reading is another one.
                Some((Versions::of(&file), resolv::read(&file)))
            });
            let Ok(Some((version, read))) = read.await else { continue };
            seen = version;
            let problem = match read {
                Ok(servers) if servers.addresses.is_empty() => {
                    "it has no `nameserver` line".to_owned()
                }
                Ok(Servers { addresses, problems }) => {
                    told = false;
                    for problem in problems {
                        telemetry::warning!("plugin/{who}: {}: {problem}", path.display());
                    }
                    let shown = show(&addresses);
                    if self.roster.moved(site, addresses) {
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
