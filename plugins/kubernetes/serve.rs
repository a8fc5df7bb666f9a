//! The link of a chain that answers for a cluster.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chain::{
    BoxFuture, CollectMetadata, Failure, Fallthrough, Next, Query, Ready, Reply, Resolver, Roles,
    SearchPath, Sees, ServeDns, Served, ServesZones, Setup, Step, ZoneSet,
};
use cluster::{Exposed, Part};
use wire::edns::ede;
use wire::name::{self, NameBuf};
use wire::{Class, Name, Rcode, Section};
use zone::{Live, LiveSet};

use super::answer::{Answers, Found, Zone};
use super::config::{Config, PodMode};
use super::names::{self, Forms, MOST_LABELS, Meaning};
use super::own;
use super::state::{State, judge_age};
use super::whole;

/// The plugin: one `kubernetes` directive of a block.
pub(super) struct Kubernetes {
    zones: ZoneSet,
    answers: Arc<Answers>,
    /// The zones, for transfers. They have no version until one is made.
    set: LiveSet,
    fallthrough: Fallthrough,
    resolver: Resolver,
    state: Arc<State>,
    /// Nothing was heard of the cluster for longer than `stale`.
    is_too_old: Arc<AtomicBool>,
    /// The search path of the host, for `autopath`.
    search: Vec<Name>,
}

impl Kubernetes {
    pub(super) fn new(config: Config, setup: &mut Setup<'_>) -> Self {
        let state = State::of(&config, setup);
        state.follow(&config, setup);
        let is_too_old = Arc::new(AtomicBool::new(false));
        if let Some(most) = config.stale {
            let (state, is_too_old) = (Arc::clone(&state), Arc::clone(&is_too_old));
            setup.task(move || judge_age(state, most, is_too_old));
        }
        let zones = ZoneSet::new(config.zones.iter().cloned());
        setup.owns(config.zones.iter());
        if config.fallthrough == Fallthrough::NEVER {
            setup.ends(config.zones.iter().cloned());
        }
        let is_selected = !config.namespace_labels.is_empty();
        let cluster = Arc::clone(&state.cluster);
        let own = own::addresses(setup);
        let exposed = Arc::new(Exposed::new(cluster, &config.namespaces, is_selected, own));
        let answers = Arc::new(Answers {
            exposed,
            primary: config.primary,
            ttl: config.ttl,
            pods: config.pods,
            ignore_empty: config.ignore_empty,
            zonal: config.zonal,
            multicluster: ZoneSet::new(config.multicluster),
        });
        let live = |zone: &Name| Arc::new(Live::new(zone.clone()));
        let set = LiveSet::new(config.zones.iter().map(live).collect());
        let fallthrough = config.fallthrough;
        let resolver = setup.resolver();
        let search =
            if answers.pods == PodMode::Verified { own::search_path() } else { Vec::new() };
        Self { zones, answers, set, fallthrough, resolver, state, is_too_old, search }
    }

    /// The zone that the query is in.
    fn zone<'q>(&self, query: &'q Query) -> Option<Zone<'q>> {
        let (label, zone) = self.zones.find(query)?;
        Some(self.answers.zone(query, label, zone))
    }

    /// Answers the query, or says what else is to be done. `found` is the answer for the target of an alias.
    fn answer(&self, query: &Query, reply: &mut Reply, found: Option<&Reply>) -> Served {
        let Some(zone) = self.zone(query) else { return Ok(Step::Next) };
        if query.qtype().is_transfer() || query.qclass() != Class::IN {
            return Err(Failure::rcode(Rcode::REFUSED));
        }
        if self.is_too_old.load(Ordering::Relaxed) {
            let why = "nothing was heard of the cluster for longer than `stale` permits";
            return Err(Failure::servfail(why).extended(ede::NOT_READY, why));
        }
        let outcome = self.answers.answer(query, zone, reply);
        match outcome {
            Found::Answered => Ok(Step::Done),
            Found::NoData => {
                self.answers.push_soa(zone, reply);
                Ok(Step::Done)
            }
            Found::NxDomain => self.deny(query, zone, reply),
            Found::Away(target) => self.leave(query, zone, reply, target.as_wire(), found),
        }
    }

    fn deny(&self, query: &Query, zone: Zone<'_>, reply: &mut Reply) -> Served {
        // An alias whose target does not exist is an answer, too.
        let is_alias = reply.count(Section::Answer) > 0;
        if !is_alias && self.fallthrough.allows(query) {
            reply.clear();
            return Ok(Step::Next);
        }
        if !self.state.is_synced() {
            reply.clear();
            if self.state.is_starting() {
                return Ok(Step::Wait);
            }
            let why = self.state.missing();
            return Err(Failure::servfail(why)
                .extended(ede::NOT_READY, "the names of the cluster are not complete yet"));
        }
        reply.set_rcode(Rcode::NXDOMAIN);
        self.answers.push_soa(zone, reply);
        Ok(Step::Done)
    }

    /// The step after an alias out of the zone. It is followed if this server has a block for it.
    #[cold]
    fn leave(
        &self,
        query: &Query,
        zone: Zone<'_>,
        reply: &mut Reply,
        target: &[u8],
        found: Option<&Reply>,
    ) -> Served {
        if Resolver::is_too_deep(query) {
            return Err(Failure::servfail("too many CNAME records lead from zone to zone"));
        }
        let Some(found) = found else {
            let is_served = self.resolver.is_served(query, target);
            return Ok(if is_served { Step::Wait } else { Step::Done });
        };
        if found.is_silent() {
            return Ok(Step::Done);
        }
        reply.append_answer(found);
        // RFC 6604 section 3: the rcode is that of the last name.
        match found.rcode() {
            Rcode::NXDOMAIN => {
                reply.set_rcode(Rcode::NXDOMAIN);
                self.answers.push_soa(zone, reply);
            }
            Rcode::SERVFAIL => reply.set_rcode(Rcode::SERVFAIL),
            Rcode::NOERROR if found.count(Section::Answer) == 0 => {
                self.answers.push_soa(zone, reply);
            }
            _ => {}
        }
        Ok(Step::Done)
    }

    /// The alias out of the zone that the query ends with.
    fn alias(&self, query: &Query, reply: &mut Reply) -> Option<Box<NameBuf>> {
        let zone = self.zone(query)?;
        match self.answers.answer(query, zone, reply) {
            Found::Away(target) => Some(target),
            _ => None,
        }
    }
}

impl ServeDns for Kubernetes {
    #[inline]
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        self.answer(query, reply, None)
    }

    /// Called for aliases out of the zone, and while the first copy of the cluster is awaited.
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            if !self.state.is_synced() && self.state.is_starting() {
                self.state.ready_or_late().await;
            }
            reply.clear();
            let target = self.alias(query, reply);
            reply.clear();
            let found = match target {
                Some(target) if self.resolver.is_served(query, target.as_wire()) => {
                    self.resolver.lookup(query, target.as_wire(), query.qtype()).await
                }
                _ => None,
            };
            let step = match self.answer(query, reply, found.as_deref())? {
                // There is no answer for the target: the alias is the answer.
                Step::Wait => Step::Done,
                step => step,
            };
            if step == Step::Next {
                next.run(query, reply).await;
            }
            Ok(Step::Done)
        })
    }

    fn roles(&self) -> Roles<'_> {
        Roles {
            sees: Sees::TRANSFERS,
            ready: Some(self),
            zones: Some(self),
            offers: Some(&self.answers.exposed),
            metadata: Some(self),
            search_path: (self.answers.pods == PodMode::Verified).then_some(self),
            ..Roles::default()
        }
    }
}

impl ServesZones for Kubernetes {
    fn zones(&self) -> &LiveSet {
        &self.set
    }

    fn make_version<'a>(&'a self, zone: &'a Live) -> BoxFuture<'a, Option<Arc<zone::Zone>>> {
        if !self.state.is_synced() {
            return Box::pin(async { None });
        }
        let (answers, origin) = (Arc::clone(&self.answers), zone.origin().clone());
        Box::pin(async move {
            // A large cluster takes a while.
            let work = tokio::task::spawn_blocking(move || whole::make(&answers, &origin));
            match work.await {
                Ok(Ok(zone)) => Some(Arc::new(zone)),
                Ok(Err(why)) => {
                    let origin = zone.origin();
                    telemetry::error!("plugin/kubernetes: cannot transfer zone `{origin}`: {why}");
                    None
                }
                Err(_) => None,
            }
        })
    }
}

impl Ready for Kubernetes {
    fn ready(&self) -> Result<(), String> {
        if self.state.is_synced() { Ok(()) } else { Err(self.state.missing()) }
    }
}

impl Kubernetes {
    /// Calls `read` with a pod that has this address.
    fn pod<R>(&self, address: IpAddr, read: impl FnOnce(cluster::Pod<'_>) -> R) -> Option<R> {
        let mut read = Some(read);
        let pods = &self.answers.exposed.cluster().pods;
        pods.find(address, |pod| read.take().map(|read| read(pod)))
    }
}

impl SearchPath for Kubernetes {
    fn search_path(&self, query: &Query, path: &mut Vec<Name>) {
        let Some((_, zone)) = self.zones.find(query) else { return };
        let client = query.client.peer.ip().to_canonical();
        let namespace = self.pod(client, |pod| pod.namespace.to_vec());
        let Some(namespace) = namespace else { return };
        let below = |labels: &[&[u8]]| -> Option<Name> {
            let mut name = NameBuf::new();
            for label in labels {
                name.push_label(label).ok()?;
            }
            name.push_name(zone.as_wire()).ok()?;
            Some(name.to_name())
        };
        path.extend(below(&[&namespace, b"svc"]));
        path.extend(below(&[b"svc"]));
        path.push(zone.clone());
        path.extend(self.search.iter().cloned());
        path.push(Name::root());
    }
}

impl CollectMetadata for Kubernetes {
    fn collect(&self, query: &mut Query) {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let client = query.client.peer.ip().to_canonical();
        if self.answers.pods == PodMode::Verified {
            let pod = self.pod(client, |pod| (text(pod.namespace), text(pod.name)));
            if let Some((namespace, name)) = pod {
                query.set_metadata("kubernetes/client-namespace", || namespace);
                query.set_metadata("kubernetes/client-pod-name", || name);
            }
        }
        let Some((at, zone)) = self.zones.find(query) else { return };
        let zone = self.answers.zone(query, at, zone);
        let forms = Forms { multicluster: zone.is_multicluster, zonal: self.answers.zonal };
        let name = query.name().to_vec();
        let labels: Vec<&[u8]> = name::labels(&name).take(at).collect();
        let meaning = if labels.len() > MOST_LABELS {
            Meaning::Nothing
        } else {
            names::meaning(&labels, forms)
        };
        let (kind, namespace, service, part) = match meaning {
            Meaning::Service { namespace, name, part } => ("svc", namespace, name, Some(part)),
            Meaning::Services { namespace } => ("svc", namespace, &b""[..], None),
            Meaning::Pods { namespace } => ("pod", namespace, &b""[..], None),
            Meaning::Pod { namespace, label } => ("pod", namespace, label, None),
            Meaning::Apex | Meaning::Above => ("", &b""[..], &b""[..], None),
            Meaning::Version | Meaning::Server | Meaning::Nothing => {
                query.set_metadata("kubernetes/parse-error", || "invalid query name".to_owned());
                return;
            }
        };
        let (mut port, mut protocol, mut endpoint) = (&b""[..], &b""[..], &b""[..]);
        let (mut from, mut topology) = (&b""[..], String::new());
        match part {
            Some(Part::Port { name, protocol: of }) => (port, protocol) = (name, of),
            Some(Part::Endpoint { label, cluster }) => {
                (endpoint, from) = (label, cluster.unwrap_or_default());
            }
            Some(Part::Zone { labels, .. }) => {
                let labels: Vec<String> = labels.iter().map(|label| text(label)).collect();
                topology = labels.join(".");
            }
            Some(Part::Whole) | None => {}
        }
        let (multicluster, zonal) = (forms.multicluster, forms.zonal);
        query.set_metadata("kubernetes/port-name", || text(port));
        query.set_metadata("kubernetes/protocol", || text(protocol));
        query.set_metadata("kubernetes/endpoint", || text(endpoint));
        if multicluster {
            query.set_metadata("kubernetes/cluster", || text(from));
        }
        if zonal {
            query.set_metadata("kubernetes/zone", || topology);
        }
        query.set_metadata("kubernetes/service", || text(service));
        query.set_metadata("kubernetes/namespace", || text(namespace));
        query.set_metadata("kubernetes/kind", || kind.to_owned());
    }
}
