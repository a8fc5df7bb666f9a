//! `transfer`: zones for secondary servers, by AXFR (RFC 5936) and IXFR (RFC 1995), and NOTIFY messages
//! when they change (RFC 1996).
//!
//! Other plugins serve the zones; this one finds them by their role. What a transfer sends is
//! `zone::transfer`; here are who may have it, the bounds, and the road of the messages.

mod catalog;
mod config;
mod limits;
mod metrics;
mod notify;
mod send;

use std::sync::{Arc, Weak};

use authority::{Authority, Options};
use chain::{
    BoxFuture, Chain, ChainRef, Failure, Kind, Next, Query, Reply, Roles, Sees, ServeDns, Served,
    Setup, Step,
};
use corefile::{Diagnostic, Diagnostics, Directive};
use wire::edns::ede;
use wire::{Class, Rcode, Rtype, SuffixMap, Transport, Zoned};
use zone::Live;
use zone::live::Listener;

use catalog::{Listed, Producer};
use config::{Notify, Rule};
use limits::Running;
use metrics::Metrics;
use net::client::Network;
use notify::{Notifier, Told};

/// The `transfer` directive.
pub static PLUGIN: Kind =
    Kind { name: "transfer", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut rules: Vec<Rule> = Vec::new();
    for directive in uses {
        setup.warn_outside(&directive.args);
        match Rule::read(directive, setup) {
            Ok(rule) => {
                for zone in rule.zones.iter() {
                    if rules.iter().any(|known| known.zones.iter().any(|other| other == zone)) {
                        let message = format!("zone `{zone}` has an earlier `transfer`");
                        let warning = Diagnostic::warning(directive.span, message)
                            .label("the first one counts")
                            .help("put all `to` of a zone into one directive");
                        setup.warn(warning);
                    }
                }
                rules.push(rule);
            }
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    let running: Arc<Running> = setup.keep("transfers", Running::default);
    metrics::show_running(&running);
    let told: Arc<Told> = setup.keep("transfers notified", Told::default);
    let network = setup.service::<Network>().map_or(Network::Os, |network| (*network).clone());
    let rules: Arc<[Rule]> = rules.into();
    let notifier = Notifier::new(&rules, network, told);
    let catalogs = catalogs(&rules, setup)?;
    if let Some(notifier) = &notifier {
        let (notifier, chain_ref) = (Arc::clone(notifier), setup.chain_ref());
        setup.task(move || async move {
            each_zone(&chain_ref, |zone| notifier.enqueue(zone, true));
            notifier.run().await;
        });
    }
    let mut producers = Vec::new();
    for (at, listed) in &catalogs {
        let Some(catalog) = rules[*at].catalog.clone() else { continue };
        let (rules, listed) = (Arc::clone(&rules), Arc::clone(listed));
        let (chain_ref, clock) = (setup.chain_ref(), setup.clock());
        let producer = Arc::new(Producer::new(catalog, *at, rules, listed, chain_ref, clock));
        producers.push(Arc::clone(&producer));
        setup.task(move || producer.run());
    }
    let plugin = Transfer {
        notifier,
        producers,
        catalogs: SuffixMap::new(
            catalogs.iter().map(|(at, listed)| Own::new(*at, listed)).collect(),
        ),
        rules,
        running,
        metrics: Metrics::new(),
        chain_ref: setup.chain_ref(),
    };
    setup.link(plugin);
    if !catalogs.is_empty() {
        let lives = catalogs.iter().map(|(_, listed)| Arc::clone(listed.live())).collect();
        let authority = Authority::fixed(lives, Options::default(), (), setup);
        setup.link(authority);
    }
    Ok(())
}

/// The catalogs, each with the index of its directive.
fn catalogs(rules: &[Rule], setup: &Setup<'_>) -> Result<Vec<(usize, Arc<Listed>)>, Diagnostics> {
    let mut all: Vec<(usize, Arc<Listed>)> = Vec::new();
    let mut place: Vec<String> =
        setup.keys().iter().map(|key| format!("{} {}", key.zone, key.server)).collect();
    place.sort_unstable();
    place.extend(setup.audience().iter().map(|(kind, word)| format!("{kind} {word:?}")));
    for (at, rule) in rules.iter().enumerate() {
        let Some(catalog) = &rule.catalog else { continue };
        let name = &catalog.name;
        if all.iter().any(|(_, known)| known.live().origin() == name) {
            return Err(Diagnostic::error(
                rule.span,
                format!("catalog `{name}` has an earlier `transfer`"),
            )
            .label("the second one")
            .help("give each directive a catalog of its own")
            .into());
        }
        let key = format!("catalog {name} {}", place.join(" "));
        all.push((at, setup.keep(key, || Listed::new(name))));
    }
    Ok(all)
}

/// A catalog, found by names in it.
struct Own {
    name: wire::Name,
    /// The index of its directive.
    rule: usize,
}

impl Own {
    fn new(rule: usize, listed: &Listed) -> Self {
        Self { name: listed.live().origin().clone(), rule }
    }
}

impl Zoned for Own {
    fn zone_name(&self) -> &wire::Name {
        &self.name
    }
}

/// The plugin: all `transfer` directives of a block.
struct Transfer {
    notifier: Option<Arc<Notifier>>,
    producers: Vec<Arc<Producer>>,
    catalogs: SuffixMap<Own>,
    rules: Arc<[Rule]>,
    running: Arc<Running>,
    metrics: Metrics,
    chain_ref: ChainRef,
}

impl ServeDns for Transfer {
    fn roles(&self) -> Roles<'_> {
        Roles { reads: 0, sees: Sees::TRANSFERS, ..Roles::default() }
    }

    #[inline]
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        if query.qtype().is_transfer() {
            self.admit(query)
        } else if self.catalogs.is_empty() {
            Ok(Step::Next)
        } else {
            self.shield(query)
        }
    }

    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        let notifier =
            self.notifier.as_ref().map(|notifier| Arc::clone(notifier) as Arc<dyn Listener>);
        let producers =
            self.producers.iter().map(|producer| Arc::clone(producer) as Arc<dyn Listener>);
        let listeners: Vec<Weak<dyn Listener>> =
            notifier.into_iter().chain(producers).map(|one| Arc::downgrade(&one)).collect();
        for zones in chain.plugins().iter().filter_map(|plugin| plugin.roles().zones) {
            listeners.iter().for_each(|listener| zones.zones().listen(listener));
        }
        Ok(())
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        _: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            let zone = self.rule(query).and_then(|rule| Some((rule, self.zone(query)?)));
            let Some((rule, (chain, place, live))) = zone else { return Ok(Step::Next) };
            let serves = chain.plugins().get(place).and_then(|plugin| plugin.roles().zones);
            let made = match serves {
                Some(serves) if !live.is_loaded() => serves.make_version(&live).await,
                _ => None,
            };
            self.send(rule, &live, made, query, reply).await
        })
    }
}

/// Calls `each` with all zones of a chain.
fn each_zone(chain_ref: &ChainRef, mut each: impl FnMut(&Arc<Live>)) {
    let Some(chain) = chain_ref.chain() else { return };
    for plugin in chain.plugins() {
        if let Some(zones) = plugin.roles().zones {
            zones.zones().all().iter().for_each(&mut each);
        }
    }
}

impl Transfer {
    /// Answers of a catalog are for those only that may transfer it: it tells of all zones (RFC 9432 section 7).
    #[cold]
    fn shield(&self, query: &Query) -> Served {
        let Some((own, _)) = self.catalogs.find(query) else { return Ok(Step::Next) };
        match self.permits(&self.rules[own.rule], query) {
            Permit::Given => Ok(Step::Next),
            Permit::Key => refuse("the query is not signed with a permitted key"),
            Permit::Tls => refuse("this client may ask for the zone over TLS only"),
            Permit::No => refuse("this client may not transfer the zone"),
        }
    }

    /// Whether the client may have the zone.
    #[cold]
    fn admit(&self, query: &Query) -> Served {
        if query.qclass() != Class::IN {
            return Ok(Step::Next);
        }
        // RFC 5936 section 4.2: AXFR is not defined for UDP. IXFR is (RFC 1995 section 2).
        let transport = query.client.transport;
        let carries = match query.qtype() {
            Rtype::AXFR => matches!(transport, Transport::Tcp | Transport::Tls),
            _ => matches!(transport, Transport::Udp | Transport::Tcp | Transport::Tls),
        };
        if !carries {
            self.metrics.refused_transport.inc(query.client.worker);
            return refuse("transfers use TCP");
        }
        // "The use of TLS 1.3 or later is REQUIRED" (RFC 9103 section 7.1).
        if transport == Transport::Tls && !query.client.tls13 {
            self.metrics.refused_transport.inc(query.client.worker);
            return refuse("transfers over TLS need TLS 1.3");
        }
        let Some(rule) = self.rule(query) else { return Ok(Step::Next) };
        match self.permits(rule, query) {
            Permit::Given => Ok(Step::Wait),
            Permit::Key => {
                self.metrics.refused_key.inc(query.client.worker);
                refuse("the transfer is not signed with a permitted key")
            }
            Permit::Tls => {
                self.metrics.refused_transport.inc(query.client.worker);
                refuse("this client may transfer the zone over TLS only")
            }
            Permit::No => {
                self.metrics.refused_address.inc(query.client.worker);
                refuse("this client may not transfer the zone")
            }
        }
    }

    /// Whether the client may transfer zones of this directive.
    fn permits(&self, rule: &Rule, query: &Query) -> Permit {
        let peer = query.client.peer.ip();
        let transport = query.client.transport;
        let (mut permit, mut is_plain) = (Permit::No, false);
        for to in rule.to.iter().filter(|to| to.notify != Notify::Only) {
            if to.hosts.iter().any(|host| host.contains(peer)) {
                if to.encrypted && transport != Transport::Tls {
                    is_plain = true;
                    continue;
                }
                permit = Permit::Key;
                if !to.signed || to.keys.iter().any(|key| key.has_signed(query)) {
                    return Permit::Given;
                }
            }
        }
        match permit {
            Permit::No if is_plain => Permit::Tls,
            permit => permit,
        }
    }

    /// The directive whose catalog has the query's name, or that of the longest zone that contains the name; the
    /// first of equal ones.
    fn rule(&self, query: &Query) -> Option<&Rule> {
        if let Some((own, 0)) = self.catalogs.find(query) {
            return Some(&self.rules[own.rule]);
        }
        let mut found: Option<(usize, &Rule)> = None;
        for rule in self.rules.iter() {
            if let Some((label, _)) = rule.zones.find(query)
                && found.is_none_or(|(longest, _)| label < longest)
            {
                found = Some((label, rule));
            }
        }
        found.map(|(_, rule)| rule)
    }

    /// The zone with the query's name, from the first plugin that has it, and the place of that.
    fn zone(&self, query: &Query) -> Option<(Arc<Chain>, usize, Arc<Live>)> {
        let chain = self.chain_ref.chain()?;
        let found = chain.plugins().iter().enumerate().find_map(|(place, plugin)| {
            let zones = plugin.roles().zones?.zones().zones();
            let (zone, label) = zones.find(query)?;
            (label == 0).then(|| (place, Arc::clone(zone)))
        });
        found.map(|(place, zone)| (chain, place, zone))
    }
}

/// What a client may have.
enum Permit {
    Given,
    /// Not without a signature by a permitted key.
    Key,
    /// Not without TLS.
    Tls,
    No,
}

fn refuse(why: &'static str) -> Served {
    Err(Failure::rcode(Rcode::REFUSED).extended(ede::PROHIBITED, why))
}
