//! From a parsed Corefile to everything a configuration needs: chains, routers, listeners, tasks.
//!
//! Nothing here touches the running server: a plan with a mistake leaves no trace.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chain::settings::Reload;
use chain::setup::{BlockSetup, Requests};
use chain::{Chain, Entry, Key, Registry, World};
use corefile::{Corefile, Diagnostic, Diagnostics, Directive, ServerBlock, Span, Token};
use wire::Name;

use super::block::{Block, Counts};
use super::config::{Config, SiteNumbers};
use super::keys::{self, ZoneKey};
use super::router::{Beforehand, Router, Target};

/// A listener that a configuration wants.
pub(crate) struct Wanted {
    /// Where.
    pub(crate) address: SocketAddr,
    /// Its number.
    pub(crate) number: u16,
    /// How many sockets; one per worker unless said.
    pub(crate) sockets: Option<usize>,
}

/// A configuration ready to be served.
pub(crate) struct Plan {
    /// The routers.
    pub(crate) config: Config,
    /// Where to listen.
    pub(crate) listeners: Vec<Wanted>,
    /// HTTP endpoints, tasks and shutdown hooks that plugins asked for.
    pub(crate) requests: Requests,
    /// `reload`, if any block has it.
    pub(crate) reload: Option<Reload>,
    /// `debug` in any block.
    pub(crate) debug: bool,
    /// `memory`, if any block has it.
    pub(crate) memory: Option<u64>,
    /// The longest lameduck.
    pub(crate) lameduck: Duration,
    /// The lines of the start banner.
    pub(crate) banner: Vec<String>,
    /// What survives to the next configuration, and what plugins refer to.
    pub(crate) world: Arc<World>,
}

/// Turns a Corefile into a plan.
///
/// Errors: every mistake in every block.
pub(crate) fn plan(
    corefile: &Corefile,
    registry: Registry,
    world: World,
    default_port: u16,
    numbers: &mut SiteNumbers,
) -> Result<(Plan, Diagnostics), Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut requests = Requests::default();
    let mut sites: HashMap<SocketAddr, Vec<Target>> = HashMap::new();
    let mut order: Vec<(SocketAddr, Option<usize>)> = Vec::new();
    let mut claims: Vec<(Name, SocketAddr)> = Vec::new();
    let mut summary = (None, false, Duration::ZERO);
    let mut memory = None;
    let counts = Arc::new(Counts::new());
    let blocks = spread_directives(&corefile.blocks, registry, &mut problems);
    for (block, extra) in &blocks {
        let zone_keys = keys::parse(block, default_port, &mut problems);
        let directives: Vec<&Directive> = block.directives.iter().chain(extra).collect();
        let built = set_up(&directives, &zone_keys, registry, &world, &mut problems);
        let glued = unknown_directives(&directives, block.braces, registry, &mut problems);
        let (mut setup, routed) = built;
        setup
            .requests
            .warnings
            .0
            .retain(|warning| warning.span.is_none_or(|at| !glued.contains(&at)));
        let settings = &setup.settings;
        summary.0 = settings.reload.or(summary.0);
        summary.1 |= settings.debug;
        summary.2 = summary.2.max(settings.lameduck);
        problems.extend(settings.memory.and_then(|asked| contradicts(asked, &mut memory)));
        let mut asked = setup.requests;
        requests.endpoints.append(&mut asked.endpoints);
        requests.tasks.append(&mut asked.tasks);
        requests.on_startup.append(&mut asked.on_startup);
        requests.finishing.append(&mut asked.finishing);
        requests.on_shutdown.append(&mut asked.on_shutdown);
        requests.warnings.extend(asked.warnings);
        let peers = setup.peers;
        let links = chain::spans::watched(setup.links, settings.spans_from, world.clock);
        let chain = Arc::new(Chain::new(links, world.clock));
        peers.set(&chain);
        let complete = chain.plugins().iter().map(|plugin| plugin.complete(&chain));
        problems.extend(complete.filter_map(Result::err));
        let sockets = setup.settings.sockets;
        problems.extend(sockets.and_then(|asked| outdone(asked, &routed, &order)));
        let metadata = setup.settings.metadata.clone();
        let filter = setup.settings.view.map(|view| view.filter);
        let viewed = filter.is_some();
        let beforehand =
            (viewed || metadata.is_some()).then(|| Arc::new(Beforehand { metadata, filter }));
        let block = Arc::new(Block {
            debug: setup.settings.debug,
            stacktrace: setup.settings.stacktrace,
            ..Block::new(Arc::clone(&chain), Arc::clone(&counts))
        });
        for (index, (key, listener)) in routed.iter().enumerate() {
            if let Some(problem) = overlap(key, *listener, &claims, &zone_keys, viewed) {
                problems.push(problem);
                continue;
            }
            if !viewed {
                claims.push((key.zone.clone(), *listener));
            }
            let target = Target {
                all_classes: setup.settings.all_classes,
                beforehand: beforehand.clone(),
                ..Target::new(key.zone.clone(), Arc::clone(&block), index as u16)
            };
            let zones = sites.entry(*listener).or_insert_with(|| {
                order.push((*listener, sockets.map(|(count, _)| count)));
                Vec::new()
            });
            zones.push(target);
        }
    }
    let warnings = std::mem::take(&mut requests.warnings);
    if problems.has_errors() {
        problems.extend(warnings);
        return Err(problems);
    }
    problems.extend(warnings);
    let wanted = |(address, sockets)| Wanted { address, number: numbers.of(address), sockets };
    let listeners: Vec<Wanted> = order.into_iter().map(wanted).collect();
    let mut routers = vec![Arc::<Router>::default(); numbers.len()];
    let mut banner = Vec::new();
    for Wanted { address, number, .. } in &listeners {
        let zones = sites.remove(address).unwrap_or_default();
        banner.extend(zones.iter().map(|target| keys::banner(&target.zone, *address)));
        routers[usize::from(*number)] = Arc::new(Router::new(&keys::server(*address), zones));
    }
    banner.sort();
    banner.dedup();
    let plan = Plan {
        config: Config::new(routers),
        listeners,
        requests,
        reload: summary.0,
        debug: summary.1,
        memory: memory.map(|(limit, _)| limit),
        lameduck: summary.2,
        banner,
        world: Arc::new(world),
    };
    Ok((plan, problems))
}

/// Sets up every directive of a block, in registry order.
fn set_up(
    directives: &[&Directive],
    zone_keys: &[ZoneKey],
    registry: Registry,
    world: &World,
    problems: &mut Diagnostics,
) -> (BlockSetup, Vec<(Key, SocketAddr)>) {
    let mut setup = BlockSetup::default();
    setup.settings.root.clone_from(&world.root);
    let mut routed = Vec::new();
    let mut stale = true;
    let mut keys: Vec<Key> = Vec::new();
    for entry in registry {
        let uses: Vec<&Directive> =
            directives.iter().copied().filter(|d| d.name.as_str() == entry.name()).collect();
        if uses.is_empty() {
            continue;
        }
        if stale {
            // `bind` may have told more by now, and it runs before all who look at keys.
            let addresses = keys::addresses(&setup.settings.bind, problems);
            routed = keys::routed(zone_keys, &addresses);
            keys = routed.iter().map(|(key, _)| key.clone()).collect();
        }
        let kind = match entry {
            Entry::Built(kind) => kind,
            Entry::Known(name) => {
                problems.extend(uses.iter().map(|used| not_built(used, name)).collect::<Vec<_>>());
                continue;
            }
        };
        if kind.once
            && let [_, second, ..] = uses[..]
        {
            problems.push(
                Diagnostic::error(
                    second.name.span,
                    format!(
                        "plugin/{}: this plugin can only be used once per Server Block",
                        kind.name
                    ),
                )
                .label("used a second time here")
                .help("remove one of the two, or move one to another server block"),
            );
            continue;
        }
        if kind.answers
            && let Some(unreached) = unreached(&uses, &setup.settings.ended, &keys)
        {
            problems.push(unreached);
        }
        let bound = setup.settings.bind.len();
        if let Err(wrong) = (kind.setup)(&uses, &mut setup.plugin(kind.name, &keys, world)) {
            problems.extend(wrong);
        }
        stale = setup.settings.bind.len() != bound;
    }
    if stale || routed.is_empty() {
        let addresses = keys::addresses(&setup.settings.bind, problems);
        routed = keys::routed(zone_keys, &addresses);
    }
    (setup, routed)
}

/// An error if another block says something else about the memory of the process.
fn contradicts((limit, span): (u64, Span), known: &mut Option<(u64, Span)>) -> Option<Diagnostic> {
    let (other, _) = *known.get_or_insert((limit, span));
    (other != limit).then(|| {
        Diagnostic::error(span, "conflicting values of `memory`")
            .label(format!("another server block sets {}", chain::memory::shown(other)))
            .help("`memory` applies to the whole process: keep one of the values")
    })
}

/// A warning if an earlier block decided how many sockets a listener of this one has: the first one
/// does, as in CoreDNS.
fn outdone(
    (count, span): (usize, Span),
    routed: &[(Key, SocketAddr)],
    order: &[(SocketAddr, Option<usize>)],
) -> Option<Diagnostic> {
    let other = |(address, sockets): &&(SocketAddr, Option<usize>)| {
        *sockets != Some(count) && routed.iter().any(|(_, listener)| listener == address)
    };
    let (address, _) = order.iter().find(other)?;
    Some(
        Diagnostic::warning(span, "`multisocket` has no effect here")
            .label(format!(
                "an earlier server block sets the number of sockets of {}",
                keys::server(*address)
            ))
            .help("move it to the first server block on this address"),
    )
}

/// A warning if every query of the block ends before a plugin that answers.
fn unreached(
    uses: &[&Directive],
    ended: &[(Name, &'static str)],
    keys: &[Key],
) -> Option<Diagnostic> {
    let end = |key: &Key| ended.iter().find(|(zone, _)| key.zone.is_under(zone));
    let (_, before) = keys.iter().map(end).next_back()??;
    if !keys.iter().all(|key| end(key).is_some()) {
        return None;
    }
    let used = uses.first()?;
    let name = used.name.as_str();
    Some(
        Diagnostic::warning(used.name.span, format!("`{name}` is never reached"))
            .label(format!("`{before}` runs before it and passes on no query of this block"))
            .help(format!(
                "remove it, or let `{before}` pass queries on (see `catena help {before}`)"
            )),
    )
}

fn not_built(used: &Directive, name: &str) -> Diagnostic {
    Diagnostic::error(used.name.span, format!("plugin `{name}` is not in this build"))
        .label("CoreDNS has this plugin, this build does not")
        .help("remove the directive, or keep CoreDNS for this server block")
}

/// Refuses what no plugin is for. The words that were to open a block, for want of a blank, are returned:
/// what they say themselves is not to be told.
fn unknown_directives(
    directives: &[&Directive],
    braces: bool,
    registry: Registry,
    problems: &mut Diagnostics,
) -> Vec<Span> {
    let mut glued = Vec::new();
    // Once the mistake is told that makes lines look like directives, they are not told.
    let (mut opens, mut follows, mut told_bare) = (None, false, false);
    for directive in directives {
        let name = directive.name.as_str();
        let last = directive.args.last().unwrap_or(&directive.name);
        if registry.iter().any(|entry| entry.name() == name) {
            opens = glued_brace(last).map(|problem| (problem, last.span));
            follows = false;
            continue;
        }
        if let Some((problem, word)) = opens.take() {
            problems.0.retain(|known| known.span != Some(word));
            problems.push(problem);
            glued.push(word);
            follows = true;
        }
        if follows {
            continue;
        }
        if let Some((scheme, _)) = name.split_once("://") {
            problems.push(
                Diagnostic::error(
                    directive.name.span,
                    format!(
                        "this build does not support a `{scheme}://` listener inside a server block"
                    ),
                )
                .help("write the listener as a key of the server block"),
            );
            continue;
        }
        let mut problem =
            Diagnostic::error(directive.name.span, format!("Unknown directive '{name}'"))
                .label("no plugin has this name");
        let help = match corefile::nearest(name, registry.iter().map(Entry::name)) {
            _ if !braces && directive.body.is_some() => {
                if std::mem::replace(&mut told_bare, true) {
                    continue;
                }
                "a file without braces is a single server block: enclose the block above in braces"
                    .to_owned()
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => "`catena -plugins` lists the plugins of this build".to_owned(),
        };
        problem = problem.help(help);
        problems.push(problem);
    }
    glued
}

/// The mistake of a line that ends with a brace that no blank separates from its word, if the next
/// lines turn out to be no directives.
fn glued_brace(last: &Token) -> Option<Diagnostic> {
    let rest = last.as_str().strip_suffix('{').filter(|rest| !rest.is_empty())?;
    let brace = Span { start: last.span.end.saturating_sub(1), ..last.span };
    (!last.quoted).then(|| {
        Diagnostic::error(brace, "a space is missing before this `{`")
            .label("without it the brace is part of the word, and the next lines are no block")
            .help(format!("put a space before `{{`: `{rest} {{`"))
    })
}

/// A top-level block whose first word is a directive applies it to the blocks that serve its zones.
fn spread_directives<'a>(
    blocks: &'a [ServerBlock],
    registry: Registry,
    problems: &mut Diagnostics,
) -> Vec<(&'a ServerBlock, Vec<Directive>)> {
    let is_directive = |block: &ServerBlock| {
        block.keys.len() > 1 && registry.iter().any(|entry| entry.name() == block.keys[0].as_str())
    };
    let mut out: Vec<(&ServerBlock, Vec<Directive>)> = blocks
        .iter()
        .filter(|block| !is_directive(block))
        .map(|block| (block, Vec::new()))
        .collect();
    for block in blocks.iter().filter(|block| is_directive(block)) {
        let directive = Directive {
            name: block.keys[0].clone(),
            args: block.keys[1..].to_vec(),
            body: Some(block.directives.clone()),
            span: block.span,
            end: block.span,
        };
        let zones: Vec<Name> =
            block.keys[1..].iter().flat_map(|key| zones_of(key.as_str())).collect();
        let mut used = false;
        for (server, extra) in &mut out {
            let serves = server
                .keys
                .iter()
                .flat_map(|key| zones_of(key.as_str()))
                .any(|served| zones.iter().any(|zone| zone.is_under(&served)));
            if serves {
                extra.push(directive.clone());
                used = true;
            }
        }
        if !used {
            problems.push(
                Diagnostic::error(
                    block.keys[0].span,
                    format!(
                        "no server block serves the zones of this `{}`",
                        block.keys[0].as_str()
                    ),
                )
                .help("add a server block for these zones, or write the directive inside one"),
            );
        }
    }
    out
}

/// The zones that a key's text stands for, without its scheme and port; none if it is no zone.
fn zones_of(text: &str) -> Vec<Name> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let zone = match rest.rsplit_once(':') {
        Some((zone, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => zone,
        _ => rest,
    };
    chain::zones::from_text(if zone.is_empty() { "." } else { zone }).unwrap_or_default()
}

/// The same zone on the same port may be served once, not counting blocks with a view; bound and
/// unbound blocks may not mix.
fn overlap(
    key: &Key,
    listener: SocketAddr,
    claims: &[(Name, SocketAddr)],
    zone_keys: &[ZoneKey],
    viewed: bool,
) -> Option<Diagnostic> {
    let span = zone_keys.iter().find(|known| known.zone == key.zone)?.span;
    let (zone, port) = (&key.zone, key.port);
    let same_zone = claims.iter().filter(|(known, at)| known == zone && at.port() == port);
    for (_, claimed) in same_zone {
        if *claimed == listener && !viewed {
            let on = if listener.ip().is_unspecified() {
                String::new()
            } else {
                format!(" on {}", listener.ip())
            };
            return Some(
                Diagnostic::error(
                    span,
                    format!("cannot serve dns://{zone}:{port}{on} - it is already defined"),
                )
                .label("an earlier server block serves it already")
                .help(
                    "merge the two server blocks, or give one a different port, `bind` address or `view`",
                ),
            );
        }
        if claimed.ip().is_unspecified() != listener.ip().is_unspecified() {
            return Some(
                Diagnostic::error(
                    span,
                    format!(
                        "cannot serve dns://{zone}:{port} - zone overlap listener capacity with \
                         dns://{zone}:{port}"
                    ),
                )
                .label("one block has `bind`, the other listens on all addresses")
                .help("give both blocks a `bind`, or neither"),
            );
        }
    }
    None
}
