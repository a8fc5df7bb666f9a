//! The link of a chain that answers from zones in memory.

use std::sync::{Arc, OnceLock};

use chain::{
    Batch, BoxFuture, ChainRef, Failure, Fallthrough, Next, OnNotify, OnUpdate, Query, Ready,
    Reply, Resolver, Roles, Sees, ServeDns, Served, ServesZones, Setup, Step, ZoneSet,
};
use wire::name::NameBuf;
use wire::{Class, Rcode, Section, SuffixMap};
use zone::live::PREFETCH_STAGES;
use zone::{Live, LiveSet, Outcome, Zone};

use crate::follower::Follower;
use crate::metrics;
use crate::roster::{Group, Roster};
use crate::zones::{Changing, Fixed, Zones};

/// What a plugin does for the zones that it keeps, beside keeping them current.
pub trait Keeper: Send + Sync + 'static {
    /// Whether no zone is missing: see [`ServesZones::is_complete`].
    fn is_complete(&self) -> bool {
        true
    }

    /// Delays the readiness of the server.
    fn ready(&self) -> Option<&dyn Ready> {
        None
    }

    /// Takes NOTIFY messages for a name in one of the zones (RFC 1996).
    fn notify(&self) -> Option<&dyn TakesMessages> {
        None
    }

    /// Takes UPDATE messages for a name in one of the zones (RFC 2136).
    fn update(&self) -> Option<&dyn TakesMessages> {
        None
    }
}

/// A keeper of zones that need nothing.
impl Keeper for () {}

/// Takes messages for a zone, which are not questions.
pub trait TakesMessages: Send + Sync {
    /// Takes a message whose name is in `zone`, and perhaps below its apex. May do I/O.
    ///
    /// Errors: a [`Failure`] becomes the reply.
    fn take<'a>(
        &'a self,
        zone: Arc<Live>,
        query: &'a mut Query,
        reply: &'a mut Reply,
    ) -> BoxFuture<'a, Served>;
}

/// The keeper of zones that have no primary server, by the name of its plugin: their notifications are dropped,
/// as in CoreDNS.
pub struct NoPrimary(pub &'static str);

impl Keeper for NoPrimary {
    fn notify(&self) -> Option<&dyn TakesMessages> {
        Some(self)
    }
}

impl TakesMessages for NoPrimary {
    fn take<'a>(
        &'a self,
        zone: Arc<Live>,
        query: &'a mut Query,
        _: &'a mut Reply,
    ) -> BoxFuture<'a, Served> {
        let (plugin, from) = (self.0, query.client.peer.ip());
        telemetry::info!("plugin/{plugin}: Dropping notify from {from} for {}", zone.origin());
        Box::pin(async { Ok(Step::Drop) })
    }
}

/// How zones answer.
#[derive(Default)]
pub struct Options {
    /// Whether a query for a name that does not exist is passed on.
    pub fallthrough: Fallthrough,
    /// What becomes of a query for a name in none of the zones.
    pub outside: Outside,
    /// Zones whose apex has no records but generated ones: for `fallthrough`, it is a name that does not
    /// exist.
    pub stand_ins: ZoneSet,
}

/// What becomes of a query for a name in none of the zones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outside {
    /// It is passed on.
    #[default]
    PassOn,
    /// It is passed on, or refused if no plugin follows: as in CoreDNS, such a server is authoritative only,
    /// and answers that it is not authoritative for the name.
    RefuseIfLast,
}

/// The link of a chain that answers from zones in memory: all zones of one plugin in one server block.
///
/// The usual query reads one cache line of it.
#[repr(C, align(64))]
pub struct Authority<Z, K = ()> {
    zones: Z,
    /// Whether a plugin reads metadata.
    collects_metadata: bool,
    /// Whether there are stand-ins.
    has_stand_ins: bool,
    fallthrough: Fallthrough,
    resolver: Resolver,
    stand_ins: ZoneSet,
    outside: Outside,
    chain_ref: ChainRef,
    /// Whether no plugin follows in the chain. Set once the chain is complete.
    is_last: OnceLock<bool>,
    plugin: &'static str,
    set: Arc<LiveSet>,
    keeper: K,
    /// Is told of new versions as long as this lives.
    _follower: Arc<Follower>,
    /// Is listed as long as this lives.
    _group: Arc<Group>,
}

const _: () = assert!(std::mem::offset_of!(Authority<Fixed>, fallthrough) <= 64);

impl<K: Keeper> Authority<Fixed, K> {
    /// An authority over zones that are part of the configuration. They become zones of this server's own;
    /// of two with the same name, the first is found.
    pub fn fixed(
        zones: Vec<Arc<Live>>,
        options: Options,
        keeper: K,
        setup: &mut Setup<'_>,
    ) -> Self {
        setup.owns(zones.iter().map(|zone| zone.origin()));
        if options.fallthrough == Fallthrough::NEVER {
            setup.ends(zones.iter().map(|zone| zone.origin().clone()));
        }
        let set = Arc::new(LiveSet::new(zones.clone()));
        Self::new(Fixed(SuffixMap::new(zones)), set, options, keeper, setup)
    }
}

impl<K: Keeper> Authority<Changing, K> {
    /// An authority over zones that come and go. Those that `set` has are zones of this server's own.
    pub fn changing(set: Arc<LiveSet>, options: Options, keeper: K, setup: &mut Setup<'_>) -> Self {
        setup.own_zones().add_set(Arc::clone(&set));
        Self::new(Changing(Arc::clone(&set)), set, options, keeper, setup)
    }
}

impl<Z: Zones, K: Keeper> Authority<Z, K> {
    fn new(zones: Z, set: Arc<LiveSet>, options: Options, keeper: K, setup: &Setup<'_>) -> Self {
        let group = Group::new(setup.plugin(), setup.view(), &set, setup.clock());
        Roster::of(setup).add(&group);
        metrics::declare();
        Self {
            zones,
            collects_metadata: setup.has_metadata(),
            has_stand_ins: !options.stand_ins.is_empty(),
            fallthrough: options.fallthrough,
            resolver: setup.resolver(),
            stand_ins: options.stand_ins,
            outside: options.outside,
            chain_ref: setup.chain_ref(),
            is_last: OnceLock::new(),
            plugin: setup.plugin(),
            keeper,
            _follower: Follower::follow(&set, setup.own_zones()),
            _group: group,
            set,
        }
    }
}

impl<Z: Zones, K: Keeper> ServeDns for Authority<Z, K> {
    fn prefetch(&self, batch: Batch<'_>, stage: u8) {
        self.zones.with(|zones| {
            if let Some(only) = zones.only() {
                // A useless hint for a query of another zone costs less than a check.
                return only.prefetch(stage, batch.queries().map(|query| &**query));
            }
            for query in batch.queries() {
                if let Some((zone, _)) = zones.find(query) {
                    zone.prefetch(stage, std::iter::once(&**query));
                }
            }
        });
    }

    #[inline]
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        self.zones.with(|zones| {
            let Some((live, label)) = zones.find(query) else {
                return self.outside_zones();
            };
            if query.qtype().is_transfer() || query.qclass() != Class::IN {
                return refuse();
            }
            if self.has_stand_ins && label == 0 && self.passes_apex(query) {
                return Ok(Step::Next);
            }
            let guard = live.zone();
            let Some(zone) = &*guard else {
                return Err(live.failure());
            };
            match zone.answer(query, reply) {
                Outcome::External { target } => self.leave(zone, query, reply, target.as_wire()),
                outcome => self.conclude(zone, &outcome, query, reply),
            }
        })
    }

    fn roles(&self) -> Roles<'_> {
        Roles {
            reads: std::mem::offset_of!(Self, fallthrough),
            prefetch_stages: PREFETCH_STAGES,
            sees: Sees::TRANSFERS,
            zones: Some(self),
            ready: self.keeper.ready(),
            notify: self.keeper.notify().map(|_| self as &dyn OnNotify),
            update: self.keeper.update().map(|_| self as &dyn OnUpdate),
            ..Roles::default()
        }
    }

    /// Called only for aliases that lead to another zone of this server.
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            reply.clear();
            let Some(live) = self.zone_of(query) else {
                return self.outside_zones();
            };
            let Some(zone) = live.zone_to_keep() else {
                return Err(live.failure());
            };
            // A newer version of the zone, with another answer, may have been published meanwhile.
            let step = match zone.answer(query, reply) {
                Outcome::External { target } => {
                    let found = self.resolver.lookup(query, target.as_wire(), query.qtype()).await;
                    match found {
                        Some(found) => zone.complete_alias(query, reply, &found),
                        None => zone.push_authority(query, reply),
                    }
                    self.note_wildcard(&zone, query);
                    Step::Done
                }
                outcome => self.conclude(&zone, &outcome, query, reply)?,
            };
            if step == Step::Next {
                next.run(query, reply).await;
            }
            Ok(Step::Done)
        })
    }
}

impl<Z: Zones, K: Keeper> Authority<Z, K> {
    /// The step after the zone's answer.
    #[inline]
    fn conclude(
        &self,
        zone: &Zone,
        outcome: &Outcome,
        query: &mut Query,
        reply: &mut Reply,
    ) -> Served {
        match outcome {
            Outcome::Answered => self.note_wildcard(zone, query),
            Outcome::NxDomain | Outcome::EmptyNonTerminal => {
                // A chain of aliases without a target is an answer, too.
                if reply.count(Section::Answer) == 0 && self.fallthrough.allows(query) {
                    reply.clear();
                    return Ok(Step::Next);
                }
            }
            Outcome::ServFail(why) => return Err(Failure::servfail(*why)),
            Outcome::Referral | Outcome::NoData | Outcome::External { .. } => {}
        }
        Ok(Step::Done)
    }

    /// The step after an alias out of the zone. It is followed if it leads to a zone of this server.
    #[cold]
    fn leave(&self, zone: &Zone, query: &mut Query, reply: &mut Reply, target: &[u8]) -> Served {
        if Resolver::is_too_deep(query) {
            return Err(Failure::servfail("too many CNAME records lead from zone to zone"));
        }
        if self.resolver.is_served(query, target) {
            return Ok(Step::Wait);
        }
        zone.push_authority(query, reply);
        self.note_wildcard(zone, query);
        Ok(Step::Done)
    }

    /// Notes the wildcard of a synthesized answer in the metadata.
    #[inline]
    fn note_wildcard(&self, zone: &Zone, query: &mut Query) {
        if self.collects_metadata && !zone.has_name(query.name()) {
            note_wildcard(zone, query);
        }
    }

    /// Whether a query for the apex of a zone is passed on because the apex has generated records only.
    #[cold]
    fn passes_apex(&self, query: &Query) -> bool {
        self.stand_ins.find(query).is_some_and(|(label, _)| label == 0)
            && self.fallthrough.allows(query)
    }

    /// The step for a name in none of the zones.
    #[cold]
    fn outside_zones(&self) -> Served {
        if self.outside == Outside::PassOn {
            return Ok(Step::Next);
        }
        let is_last = self.is_last.get_or_init(|| {
            let chain = self.chain_ref.chain();
            chain.is_some_and(|chain| chain.names().last() == Some(&self.plugin))
        });
        if *is_last { Err(Failure::rcode(Rcode::REFUSED)) } else { Ok(Step::Next) }
    }

    /// The zone that the query's name is in.
    fn zone_of(&self, query: &Query) -> Option<Arc<Live>> {
        self.zones.with(|zones| zones.find(query).map(|(zone, _)| Arc::clone(zone)))
    }

    fn pass<'a>(
        &'a self,
        taker: Option<&'a dyn TakesMessages>,
        query: &'a mut Query,
        reply: &'a mut Reply,
    ) -> BoxFuture<'a, Served> {
        match (self.zone_of(query), taker) {
            (Some(zone), Some(taker)) => taker.take(zone, query, reply),
            (None, _) => {
                let step = self.outside_zones();
                Box::pin(async move { step })
            }
            (Some(_), None) => Box::pin(async { Ok(Step::Next) }),
        }
    }
}

impl<Z: Zones, K: Keeper> OnNotify for Authority<Z, K> {
    fn on_notify<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
    ) -> BoxFuture<'a, Served> {
        self.pass(self.keeper.notify(), query, reply)
    }
}

impl<Z: Zones, K: Keeper> OnUpdate for Authority<Z, K> {
    fn on_update<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
    ) -> BoxFuture<'a, Served> {
        self.pass(self.keeper.update(), query, reply)
    }
}

impl<Z: Zones, K: Keeper> ServesZones for Authority<Z, K> {
    fn zones(&self) -> &LiveSet {
        &self.set
    }

    fn is_complete(&self) -> bool {
        self.keeper.is_complete()
    }
}

/// Refuses queries that a zone does not answer: transfers (the `transfer` plugin runs earlier and serves the
/// permitted ones), and other classes.
#[cold]
fn refuse() -> Served {
    Err(Failure::rcode(Rcode::REFUSED))
}

#[cold]
fn note_wildcard(zone: &Zone, query: &mut Query) {
    // RFC 4592 section 3.3.1: the wildcard is directly below the closest encloser.
    let Some(label) = (1..=query.labels()).find(|&label| zone.has_name(query.suffix(label))) else {
        return;
    };
    let mut wildcard = NameBuf::new();
    let whole = wildcard.push_label(b"*").and_then(|()| wildcard.push_name(query.suffix(label)));
    // Without a wildcard, the answer was synthesized from a DNAME.
    if whole.is_ok() && zone.has_name(wildcard.as_wire()) {
        query.set_metadata("zone/wildcard", || wildcard.to_name().to_string());
    }
}
