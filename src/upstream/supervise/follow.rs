//! Follows the hosts and files of a group: hosts are resolved again when their TTL is over, and files
//! are read again when they change.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use files::versions::Versions;
use files::watch::PollSchedule;
use net::random;

use crate::config::Owner;
use crate::locate::resolv::{self, Servers};
use crate::locate::{Host, KnownHosts, Resolver};
use crate::roster::Roster;

/// The shortest time between two lookups of a host, whatever its TTL,
const FLOOR: Duration = Duration::from_secs(5);
/// and the longest.
const CEILING: Duration = Duration::from_secs(300);
/// The time after the first failed lookup; it doubles with each failure,
const BACK_OFF: Duration = Duration::from_secs(1);
/// up to this time.
const BACK_OFF_MOST: Duration = Duration::from_secs(60);
/// How often files are polled where the kernel sends no notices of changes.
const LOOK: Duration = Duration::from_secs(30);

/// A destination whose addresses may change.
pub(crate) enum Watch {
    /// Its host is resolved again.
    Host { destination: usize, host: Host, port: u16, fresh: Duration, resolver: Resolver },
    /// Its file is read again.
    File { destination: usize, path: PathBuf, schedule: PollSchedule },
}

/// Puts new addresses into the roster of a group.
pub(crate) struct Follower {
    pub(crate) owner: &'static Owner,
    pub(crate) roster: Arc<Roster>,
    pub(crate) known: Arc<KnownHosts>,
}

impl Follower {
    /// Follows one destination until the configuration is replaced.
    pub(super) async fn follow(self: Arc<Self>, watch: Watch) {
        match watch {
            Watch::Host { destination, host, port, fresh, resolver } => {
                self.follow_host(destination, &host, port, fresh, &resolver).await;
            }
            Watch::File { destination, path, schedule } => {
                self.follow_file(destination, path, schedule).await
            }
        }
    }

    /// Resolves a host again whenever its TTL is over.
    async fn follow_host(
        &self,
        destination: usize,
        host: &Host,
        port: u16,
        fresh: Duration,
        resolver: &Resolver,
    ) {
        let plugin = self.owner.name;
        // Zero: the host is unknown, or known from the previous configuration only.
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
                    if self.roster.update(destination, addresses) {
                        telemetry::info!("plugin/{plugin}: {} now resolves to {shown}", host.text);
                    }
                }
                Err(error) => {
                    back_off = (back_off * 2).min(BACK_OFF_MOST);
                    wait = back_off;
                    let problem = format!("failed to resolve `{}`: {error}", host.text);
                    telemetry::warning!(
                        "plugin/{plugin}: {problem}: trying again in {}s",
                        wait.as_secs()
                    );
                    self.roster.unresolved(destination, problem);
                }
            }
        }
    }

    /// Reads a file whenever it may have changed.
    async fn follow_file(&self, destination: usize, path: PathBuf, mut schedule: PollSchedule) {
        let plugin = self.owner.name;
        let mut told = false;
        // The file is read again at once: it may have changed since set-up.
        let mut seen = Versions::default();
        loop {
            schedule.next(LOOK).await;
            let (file, before) = (path.clone(), seen.clone());
            let read = tokio::task::spawn_blocking(move || {
                if before.are_current() {
                    return None;
                }
                // The version is taken first: a change while the file is read makes another version.
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
                        telemetry::warning!("plugin/{plugin}: {}: {problem}", path.display());
                    }
                    let shown = show(&addresses);
                    if self.roster.update(destination, addresses) {
                        telemetry::info!(
                            "plugin/{plugin}: upstreams of {}: {shown}",
                            path.display()
                        );
                    }
                    continue;
                }
                Err(error) => error.to_string(),
            };
            // Reported once, and not at each poll.
            if !std::mem::replace(&mut told, true) {
                let path = path.display();
                telemetry::warning!(
                    "plugin/{plugin}: {path}: {problem}; the previous upstreams stay in use"
                );
            }
        }
    }
}

fn show(addresses: &[SocketAddr]) -> String {
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    shown.join(", ")
}

/// A little less, so that servers with the same record do not query at the same moment.
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
