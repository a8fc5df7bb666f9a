//! The link of a chain that answers for services from outside.

use std::sync::{Arc, OnceLock};

use chain::{
    BoxFuture, Chain, ChainRef, Failure, Next, Query, Reply, Resolver, Roles, ServeDns, Served,
    Setup, Step, ZoneSet,
};
use cluster::Exposed;
use corefile::Diagnostic;
use wire::edns::ede;
use wire::{Class, Rcode, Section};

use super::answer::{Answers, Found};
use super::config::Config;

/// The plugin: one `k8s_external` directive of a block.
pub(super) struct External {
    zones: ZoneSet,
    config: Config,
    resolver: Resolver,
    chain_ref: ChainRef,
    /// What the plugin *kubernetes* of the block offers.
    exposed: OnceLock<Option<Arc<Exposed>>>,
}

impl External {
    pub(super) fn new(config: Config, setup: &mut Setup<'_>) -> Self {
        setup.owns(config.zones.iter());
        Self {
            zones: ZoneSet::new(config.zones.iter().cloned()),
            config,
            resolver: setup.resolver(),
            chain_ref: setup.chain_ref(),
            exposed: OnceLock::new(),
        }
    }

    /// What is known of the cluster.
    fn exposed(&self) -> Option<&Arc<Exposed>> {
        let found = self.exposed.get_or_init(|| {
            let chain = self.chain_ref.chain()?;
            offered(&chain)
        });
        found.as_ref()
    }

    /// Answers the query, or says what else is to be done. `found` is the answer for the target of an alias.
    fn answer(&self, query: &Query, reply: &mut Reply, found: Option<&Reply>) -> Served {
        let Some((at, _)) = self.zones.find(query) else { return Ok(Step::Next) };
        if query.qtype().is_transfer() || query.qclass() != Class::IN {
            return Err(Failure::rcode(Rcode::REFUSED));
        }
        let Some(exposed) = self.exposed() else {
            return Err(Failure::servfail("there is no `kubernetes` in the server block"));
        };
        let answers = Answers { config: &self.config, exposed };
        let zone = &query.original_name()[query.label_at(at)..];
        match answers.answer(query, at, reply) {
            Found::Answered => {}
            Found::NoData => answers.push_soa(zone, Section::Authority, reply),
            Found::NxDomain => {
                if self.config.fallthrough.allows(query) {
                    reply.clear();
                    return Ok(Step::Next);
                }
                if !exposed.cluster().is_complete() {
                    reply.clear();
                    let why = "the names of the cluster are not complete yet";
                    return Err(Failure::servfail(why).extended(ede::NOT_READY, why));
                }
                reply.set_rcode(Rcode::NXDOMAIN);
                answers.push_soa(zone, Section::Authority, reply);
            }
            Found::Away(target) => match found {
                None if self.resolver.is_served(query, target.as_wire()) => {
                    return Ok(if Resolver::is_too_deep(query) { Step::Done } else { Step::Wait });
                }
                None => {}
                Some(found) if found.is_silent() => {}
                Some(found) => {
                    reply.append_answer(found);
                    if matches!(found.rcode(), Rcode::NXDOMAIN | Rcode::SERVFAIL) {
                        reply.set_rcode(found.rcode());
                    }
                }
            },
        }
        Ok(Step::Done)
    }
}

/// What a plugin of the chain offers of a cluster.
fn offered(chain: &Chain) -> Option<Arc<Exposed>> {
    chain.plugins().iter().find_map(|plugin| {
        plugin.roles().offers.and_then(|offer| offer.downcast_ref::<Arc<Exposed>>()).cloned()
    })
}

impl ServeDns for External {
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        self.answer(query, reply, None)
    }

    /// Called for services that are reached at a host elsewhere.
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            reply.clear();
            let mut target = None;
            if let (Some((at, _)), Some(exposed)) = (self.zones.find(query), self.exposed()) {
                let answers = Answers { config: &self.config, exposed };
                if let Found::Away(found) = answers.answer(query, at, reply) {
                    target = Some(found);
                }
            }
            reply.clear();
            let found = match target {
                Some(target) => self.resolver.lookup(query, target.as_wire(), query.qtype()).await,
                None => None,
            };
            let step = self.answer(query, reply, found.as_deref())?;
            if step == Step::Next {
                next.run(query, reply).await;
            }
            Ok(Step::Done)
        })
    }

    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        if offered(chain).is_some() {
            return Ok(());
        }
        Err(Diagnostic::error(self.config.span, "kubernetes plugin not loaded")
            .label("it answers from what `kubernetes` knows")
            .help("add `kubernetes` to this server block"))
    }

    fn roles(&self) -> Roles<'_> {
        Roles { sees: chain::Sees::TRANSFERS, ..Roles::default() }
    }
}
