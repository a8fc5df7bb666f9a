//! `secondary`: answers authoritatively from zones that it transfers from primary servers.
//!
//! `transfer` speaks to the primaries, `journal` keeps the copies on disk, and `authority` answers. Here are
//! the times at which a zone is checked, what becomes of what comes, and the members of catalog zones.

mod block;
mod catalog;
mod config;
mod copy;
mod follow;
#[cfg(test)]
mod kit;
mod metrics;
mod source;
mod store;
mod timers;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use authority::{Authority, Options, Outside};
use chain::{Fallthrough, Kind, Setup};
use corefile::{Diagnostic, Diagnostics, Directive};
use net::client::Network;
use tokio::sync::Notify;
use wire::Name;
use zone::LiveSet;

use block::{Block, Fixed, Keep, Members, Rule};
use config::Config;
use copy::Copy;
use metrics::Metrics;
use source::{Gate, Primary, Source};

/// The `secondary` directive.
pub static PLUGIN: Kind = Kind {
    name: "secondary",
    doc: include_str!("README.md"),
    answers: true,
    setup,
    ..Kind::DEFAULT
};

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut read = Vec::new();
    let mut fallthrough = Fallthrough::NEVER;
    for directive in uses {
        setup.warn_outside(&directive.args);
        match Config::read(directive, setup) {
            Ok(mut config) => {
                // As in CoreDNS the directives of a block share one plugin: the last one counts.
                fallthrough = config.fallthrough.take().unwrap_or(fallthrough);
                match sources(&config, directive, setup) {
                    Ok(sources) => read.push((config, sources)),
                    Err(wrong) => errors.extend(wrong),
                }
            }
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    let place = place(setup);
    let known: Arc<Members> = setup.keep(format!("members of catalogs {place}"), Members::default);
    let mut fixed: Vec<Fixed> = Vec::new();
    for (config, sources) in read {
        let source = Arc::new(sources.of_zones);
        let members = Arc::new(Source { catalog: None, ..(*source).clone() });
        for origin in &config.zones {
            let copy = open(&place, &known, origin, &source, &config, setup);
            let rule = config.catalog.as_ref().map(|within| Rule {
                within: within.clone(),
                most: config.max_members,
                members: Arc::clone(&members),
                groups: sources.of_groups.clone(),
            });
            // As in CoreDNS the last directive of a zone wins.
            if let Some(at) = fixed.iter().position(|known| known.copy.origin() == origin) {
                let message = format!("zone `{origin}` was given primaries before");
                setup.warn(
                    Diagnostic::warning(config.span, message)
                        .label("this `secondary` replaces the one before")
                        .help("remove one of the two, or list the zones of each"),
                );
                fixed.remove(at);
            }
            fixed.push(Fixed { copy, source: Arc::clone(&source), catalog: rule });
        }
    }
    link(fixed, known, fallthrough, setup);
    Ok(())
}

/// Adds the plugin for these zones to the chain.
fn link(fixed: Vec<Fixed>, members: Arc<Members>, fallthrough: Fallthrough, setup: &mut Setup<'_>) {
    let set = Arc::new(LiveSet::new(Vec::new()));
    let block = Arc::new(Block {
        fixed,
        members,
        set: Arc::clone(&set),
        own_zones: setup.own_zones(),
        clock: setup.clock(),
        changed: Arc::new(Notify::new()),
    });
    let has_catalogs = block.has_catalogs();
    // At the start, what is on the disk serves at once. Later the members are those of the running server,
    // which this configuration may not replace in the end.
    if has_catalogs && block.members.is_empty() {
        block.begin();
    }
    let options = Options { fallthrough, outside: Outside::RefuseIfLast, ..Options::default() };
    let keep = Keep(Arc::clone(&block));
    if has_catalogs {
        set.set(block.lives());
        let plugin = Authority::changing(set, options, keep, setup);
        setup.link(plugin);
    } else {
        let plugin = Authority::fixed(block.fixed_lives(), options, keep, setup);
        setup.link(plugin);
    }
    setup.task(move || block.run());
}

/// A zone that survives a reload of the Corefile.
struct Kept(Arc<Copy>);

/// What tells this server block from others: they may have a zone of the same name from elsewhere.
fn place(setup: &Setup<'_>) -> String {
    let mut words: Vec<String> =
        setup.keys().iter().map(|key| format!("{} {}", key.zone, key.server)).collect();
    words.sort_unstable();
    words.extend(setup.audience().iter().map(|(kind, word)| format!("{kind} {word:?}")));
    words.join(" ")
}

/// The zone as it is, or a new one. One that was a member of a catalog so far stays as it is too.
fn open(
    place: &str,
    members: &Members,
    origin: &Name,
    source: &Source,
    config: &Config,
    setup: &mut Setup<'_>,
) -> Arc<Copy> {
    let origin = origin.to_lower();
    let clock = setup.clock();
    let problem = Mutex::new(None);
    let kept = setup.keep(format!("secondary {origin} {place}"), || {
        Kept(members.copy(&origin).unwrap_or_else(|| {
            let directory = source.database.as_deref();
            let (copy, found) = Copy::new(&origin, clock, source.bounds, directory);
            *problem.lock().unwrap_or_else(PoisonError::into_inner) = found;
            Arc::new(copy)
        }))
    });
    if let Some(problem) = problem.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let span = config.database.as_ref().map_or(config.span, |token| token.span);
        setup.warn(
            Diagnostic::warning(span, problem)
                .label(format!("zone `{origin}` is not served from here, and not stored"))
                .help("move the files of this zone away; they are written again after a transfer"),
        );
    }
    Arc::clone(&kept.0)
}

/// The sources that a directive describes.
struct Sources {
    of_zones: Source,
    /// Those of members of catalogs, by their groups.
    of_groups: Vec<(Box<[u8]>, Arc<Source>)>,
}

fn sources(
    config: &Config,
    directive: &Directive,
    setup: &mut Setup<'_>,
) -> Result<Sources, Diagnostics> {
    let of_zones = source(config, directive, setup)?;
    let mut of_groups = Vec::new();
    for (name, group) in &config.groups {
        let source = Source { catalog: None, ..source(group, directive, setup)? };
        of_groups.push((name.clone(), Arc::new(source)));
    }
    Ok(Sources { of_zones, of_groups })
}

/// The source that a directive, or a group in it, describes.
fn source(
    config: &Config,
    directive: &Directive,
    setup: &mut Setup<'_>,
) -> Result<Source, Diagnostics> {
    let needs_tls = config.primaries.iter().any(|server| server.tls.is_some());
    let client = match needs_tls {
        true => Some(upstream::tls_client(&config.tls, directive, setup)?),
        false => None,
    };
    let mut primaries = Vec::new();
    for server in &config.primaries {
        let session = match (&server.tls, &client) {
            (Some(name), Some(client)) => {
                let name = name.clone().or_else(|| config.servername.clone());
                let name = name.unwrap_or_else(|| server.address.ip().to_string());
                let session = client.session(&name).map_err(|why| {
                    Diagnostic::error(config.span, format!("cannot use TLS with `{name}`: {why}"))
                })?;
                Some(session.for_transfers())
            }
            _ => None,
        };
        let is_same = |source: &&std::net::IpAddr| source.is_ipv4() == server.address.is_ipv4();
        let source = config.source.iter().find(is_same).copied();
        primaries.push(Primary { address: server.address, session, source });
    }
    let identity = primaries
        .iter()
        .map(|one| format!("{} {:?} {:?}", one.address, one.session, one.source))
        .chain(config.key.as_ref().map(|key| key.name().to_string()))
        .collect::<Vec<_>>()
        .join("; ");
    let network = setup.service::<Network>().map_or(Network::Os, |network| (*network).clone());
    Ok(Source {
        identity,
        primaries,
        key: config.key.clone(),
        allow_notify: config.allow_notify.clone(),
        limits: config.limits,
        bounds: config.bounds,
        database: config.database.as_ref().map(|token| database(setup, token)),
        catalog: config.catalog.as_ref().map(|_| config.max_members),
        network,
        gate: setup.keep("secondary transfers", Gate::default),
        metrics: Metrics::new(),
    })
}

fn database(setup: &Setup<'_>, token: &corefile::Token) -> PathBuf {
    let path: &Path = &setup.path(token);
    path.to_owned()
}
