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
use crate::locate::{Found, Site};

/// One upstream as one group asks it; what is known of the upstream may be shared with others.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) upstream: Arc<Upstream>,
    /// How many queries it gets, compared with others.
    pub(crate) weight: u32,
    /// How long it may take.
    pub(crate) read_timeout: Duration,
    /// Over TCP, however the client asked.
    pub(crate) force_tcp: bool,
    /// Over UDP, however the client asked.
    pub(crate) prefer_udp: bool,
    /// Between two health checks.
    pub(crate) check_every: Duration,
}

/// All upstreams, by what makes one the same, while somebody asks them. Goes from one configuration to
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

/// Who is asked now, and why.
pub(crate) struct Roster {
    now: ArcSwap<Box<[Member]>>,
    sites: Mutex<Vec<Site>>,
    registry: Arc<Registry>,
    workers: usize,
    config: Config,
    /// The list is another one.
    pub(crate) changed: Notify,
}

impl Roster {
    /// The upstreams at these sites.
    ///
    /// Errors: one of them cannot be queried in its configured way.
    pub(crate) fn new(
        config: &Config,
        sites: Vec<Site>,
        registry: Arc<Registry>,
        workers: usize,
    ) -> Result<Self, String> {
        let roster = Self {
            now: ArcSwap::from_pointee(Box::default()),
            sites: Mutex::default(),
            registry,
            workers,
            config: config.clone(),
            changed: Notify::new(),
        };
        let (members, problems) = roster.members(&sites);
        if let Some(problem) = problems.into_iter().next() {
            return Err(problem);
        }
        roster.now.store(Arc::new(members));
        *roster.sites() = sites;
        Ok(roster)
    }

    /// The current upstreams.
    #[inline]
    pub(crate) fn now(&self) -> Arc<Box<[Member]>> {
        self.now.load_full()
    }

    /// The longest timeout of any of them.
    pub(crate) fn longest(&self) -> Duration {
        let sites = self.sites();
        sites.iter().map(|site| site.place.each.read_timeout).max().unwrap_or_default()
    }

    /// Calls a function for each current address.
    pub(crate) fn each(&self, mut look: impl FnMut(&Site, Found)) {
        for site in self.sites().iter() {
            site.found().for_each(|found| look(site, found));
        }
    }

    /// Sets new addresses of a site. `true`: they differ from the old ones.
    pub(crate) fn moved(&self, index: usize, addresses: Vec<SocketAddr>) -> bool {
        let mut sites = self.sites();
        let Some(site) = sites.get_mut(index) else { return false };
        site.problem = None;
        // Resolvers turn the order round; that is no news, and for `sequential` it must not matter.
        let known = |address: &SocketAddr| site.addresses.contains(address);
        if addresses.len() == site.addresses.len() && addresses.iter().all(known) {
            return false;
        }
        // Those that stay keep their places.
        let stays = |address: &&SocketAddr| addresses.contains(address);
        let mut next: Vec<SocketAddr> = site.addresses.iter().filter(stays).copied().collect();
        next.extend(addresses.iter().filter(|address| !known(address)));
        site.addresses = next;
        let (members, problems) = self.members(&sites);
        drop(sites);
        for problem in problems {
            telemetry::warning!("plugin/{}: {problem}", self.config.who.name());
        }
        self.now.store(Arc::new(members));
        self.changed.notify_one();
        true
    }

    /// A site could not be resolved; it keeps its addresses.
    pub(crate) fn lost(&self, index: usize, problem: String) {
        if let Some(site) = self.sites().get_mut(index) {
            site.problem = Some(problem);
        }
    }

    /// The failure when there is no upstream to query.
    pub(crate) fn nobody(&self) -> Failure {
        let sites = self.sites();
        let problem = sites.iter().find_map(|site| site.problem.clone());
        let problem = problem.unwrap_or_else(|| "no upstream has an address".to_owned());
        let text = format!("no upstream has an address yet: {problem}");
        Failure::servfail(problem).extended(ede::NO_REACHABLE_AUTHORITY, text)
    }

    fn sites(&self) -> MutexGuard<'_, Vec<Site>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All addresses of all sites, each once, in the order in which they are written.
    fn members(&self, sites: &[Site]) -> (Box<[Member]>, Vec<String>) {
        let (mut seen, mut members, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for site in sites {
            for found in site.found() {
                if members.len() >= MAX_UPSTREAMS || seen.iter().any(|one: &Found| one.is(&found)) {
                    continue;
                }
                match self.member(site, &found) {
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

    fn member(&self, site: &Site, found: &Found) -> Result<Member, String> {
        let (each, config) = (&site.place.each, &self.config);
        let options = Options {
            source: each.source,
            expire: each.expire,
            max_age: each.max_age,
            max_idle_conns: each.max_idle_conns,
            check_recursion: each.health.recursion,
            check_domain: each.health.domain.clone(),
            check_tcp: each.force_tcp,
            over: site.speaker.over(found)?,
            breaker: config.breaker.clone(),
            percentile: config.hedge.map(|hedge| hedge.percentile),
            who: config.who,
        };
        Ok(Member {
            upstream: self.registry.upstream(found.address, options, self.workers),
            weight: each.weight,
            read_timeout: each.read_timeout,
            force_tcp: each.force_tcp,
            prefer_udp: each.prefer_udp,
            check_every: each.health.interval,
        })
    }
}
