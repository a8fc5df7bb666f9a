//! `records`: answers authoritatively from records in the Corefile.
//!
//! Its lines have the syntax of zone files. The crate `zone` parses, stores and looks them up. The plugin
//! opens no file, and its data changes only with the Corefile.

mod config;
mod load;

use chain::{
    BoxFuture, Failure, Fallthrough, Kind, Next, Query, Reply, Resolver, Roles, Sees, ServeDns,
    Served, Setup, Step,
};
use corefile::{Diagnostics, Directive};
use wire::{Class, Rcode, Section, SuffixMap};
use zone::{Outcome, Zone};

use load::LoadedZone;

/// The `records` directive.
pub static PLUGIN: Kind = Kind {
    name: "records",
    doc: include_str!("README.md"),
    once: true,
    answers: true,
    setup,
    ..Kind::DEFAULT
};

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        let (config, mut found) = config::parse(directive, &setup.zones());
        let mut warnings = Diagnostics::default();
        let zones = match load::load(&config, directive.span, &mut warnings) {
            Ok(zones) if !found.has_errors() => zones,
            loaded => {
                found.extend(loaded.err().into_iter().flatten());
                return Err(found);
            }
        };
        setup.warn_all(found.into_iter().chain(warnings));
        setup.warn_outside(&directive.args);
        for option in directive.options().iter().filter(|line| config::is_option(line)) {
            setup.warn_outside(&option.args);
        }
        setup.owns(&config.zones);
        if config.fallthrough == Fallthrough::NEVER {
            setup.ends(config.zones);
        }
        let (fallthrough, resolver) = (config.fallthrough, setup.resolver());
        setup.link(Records { zones, fallthrough, resolver });
    }
    Ok(())
}

struct Records {
    zones: SuffixMap<LoadedZone>,
    fallthrough: Fallthrough,
    resolver: Resolver,
}

impl ServeDns for Records {
    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::TRANSFERS, ..Roles::default() }
    }

    #[inline]
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        let Some((entry, label)) = self.zones.find(query) else {
            return Ok(Step::Next);
        };
        if query.qtype().is_transfer() || query.qclass() != Class::IN {
            return Err(Failure::rcode(Rcode::REFUSED));
        }
        if !entry.has_apex && label == 0 && self.fallthrough.allows(query) {
            // The apex has the generated SOA record only.
            return Ok(Step::Next);
        }
        match entry.zone.answer(query, reply) {
            Outcome::External { target } => self.leave(&entry.zone, query, reply, target.as_wire()),
            outcome => self.conclude(&outcome, query, reply),
        }
    }

    /// Called only for aliases that lead to another zone of this server.
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        _: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            let unloaded = || Failure::servfail("the configuration was unloaded");
            let (entry, _) = self.zones.find(query).ok_or_else(unloaded)?;
            reply.clear();
            // The zone has not changed, so this is the same answer again.
            if let Outcome::External { target } = entry.zone.answer(query, reply) {
                let found = self.resolver.lookup(query, target.as_wire(), query.qtype()).await;
                entry.zone.complete_alias(query, reply, &*found.ok_or_else(unloaded)?);
            }
            Ok(Step::Done)
        })
    }
}

impl Records {
    /// The step after the zone's answer.
    #[inline]
    fn conclude(&self, outcome: &Outcome, query: &Query, reply: &mut Reply) -> Served {
        match outcome {
            // A chain of aliases without a target is an answer, too.
            Outcome::NxDomain | Outcome::EmptyNonTerminal
                if reply.count(Section::Answer) == 0 && self.fallthrough.allows(query) =>
            {
                reply.clear();
                Ok(Step::Next)
            }
            Outcome::ServFail(why) => Err(Failure::servfail(*why)),
            _ => Ok(Step::Done),
        }
    }

    /// The step after an alias out of the zone. It is followed if it leads to a zone of this server.
    #[cold]
    fn leave(&self, zone: &Zone, query: &Query, reply: &mut Reply, target: &[u8]) -> Served {
        if Resolver::is_too_deep(query) {
            return Err(Failure::servfail("too many CNAME records lead from zone to zone"));
        }
        if self.resolver.is_served(query, target) {
            return Ok(Step::Wait);
        }
        zone.push_authority(query, reply);
        Ok(Step::Done)
    }
}
