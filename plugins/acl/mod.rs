//! `acl`: allows, blocks, filters or drops a query by the client's address and the query type.
//!
//! It reads only the query. `config` parses the rules, and `nets` matches addresses.

mod config;
mod nets;

use chain::{Kind, Query, Reply, Roles, Sees, ServeDns, Served, Setup, Step, ZoneSet};
use corefile::{Diagnostics, Directive};
use telemetry::metrics::{self, Counter};
use wire::edns::{ede, option};
use wire::{Name, Rcode};

use config::{Action, Policy};

/// The `acl` directive.
pub static PLUGIN: Kind =
    Kind { name: "acl", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        setup.warn_outside(&directive.args);
    }
    let rules = config::parse(uses, &setup.zones())?;
    let view = setup.view();
    let servers: Vec<&str> = setup.keys().iter().map(|key| &*key.server).collect();
    let allowed = servers.iter().map(|server| {
        metrics::counter(
            "coredns_acl_allowed_requests_total",
            "Counter of DNS requests being allowed.",
            &["server", "view"],
            &[server, view],
        )
    });
    let allowed = allowed.collect();
    let rules =
        rules.into_iter().map(|(zones, policies)| Rule::new(zones, policies, &servers, view));
    let acl = Acl { rules: rules.collect(), allowed };
    setup.link(acl);
    Ok(())
}

struct Acl {
    rules: Box<[Rule]>,
    /// In the order of the block's keys.
    allowed: Box<[Counter]>,
}

/// One directive.
struct Rule {
    zones: ZoneSet,
    policies: Vec<Policy>,
    counts: Vec<Counts>,
}

/// The counters of one zone of a rule, for each key of the block.
struct Counts {
    zone: Name,
    keys: Box<[[Counter; 3]]>,
}

impl Rule {
    fn new(zones: ZoneSet, policies: Vec<Policy>, servers: &[&str], view: &str) -> Self {
        let count = |name, help, zone: &str, server: &str| {
            metrics::counter(name, help, &["server", "zone", "view"], &[server, zone, view])
        };
        let counts = zones.iter().map(|zone| {
            let text = zone.to_string();
            let of = |server: &&str| {
                [
                    (
                        "coredns_acl_blocked_requests_total",
                        "Counter of DNS requests being blocked.",
                    ),
                    (
                        "coredns_acl_filtered_requests_total",
                        "Counter of DNS requests being filtered.",
                    ),
                    (
                        "coredns_acl_dropped_requests_total",
                        "Counter of DNS requests being dropped.",
                    ),
                ]
                .map(|(name, help)| count(name, help, &text, server))
            };
            Counts { zone: zone.clone(), keys: servers.iter().map(of).collect() }
        });
        let counts = counts.collect();
        Self { zones, policies, counts }
    }

    fn count(&self, zone: &Name, which: usize, query: &Query) {
        let of_zone = self.counts.iter().find(|counts| counts.zone == *zone);
        if let Some(keys) = of_zone.and_then(|counts| counts.keys.get(usize::from(query.state.key)))
        {
            keys[which].inc(query.client.worker);
        }
    }
}

impl ServeDns for Acl {
    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::ALL, ..Roles::default() }
    }

    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        let client = query.client.peer.ip();
        for rule in &self.rules {
            let Some((_, zone)) = rule.zones.find(query) else { continue };
            let fits = |policy: &&Policy| policy.matches(query.qtype(), client);
            let Some(policy) = rule.policies.iter().find(fits) else { continue };
            match policy.action {
                Action::Allow => break,
                Action::Block => {
                    rule.count(zone, 0, query);
                    tell(reply, Rcode::REFUSED, ede::BLOCKED);
                    return Ok(Step::Done);
                }
                Action::Filter => {
                    rule.count(zone, 1, query);
                    tell(reply, Rcode::NOERROR, ede::FILTERED);
                    return Ok(Step::Done);
                }
                Action::Drop => {
                    rule.count(zone, 2, query);
                    return Ok(Step::Drop);
                }
            }
        }
        if let Some(allowed) = self.allowed.get(usize::from(query.state.key)) {
            allowed.inc(query.client.worker);
        }
        Ok(Step::Next)
    }
}

/// An empty reply with an extended error (RFC 8914).
fn tell(reply: &mut Reply, rcode: Rcode, why: u16) {
    reply.set_rcode(rcode);
    reply.opt.push(option::EXTENDED_ERROR, &why.to_be_bytes());
}
