//! Setup: builds the plugin from a `cache` directive, with the store of an earlier configuration.

use std::sync::Arc;

use chain::memory::Memory;
use chain::{Kind, Setup};
use corefile::{Diagnostic, Diagnostics, Directive};
use net::Bound;

use super::config::Config;
use super::flight::{self, Flights};
use super::metrics::{self, CacheMetrics};
use super::phases::{Cache, MAX_BACKGROUND};
use super::store::{SharedStore, Store};
use super::{admin, snapshot};

/// The `cache` directive.
pub static PLUGIN: Kind =
    Kind { name: "cache", doc: include_str!("README.md"), once: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let zones = setup.zones();
    for directive in uses {
        let config = Config::parse(directive, &zones, setup.warnings())?;
        // The first argument may be a TTL.
        let ttl = directive.args.first().is_some_and(|word| word.as_str().parse::<u64>().is_ok());
        setup.warn_outside(&directive.args[usize::from(ttl)..]);
        let cache = build(config, setup)?;
        setup.link(cache);
    }
    Ok(())
}

/// Builds the plugin. The store survives a reload unless its identity changes.
fn build(config: Config, setup: &mut Setup<'_>) -> Result<Cache, Diagnostic> {
    let memory = || setup.service::<Memory>();
    let shared = setup.keep("cache", || SharedStore::new(memory()));
    let store = setup.keep(identity(&config, setup), || Store::new(&shared, &config, setup.view()));
    if let Some(admin) = &config.admin {
        admin::open(admin, &shared, setup)?;
    }
    if let Some(snapshot) = &config.snapshot {
        let identity = identity(&config, setup);
        let key = format!("snapshot {:?} of {}", setup.path(&snapshot.file), setup.fingerprint());
        let owner: Arc<String> = setup.keep(key, || identity.clone());
        if *owner != identity {
            return Err(snapshot::conflict(snapshot));
        }
        snapshot::start(snapshot, &config, &store, setup);
    }
    let view = setup.view();
    metrics::register_entries(setup.keys(), &config.zones_label, view, &store);
    let servers =
        setup.keys().iter().map(|key| &*key.server).chain(setup.keys().is_empty().then_some(""));
    let metrics =
        servers.map(|server| CacheMetrics::new(server, &config.zones_label, view)).collect();
    Ok(Cache {
        store,
        flights: Flights::new(flight::MAX_PER_FLIGHT, flight::MAX_WAITING),
        metrics,
        own_zones: setup.own_zones(),
        clock: setup.clock(),
        chain_ref: setup.chain_ref(),
        query_state: setup.state_key(),
        background: Arc::new(Bound::new(MAX_BACKGROUND)),
        config,
    })
}

/// The identity of a store: a reload that changes it starts with an empty one. It has the listeners,
/// the zones and the capacities. Lifetimes are no part of it, because entries outlive a change of TTL
/// options.
fn identity(config: &Config, setup: &Setup<'_>) -> String {
    use std::fmt::Write;
    let mut text = String::from("cache");
    for key in setup.keys() {
        let _ = write!(text, " {}{}:{}", key.server, key.zone, key.port());
    }
    for (kind, word) in setup.audience() {
        let _ = write!(text, " {kind} {word}");
    }
    let capacities = [&config.success, &config.denial].map(|limits| limits.capacity);
    let _ = write!(text, " zones {} capacities {capacities:?}", config.zones_label);
    text
}
