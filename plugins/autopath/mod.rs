//! `autopath`: tries the names of a client's search path on behalf of the client.
//!
//! A stub resolver with a search path queries `name.ns.svc.cluster.local` before `name`. This plugin
//! tries all of these names with the plugins after it when the first of the queries arrives.

mod config;

use std::sync::OnceLock;

use chain::{
    BoxFuture, Chain, ChainRef, Kind, Next, Query, Reply, ServeDns, Served, Setup, Step, ZoneSet,
};
use corefile::{Diagnostic, Diagnostics, Directive, Span};
use telemetry::metrics::{self, Counter};
use wire::name::{self, NameBuf};
use wire::{Class, Draft, Name, Rcode, Rtype, Section};

use config::PathSource;

/// The `autopath` directive.
pub static PLUGIN: Kind =
    Kind { name: "autopath", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    // As in CoreDNS the last directive of a block counts.
    let Some((source, zones)) = config::parse(uses, setup)? else { return Ok(()) };
    let found = setup.keys().iter().map(|key| {
        metrics::counter(
            "coredns_autopath_success_total",
            "Counter of requests that did autopath.",
            &["server"],
            &[&key.server],
        )
    });
    let found = found.collect();
    setup.link(Autopath {
        source,
        zones,
        found,
        chain_ref: setup.chain_ref(),
        place: OnceLock::new(),
    });
    Ok(())
}

struct Autopath {
    source: PathSource,
    zones: ZoneSet,
    /// In the order of the block's keys.
    found: Box<[Counter]>,
    chain_ref: ChainRef,
    /// The place in the chain of the plugin that knows search paths.
    place: OnceLock<Option<usize>>,
}

impl ServeDns for Autopath {
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        if !self.zones.contains(query) {
            return Ok(Step::Next);
        }
        let applies = match &self.source {
            PathSource::File(path) => applies(query, path),
            PathSource::Plugin(..) => applies(query, &self.path_of(query)),
        };
        Ok(if applies { Step::Wait } else { Step::Next })
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            let path = match &self.source {
                PathSource::File(path) => path.clone(),
                PathSource::Plugin(..) => self.path_of(query),
            };
            self.walk(&path, query, reply, next).await
        })
    }

    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        let PathSource::Plugin(plugin, span) = &self.source else { return Ok(()) };
        match chain.position(plugin) {
            Some(place) if chain.plugins()[place].roles().search_path.is_none() => {
                Err(not_a_path(plugin, *span))
            }
            // As in CoreDNS, the plugin may be absent; no search path is tried then.
            _ => Ok(()),
        }
    }
}

fn not_a_path(plugin: &str, span: Span) -> Diagnostic {
    Diagnostic::error(span, format!("plugin `{plugin}` does not provide a search path"))
        .label("expected a plugin that provides a search path")
        .help("use another plugin, such as `@kubernetes`, or a file such as `/etc/resolv.conf`")
}

impl Autopath {
    /// The search path of the query's client, from the plugin.
    fn path_of(&self, query: &Query) -> Vec<Name> {
        let mut path = Vec::new();
        let PathSource::Plugin(plugin, _) = &self.source else { return path };
        let Some(chain) = self.chain_ref.chain() else { return path };
        let place = *self.place.get_or_init(|| chain.position(plugin));
        let found = place.and_then(|place| chain.plugins().get(place));
        if let Some(source) = found.and_then(|plugin| plugin.roles().search_path) {
            source.search_path(query, &mut path);
        }
        path
    }

    /// Looks up the name under each suffix until one exists. If none does, the reply is the first one,
    /// and the client continues by itself.
    async fn walk(
        &self,
        path: &[Name],
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
    ) -> Served {
        let Some(first) = path.first() else { return Ok(Step::Done) };
        let base = query.original_name();
        let base = base[..base.len() - first.as_wire().len()].to_vec();
        let mut kept: Option<Box<Reply>> = None;
        for suffix in path {
            let mut name = NameBuf::new();
            let labels = name::labels(&base);
            let fits = labels.into_iter().all(|label| name.push_label(label).is_ok())
                && name.push_name(suffix.as_wire()).is_ok();
            // Too long to exist.
            if !fits {
                continue;
            }
            query.push_original();
            let renamed = query.rename(name.as_wire()).is_ok();
            if renamed {
                reply.begin(query);
                next.run(query, reply).await;
            }
            query.pop_original();
            if !renamed {
                continue;
            }
            let failed = reply.failure().is_some();
            if reply.failure().is_some_and(|failure| failure.cause.is_some()) || reply.is_silent() {
                return Ok(Step::Done);
            }
            if !failed && reply.rcode() != Rcode::NXDOMAIN {
                lead_to(query, reply);
                if let Some(found) = self.found.get(usize::from(query.state.key)) {
                    found.inc(metrics::SHARED);
                }
                return Ok(Step::Done);
            }
            if kept.is_none() {
                kept = Some(Box::new(std::mem::take(reply)));
            }
        }
        if let Some(first) = kept {
            *reply = *first;
        }
        Ok(Step::Done)
    }
}

/// Whether the name is below the first suffix. The suffix itself has no label to prepend to the
/// others.
fn applies(query: &Query, path: &[Name]) -> bool {
    path.first().is_some_and(|first| {
        name::is_under(query.name(), first.as_wire()) && query.name().len() > first.as_wire().len()
    })
}

/// Turns the reply into one for the question of `query`, with an alias to the name that was found.
fn lead_to(query: &Query, reply: &mut Reply) {
    let mut drafts = reply.drafts();
    let leads = drafts.first().filter(|first| {
        first.section == Section::Answer && !name::eq(first.owner.as_wire(), query.original_name())
    });
    if let Some(first) = leads {
        let mut owner = NameBuf::new();
        // The name of a question fits.
        let _ = owner.push_name(query.original_name());
        let alias = Draft {
            section: Section::Answer,
            owner,
            rtype: Rtype::CNAME,
            class: Class::IN,
            ttl: first.ttl,
            rdata: first.owner.as_wire().to_vec(),
        };
        drafts.insert(0, alias);
    }
    reply.replace_records(query, &drafts);
}
