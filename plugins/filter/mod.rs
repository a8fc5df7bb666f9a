//! `filter`: removes the addresses of one family from replies.
//!
//! It changes replies on their way out. Only if nothing is left of an answer does it query the plugins
//! after it again: for the zone's SOA record, and for addresses of the other family.

mod config;
mod hints;
mod plan;

use std::sync::OnceLock;

use chain::{BoxFuture, Chain, ChainRef, Kind, Query, Reply, Roles, ServeDns, Setup};
use corefile::{Diagnostic, Diagnostics, Directive};
use telemetry::metrics::{self, Counter};
use wire::{Class, Draft, NameBuf, Rcode, Rtype, Section, name};

use config::Rule;
use plan::{Plan, TYPES};

/// The `filter` directive.
pub static PLUGIN: Kind =
    Kind { name: "filter", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let rules = config::parse(uses, &setup.zones())?.into();
    for directive in uses {
        setup.warn_outside(&directive.args);
    }
    let view = setup.view().to_owned();
    let counts = setup.keys().iter().map(|key| Counts::new(&key.server, &view)).collect();
    setup.link(Filter { rules, counts, chain_ref: setup.chain_ref(), place: OnceLock::new() });
    Ok(())
}

struct Filter {
    rules: Box<[Rule]>,
    /// In the order of the block's keys.
    counts: Box<[Counts]>,
    chain_ref: ChainRef,
    /// Which link of the chain this is; known once it is complete.
    place: OnceLock<usize>,
}

/// The counters of one key, for each type.
struct Counts {
    filtered: [Counter; 2],
    signed: [Counter; 2],
}

impl Counts {
    fn new(server: &str, view: &str) -> Self {
        let labels: &'static [&'static str] = &["server", "view", "type"];
        let of = |rtype: Rtype| [server, view, rtype.mnemonic().unwrap_or_default()];
        Self {
            filtered: TYPES.map(|rtype| {
                metrics::counter(
                    "catena_filter_filtered_replies_total",
                    "Replies from which addresses of this type were removed.",
                    labels,
                    &of(rtype),
                )
            }),
            signed: TYPES.map(|rtype| {
                metrics::counter(
                    "catena_filter_signed_replies_total",
                    "Replies that kept addresses of this type because they are signed (DNSSEC).",
                    labels,
                    &of(rtype),
                )
            }),
        }
    }
}

impl ServeDns for Filter {
    fn roles(&self) -> Roles<'_> {
        Roles { waits_on_reply: true, ..Roles::default() }
    }

    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        // All directives of a block are one link.
        if let Some(place) = chain.position(PLUGIN.name) {
            let _ = self.place.set(place);
        }
        Ok(())
    }

    #[inline]
    fn must_wait(&self, query: &mut Query, reply: &Reply) -> bool {
        self.plan(query, reply).is_some_and(|(_, plan)| plan.waits())
    }

    #[inline]
    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        if let Some((rule, plan)) = self.plan(query, reply) {
            self.count(query, &plan);
            if !plan.is_empty() {
                change(rule, &plan, query, reply);
            }
        }
    }

    fn finish_reply<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let Some((rule, plan)) = self.plan(query, reply) else { return };
            let mut found = Box::new(Reply::new());
            if let Some(other) = plan.only_with {
                let question = Self::question(query, query.original_name(), other);
                self.ask(question, &mut found).await;
                let mut records = found.records().map_while(Result::ok);
                // If it is not known the addresses stay: one that is too many does less harm.
                if found.failure().is_some()
                    || !records.any(|it| it.section == Section::Answer && it.rtype == other)
                {
                    return;
                }
            }
            self.count(query, &plan);
            let owner = last_owner(&plan, reply);
            let question = Self::question(query, owner.as_wire(), Rtype::SOA);
            self.ask(question, &mut found).await;
            change(rule, &plan, query, reply);
            if let Some(soa) = soa(&found) {
                reply.push_draft(&Draft { section: Section::Authority, ..soa });
            }
        })
    }
}

impl Filter {
    /// The plan for the reply and its rule; `None` for failures and denials.
    #[inline]
    fn plan(&self, query: &Query, reply: &Reply) -> Option<(&Rule, Plan)> {
        if reply.is_silent() || reply.rcode() != Rcode::NOERROR || query.qclass() != Class::IN {
            return None;
        }
        // The longest zone starts at the first label.
        let of_rule = |rule: &Rule| rule.zones.find(query).map(|(label, _)| label);
        let rules = self.rules.iter().filter_map(|rule| Some((of_rule(rule)?, rule)));
        let (_, rule) = rules.min_by_key(|(label, _)| *label)?;
        Some((rule, plan::plan(rule, query, reply)))
    }

    fn count(&self, query: &Query, plan: &Plan) {
        let Some(counts) = self.counts.get(usize::from(query.state.key)) else { return };
        for which in 0..TYPES.len() {
            if plan.records[which] || plan.hints[which] {
                counts.filtered[which].inc(query.client.worker);
            }
            if plan.signed[which] {
                counts.signed[which].inc(query.client.worker);
            }
        }
    }

    /// A query of our own on behalf of the client.
    fn question(query: &Query, name: &[u8], qtype: Rtype) -> Box<Query> {
        let mut question = Box::new(Query::new());
        question.make_subquery(query, name, qtype, false);
        question.state.key = query.state.key;
        let zone = query.zone();
        // Outside the block's zone a name is in the root's.
        let inside = name::is_under(question.name(), zone);
        let labels = if inside { name::label_count(zone) } else { 0 };
        let zone_at = question.labels() - labels;
        question.set_zone(zone_at);
        question
    }

    /// Asks the plugins behind this one.
    async fn ask(&self, mut question: Box<Query>, found: &mut Reply) {
        found.begin(&question);
        if let (Some(chain), Some(&place)) = (self.chain_ref.chain(), self.place.get()) {
            chain.behind(place).run(&mut question, found).await;
        }
    }
}

/// Carries out the plan, except for the SOA record.
fn change(rule: &Rule, plan: &Plan, query: &Query, reply: &mut Reply) {
    reply.readdress(query, |draft| {
        // NS records without an answer would be a referral.
        if plan.no_data && draft.section != Section::Answer
            || draft.section != Section::Authority && plan.drops(draft.rtype, &draft.rdata)
        {
            return false;
        }
        if plan::is_service(draft.rtype) {
            for (which, rtype) in TYPES.into_iter().enumerate() {
                let to_go = plan.hints[which]
                    && rule
                        .mode(rtype)
                        .is_some_and(|mode| plan::is_hint_to_go(&draft.rdata, rtype, mode));
                if to_go {
                    hints::strip(&mut draft.rdata, rtype);
                }
            }
        }
        true
    });
    // The changed reply is not validated.
    reply.authentic_data = false;
}

/// The owner of the removed addresses: the question's name, or the end of its aliases.
fn last_owner(plan: &Plan, reply: &Reply) -> NameBuf {
    let mut owner = NameBuf::new();
    let answers = reply.records().map_while(Result::ok).filter(|record| {
        record.section == Section::Answer && plan.drops(record.rtype, record.rdata())
    });
    if let Some(last) = answers.last() {
        // A name that cannot be read has no SOA record to be found.
        let _ = last.owner(&mut owner);
    }
    owner
}

/// The zone's SOA record in the reply to an SOA query, in the form for a denial.
fn soa(found: &Reply) -> Option<Draft> {
    if found.is_silent() || found.failure().is_some() {
        return None;
    }
    let mut soa = found.drafts().into_iter().find(|draft| draft.rtype == Rtype::SOA)?;
    // "The TTL of this record is set from the minimum of the MINIMUM field of the SOA record and
    // the TTL of the SOA itself" (RFC 2308 section 3).
    let minimum = soa.rdata.last_chunk().map(|bytes| u32::from_be_bytes(*bytes))?;
    soa.ttl = soa.ttl.min(minimum);
    Some(soa)
}
