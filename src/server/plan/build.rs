//! The plugins of a server block: set up in registry order, and linked to a chain.

use std::net::IpAddr;
use std::sync::Arc;

use chain::settings::{ListenerSettings, Settings};
use chain::setup::{BlockSetup, Requests};
use chain::{Chain, Entry, Key, Registry, Services};
use corefile::{Diagnostic, Diagnostics, Directive, Span};
use wire::{Endpoint, Name};

use super::blocks::ParsedBlock;
use super::uses::{not_built, surplus};
use super::{addresses, directives, keys, listeners};

/// A server block whose plugins are set up.
pub(super) struct Built {
    /// Its chain.
    pub(super) chain: Arc<Chain>,
    /// What it sets.
    pub(super) settings: Settings,
    /// Its zones on their endpoints; the indices are those of the keys that plugins saw.
    pub(super) served: Vec<Served>,
    /// What its plugins request.
    pub(super) requests: Requests,
    /// The place of its first key.
    pub(super) span: Span,
}

/// A zone of a block on one endpoint.
pub(super) struct Served {
    /// The zone.
    pub(super) zone: Name,
    /// The endpoint.
    pub(super) endpoint: Endpoint,
    /// The settings of a listener there.
    pub(super) settings: ListenerSettings,
    /// The place of the key.
    pub(super) span: Span,
}

/// Sets up the plugins of a block.
pub(super) fn build(
    block: &ParsedBlock<'_>,
    registry: Registry,
    services: &Services,
    problems: &mut Diagnostics,
) -> Built {
    let directives: Vec<&Directive> = block.directives.iter().map(AsRef::as_ref).collect();
    let mut builder = Builder::new(block, services, problems);
    for entry in registry {
        let name = entry.name();
        let uses: Vec<&Directive> =
            directives.iter().copied().filter(|used| used.name.as_str() == name).collect();
        builder.set_up(entry, &uses);
    }
    builder.route();
    let Builder { setup, routed, .. } = builder;
    let BlockSetup { settings, mut requests, links, chain_ref, .. } = setup;
    let glued = directives::refuse_unknown(&directives, block.braces, registry, problems);
    requests.warnings.0.retain(|warning| warning.span.is_none_or(|at| !glued.contains(&at)));
    let root = settings.block.root.as_ref();
    let bodies = listeners::settings(block, registry, services, root, &mut requests, problems);
    let links = chain::spans::watched(links, settings.block.spans_from, services.clock);
    let chain = Arc::new(Chain::new(links, services.clock));
    chain_ref.set(&chain);
    problems.extend(chain.plugins().iter().filter_map(|plugin| plugin.complete(&chain).err()));
    let served = |(key, index): (Key, usize)| {
        let written = &block.keys[index];
        let own = written.listener.map(|listener| &bodies[listener]);
        Served {
            settings: own.unwrap_or(&settings.listener).or(&settings.listener),
            zone: key.zone,
            endpoint: key.endpoint,
            span: written.span,
        }
    };
    let served = routed.into_iter().map(served).collect();
    Built { chain, served, settings, requests, span: block.span }
}

/// A block whose plugins are being set up.
struct Builder<'a> {
    block: &'a ParsedBlock<'a>,
    services: &'a Services,
    problems: &'a mut Diagnostics,
    setup: BlockSetup,
    /// The keys as routed, which plugins see, and the number of `bind` directives they follow from.
    routed: Vec<(Key, usize)>,
    keys: Vec<Key>,
    binds: Option<usize>,
}

impl<'a> Builder<'a> {
    fn new(
        block: &'a ParsedBlock<'a>,
        services: &'a Services,
        problems: &'a mut Diagnostics,
    ) -> Self {
        let (setup, routed, keys) = (BlockSetup::default(), Vec::new(), Vec::new());
        Self { block, services, problems, setup, routed, keys, binds: None }
    }

    /// Routes the keys, unless nothing was bound since. `bind` runs before all plugins that look at them.
    fn route(&mut self) {
        let binds = &self.setup.settings.block.bind;
        if self.binds.replace(binds.len()) == Some(binds.len()) {
            return;
        }
        let addresses: Vec<Option<IpAddr>> = addresses::addresses(binds, self.problems);
        self.routed = keys::routed(&self.block.keys, &addresses);
        self.keys = self.routed.iter().map(|(key, _)| key.clone()).collect();
    }

    /// Sets up one plugin for all its uses in the block.
    fn set_up(&mut self, entry: &Entry, uses: &[&Directive]) {
        if uses.is_empty() {
            return;
        }
        self.route();
        let Some(kind) = entry.kind() else {
            self.problems.extend(uses.iter().map(|used| not_built(used)));
            return;
        };
        if let Some(surplus) = surplus(kind, uses) {
            self.problems.push(surplus);
            return;
        }
        if kind.answers {
            let ended = &self.setup.settings.block.ended;
            self.problems.extend(unreached(uses, ended, &self.keys));
        }
        let mut setup = self.setup.plugin(kind.name, &self.keys, self.services);
        if let Err(wrong) = (kind.setup)(uses, &mut setup) {
            self.problems.extend(wrong);
        }
    }
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
