//! `transfer`: zones for secondary servers, by AXFR (RFC 5936) and IXFR (RFC 1995), and NOTIFY messages
//! when they change (RFC 1996).
//!
//! Other plugins serve the zones; this one finds them by their role. What a transfer sends is
//! `zone::transfer`; here are who may have it, the bounds, and the road of the messages.

mod config;
mod limits;
mod metrics;
mod notify;
mod send;

use std::sync::Arc;

use chain::{
    BoxFuture, Chain, ChainRef, Failure, Kind, Next, Query, Reply, Roles, Sees, ServeDns, Served,
    Setup, Step,
};
use corefile::{Diagnostic, Diagnostics, Directive};
use wire::edns::ede;
use wire::{Class, Rcode, Rtype, Transport};
use zone::Live;
use zone::live::Listener;

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
    let notifier = Notifier::new(&rules, network, told);
    if let Some(notifier) = &notifier {
        let (notifier, chain_ref) = (Arc::clone(notifier), setup.chain_ref());
        setup.task(move || async move {
            each_zone(&chain_ref, |zone| notifier.enqueue(zone, true));
            notifier.run().await;
        });
    }
    let plugin = Transfer {
        notifier,
        rules: rules.into(),
        running,
        metrics: Metrics::new(),
        chain_ref: setup.chain_ref(),
    };
    setup.link(plugin);
    Ok(())
}

/// The plugin: all `transfer` directives of a block.
struct Transfer {
    notifier: Option<Arc<Notifier>>,
    rules: Box<[Rule]>,
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
        if query.qtype().is_transfer() { self.admit(query) } else { Ok(Step::Next) }
    }

    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        if let Some(notifier) = &self.notifier {
            let listener: Arc<dyn Listener> = Arc::clone(notifier) as _;
            for zones in chain.plugins().iter().filter_map(|plugin| plugin.roles().zones) {
                zones.zones().listen(&Arc::downgrade(&listener));
            }
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
        let Some(rule) = self.rule(query) else { return Ok(Step::Next) };
        let peer = query.client.peer.ip();
        let mut known = false;
        for to in rule.to.iter().filter(|to| to.notify != Notify::Only) {
            if to.hosts.iter().any(|host| host.contains(peer)) {
                known = true;
                if !to.signed || to.keys.iter().any(|key| key.has_signed(query)) {
                    return Ok(Step::Wait);
                }
            }
        }
        if known {
            self.metrics.refused_key.inc(query.client.worker);
            return refuse("the transfer is not signed with a permitted key");
        }
        self.metrics.refused_address.inc(query.client.worker);
        refuse("this client may not transfer the zone")
    }

    /// The directive of the longest zone that contains the query's name; the first of equal ones.
    fn rule(&self, query: &Query) -> Option<&Rule> {
        let mut found: Option<(usize, &Rule)> = None;
        for rule in &self.rules {
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

fn refuse(why: &'static str) -> Served {
    Err(Failure::rcode(Rcode::REFUSED).extended(ede::PROHIBITED, why))
}
