//! The upstreams of a group: their current addresses, and how this group queries each of them.
//!
//! Hosts move and files change while the server runs. The list is swapped as a whole: a query that
//! has begun keeps its list. An upstream that stays is the same object, with everything known about
//! it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use wire::Failure;
use wire::edns::ede;

use super::upstream::{Options, Upstream};
use crate::config::{Config, MAX_UPSTREAMS};
use crate::locate::{Destination, Endpoint};

/// One upstream as one group queries it. Other groups may share the upstream itself.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) upstream: Arc<Upstream>,
    /// Its share of the queries, compared with others.
    pub(crate) weight: u32,
    /// The time to wait for a reply.
    pub(crate) read_timeout: Duration,
    /// Always TCP, whatever the client's transport.
    pub(crate) force_tcp: bool,
    /// UDP first, whatever the client's transport.
    pub(crate) prefer_udp: bool,
    /// Between two health checks.
    pub(crate) check_every: Duration,
}

/// All upstreams in use, by their identity. It is carried over from one configuration to
/// the next.
#[derive(Default)]
pub(crate) struct Registry {
    upstreams: Mutex<HashMap<String, Weak<Upstream>>>,
}

impl Registry {
    fn upstream(&self, address: SocketAddr, options: Options, workers: usize) -> Arc<Upstream> {
        let key = format!("{address} {workers} {options:?}");
        let mut all = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let upstream = Arc::new(Upstream::new(address, options, workers));
        all.retain(|_, one| one.strong_count() > 0);
        all.insert(key, Arc::downgrade(&upstream));
        upstream
    }
}

/// The current upstreams of a group, and the destinations that they come from.
pub(crate) struct Roster {
    now: ArcSwap<Box<[Member]>>,
    destinations: Mutex<Vec<Destination>>,
    registry: Arc<Registry>,
    workers: usize,
    config: Config,
    /// The list has changed.
    pub(crate) changed: Notify,
}

impl Roster {
    /// The upstreams at these destinations.
    ///
    /// Errors: one of them cannot be queried in its configured way.
    pub(crate) fn new(
        config: &Config,
        destinations: Vec<Destination>,
        registry: Arc<Registry>,
        workers: usize,
    ) -> Result<Self, String> {
        let roster = Self {
            now: ArcSwap::from_pointee(Box::default()),
            destinations: Mutex::default(),
            registry,
            workers,
            config: config.clone(),
            changed: Notify::new(),
        };
        let (members, problems) = roster.members(&destinations);
        if let Some(problem) = problems.into_iter().next() {
            return Err(problem);
        }
        roster.now.store(Arc::new(members));
        *roster.destinations() = destinations;
        Ok(roster)
    }

    /// The current upstreams.
    #[inline]
    pub(crate) fn now(&self) -> Arc<Box<[Member]>> {
        self.now.load_full()
    }

    /// The longest timeout of any of them.
    pub(crate) fn longest_timeout(&self) -> Duration {
        let destinations = self.destinations();
        destinations
            .iter()
            .map(|destination| destination.place.options.read_timeout)
            .max()
            .unwrap_or_default()
    }

    /// Calls a function for each current address.
    pub(crate) fn each(&self, mut look: impl FnMut(&Destination, Endpoint)) {
        for destination in self.destinations().iter() {
            destination.found().for_each(|found| look(destination, found));
        }
    }

    /// Sets new addresses of a destination. `true`: they differ from the old ones.
    pub(crate) fn update(&self, index: usize, addresses: Vec<SocketAddr>) -> bool {
        let mut destinations = self.destinations();
        let Some(destination) = destinations.get_mut(index) else { return false };
        destination.problem = None;
        // Resolvers rotate the order; that is no change, and must not affect `sequential`.
        let known = |address: &SocketAddr| destination.addresses.contains(address);
        if addresses.len() == destination.addresses.len() && addresses.iter().all(known) {
            return false;
        }
        // Addresses that stay keep their places.
        let stays = |address: &&SocketAddr| addresses.contains(address);
        let mut next: Vec<SocketAddr> =
            destination.addresses.iter().filter(stays).copied().collect();
        next.extend(addresses.iter().filter(|address| !known(address)));
        destination.addresses = next;
        let (members, problems) = self.members(&destinations);
        drop(destinations);
        for problem in problems {
            telemetry::warning!("plugin/{}: {problem}", self.config.owner.name);
        }
        self.now.store(Arc::new(members));
        self.changed.notify_one();
        true
    }

    /// A destination could not be resolved; it keeps its addresses.
    pub(crate) fn unresolved(&self, index: usize, problem: String) {
        if let Some(destination) = self.destinations().get_mut(index) {
            destination.problem = Some(problem);
        }
    }

    /// The failure when there is no upstream to query.
    pub(crate) fn no_upstream(&self) -> Failure {
        let destinations = self.destinations();
        let problem = destinations.iter().find_map(|destination| destination.problem.clone());
        let problem = problem.unwrap_or_else(|| "no upstream has an address".to_owned());
        let text = format!("no upstream has an address yet: {problem}");
        Failure::unresolved(problem).extended(ede::NO_REACHABLE_AUTHORITY, text)
    }

    fn destinations(&self) -> MutexGuard<'_, Vec<Destination>> {
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All addresses of all destinations, each once, in the order in which they are written.
    fn members(&self, destinations: &[Destination]) -> (Box<[Member]>, Vec<String>) {
        let (mut seen, mut members, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for destination in destinations {
            for found in destination.found() {
                if members.len() >= MAX_UPSTREAMS
                    || seen.iter().any(|one: &Endpoint| one.is(&found))
                {
                    continue;
                }
                match self.member(destination, &found) {
                    Ok(member) => {
                        members.push(member);
                        seen.push(found);
                    }
                    Err(why) => {
                        problems.push(format!("cannot use TLS with {}: {why}", found.address));
                    }
                }
            }
        }
        (members.into(), problems)
    }

    fn member(&self, destination: &Destination, found: &Endpoint) -> Result<Member, String> {
        let (own, config) = (&destination.place.options, &self.config);
        let options = Options {
            source: own.source,
            expire: own.expire,
            max_age: own.max_age,
            max_idle_conns: own.max_idle_conns,
            check_recursion: own.health.recursion,
            check_domain: own.health.domain.clone(),
            check_tcp: own.force_tcp,
            over: destination.dialer.over(found)?,
            breaker: config.breaker.clone(),
            percentile: config.hedge.map(|hedge| hedge.percentile),
            owner: config.owner,
        };
        Ok(Member {
            upstream: self.registry.upstream(found.address, options, self.workers),
            weight: own.weight,
            read_timeout: own.read_timeout,
            force_tcp: own.force_tcp,
            prefer_udp: own.prefer_udp,
            check_every: own.health.interval,
        })
    }
}
