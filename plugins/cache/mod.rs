//! *cache*: answers again what the rest of the chain answered before.
//!
//! A hit is answered on the listener's thread: one look into a table, no allocation, no lock taken
//! for writing. A miss asks the chain once, however many clients wait for the same answer.
//!
//! It never stores a query's EDNS options, truncated replies, transfers or notifications, and never
//! takes two questions for the same because their hashes are.

mod admin;
mod ask;
mod classify;
mod config;
mod counts;
mod entry;
mod flight;
mod snapshot;
mod store;
mod subnet;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use chain::memory::Memory;
use chain::{
    Batch, BoxFuture, Clock, Kind, Next, Peers, Query, Reply, Roles, ServeDns, Served, Setup, Step,
};
use corefile::{Diagnostic, Diagnostics, Directive};
use wire::edns::{ede, option};
use wire::{Moment, Opcode, Rcode};

use ask::{Handed, Outcome, cached_failure};
use config::{Config, Stale};
use counts::Counts;
use entry::{Entry, Key};
use flight::Flights;
use store::{Found, Shared, Store};

/// The `cache` directive.
pub static PLUGIN: Kind =
    Kind { name: "cache", doc: include_str!("README.md"), once: true, answers: false, setup };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let zones = setup.zones();
    for directive in uses {
        let config = Config::parse(directive, &zones, setup.warnings())?;
        // The first argument may be a TTL.
        let ttl = directive.args.first().is_some_and(|word| word.as_str().parse::<u64>().is_ok());
        setup.warn_outside(&directive.args[usize::from(ttl)..]);
        let cache = Cache::new(config, setup)?;
        setup.link(cache);
    }
    Ok(())
}

/// The plugin.
struct Cache {
    config: Config,
    store: Arc<Store>,
    flights: Arc<Flights<Outcome>>,
    /// One for each key of the block.
    counts: Box<[Counts]>,
    clock: Clock,
    peers: Peers,
    handed: wire::Slot<Handed>,
    background: Arc<AtomicUsize>,
}

impl Cache {
    fn new(config: Config, setup: &mut Setup<'_>) -> Result<Self, Diagnostic> {
        let memory = || setup.service::<Memory>();
        let shared = kept(setup, "cache", || Shared::new(memory()));
        let store =
            kept(setup, identity(&config, setup), || Store::new(&shared, &config, setup.view()));
        if let Some(admin) = &config.admin {
            admin::open(admin, &shared, setup)?;
        }
        if let Some(snapshot) = &config.snapshot {
            let identity = identity(&config, setup);
            let key =
                format!("snapshot {:?} of {}", setup.path(&snapshot.file), setup.fingerprint());
            let owner: Arc<String> = kept(setup, key, || identity.clone());
            if *owner != identity {
                return Err(snapshot::taken(snapshot));
            }
            snapshot::keep(snapshot, &config, &store, setup);
        }
        let view = setup.view();
        counts::show_entries(setup.keys(), &config.zones_label, view, &store);
        let servers = setup
            .keys()
            .iter()
            .map(|key| &*key.server)
            .chain(setup.keys().is_empty().then_some(""));
        let counts = servers.map(|server| Counts::new(server, &config.zones_label, view)).collect();
        Ok(Self {
            store,
            flights: Flights::new(flight::MAX_PER_FLIGHT, flight::MAX_WAITING),
            counts,
            clock: setup.clock(),
            peers: setup.peers(),
            handed: setup.slot(),
            background: Arc::default(),
            config,
        })
    }

    /// Whether this question can be answered from a cache. A plugin before this one that changes
    /// the name begins the reply anew; if not, the reply's pointers would be wrong.
    #[inline]
    fn applies(&self, query: &Query, reply: &Reply) -> bool {
        query.opcode() == Opcode::QUERY
            && !query.qtype().is_transfer()
            && reply.question_end() == query.question_end()
            && self.config.zones.contains(query)
    }

    #[inline]
    fn counts(&self, query: &Query) -> &Counts {
        let last = self.counts.len() - 1;
        &self.counts[usize::from(query.key).min(last)]
    }

    /// Answers from an entry within its lifetime.
    #[inline]
    fn tell_fresh(&self, entry: &Entry, query: &mut Query, reply: &mut Reply) -> Served {
        if entry.facts().failure {
            return Err(cached_failure());
        }
        let ttl =
            if self.config.keepttl { entry.lifetime() } else { entry.ttl(query.now).max(0) as u32 };
        entry.write(ttl, query, reply);
        self.tell_scope(entry.subnet(), query, reply);
        Ok(Step::Done)
    }

    /// Answers from an entry past it.
    fn tell_stale(&self, entry: &Entry, stale: Stale, query: &mut Query, reply: &mut Reply) {
        self.counts(query).served_stale.inc(query.worker);
        entry.write(stale.ttl, query, reply);
        self.tell_scope(entry.subnet(), query, reply);
        if query.edns().is_some() {
            let code = match entry.facts().rcode {
                Rcode::NXDOMAIN => ede::STALE_NXDOMAIN,
                _ => ede::STALE_ANSWER,
            };
            reply.opt.push(option::EXTENDED_ERROR, &code.to_be_bytes());
        }
    }

    /// Counts the hit; whether the entry is popular and near its end, and nobody renews it yet.
    #[inline]
    fn wants_prefetch(&self, entry: &Entry, now: Moment) -> bool {
        let Some(prefetch) = self.config.prefetch else {
            return false;
        };
        let hits = entry.hit(prefetch.gap, now);
        let threshold = (u64::from(entry.lifetime()) * u64::from(prefetch.percent)).div_ceil(100);
        hits >= prefetch.amount
            && entry.ttl(now) <= threshold as i64
            && !entry.facts().failure
            && entry.begin_renewal(now)
    }

    /// What to do with an expired entry.
    fn stale_step(
        &self,
        entry: &Entry,
        stale: Stale,
        query: &mut Query,
        reply: &mut Reply,
    ) -> Served {
        if stale.verify.is_some() {
            // Another renewal under way or a recent failure is seen there.
            return Ok(Step::Wait);
        }
        self.tell_stale(entry, stale, query, reply);
        Ok(if entry.begin_renewal(query.now) { Step::Refresh } else { Step::Done })
    }
}

impl ServeDns for Cache {
    fn prefetch(&self, batch: Batch<'_>, _: u8) {
        batch.queries().for_each(|query| self.store.prefetch(&Key::of(query)));
    }

    fn roles(&self) -> Roles<'_> {
        Roles { prefetch_stages: 1, ..Roles::default() }
    }

    #[inline]
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        if !self.applies(query, reply) {
            return Ok(Step::Next);
        }
        let counts = self.counts(query);
        counts.requests.inc(query.worker);
        let news = self.store.news(&Key::of(query));
        match self.find(query) {
            Found::Fresh(half, entry) => {
                counts.hit(half, query);
                let refresh = self.wants_prefetch(&entry, query.now);
                let served = self.tell_fresh(&entry, query, reply);
                if refresh { served.map(|_| Step::Refresh) } else { served }
            }
            Found::Stale(half, entry) => {
                counts.hit(half, query);
                match self.config.stale {
                    Some(stale) => self.stale_step(&entry, stale, query, reply),
                    None => Ok(Step::Wait),
                }
            }
            Found::Nothing => {
                counts.misses.inc(query.worker);
                // Answers for a network lie in parts of their own.
                query.slot(self.handed).nothing_since = self.config.ecs.is_none().then_some(news);
                Ok(Step::Wait)
            }
        }
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            if query.refresh {
                self.renew(query, reply, next).await;
                return Ok(Step::Done);
            }
            self.wait(query, reply, next).await
        })
    }
}

/// What an earlier configuration had under `key`, or something new.
fn kept<T: Send + Sync + 'static>(
    setup: &Setup<'_>,
    key: impl Into<String>,
    make: impl FnOnce() -> T,
) -> Arc<T> {
    match setup.try_keep(key, || Ok::<_, std::convert::Infallible>(make())) {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// What makes a kept store unfit when it changes: who is served from it, and its size. Lifetimes
/// are not in it: a changed TTL option leaves what is cached alone.
fn identity(config: &Config, setup: &Setup<'_>) -> String {
    use std::fmt::Write;
    let mut text = String::from("cache");
    for key in setup.keys() {
        let _ = write!(text, " {}{}:{}", key.server, key.zone, key.port);
    }
    for (kind, word) in setup.audience() {
        let _ = write!(text, " {kind} {word}");
    }
    let capacities = [&config.success, &config.denial].map(|limits| limits.capacity);
    let _ = write!(text, " zones {} capacities {capacities:?}", config.zones_label);
    text
}
