//! From a parsed Corefile to everything a configuration needs: chains, routers, listeners, tasks.
//!
//! Three steps: `blocks` reads the keys of each server block and the listeners inside it, `build` sets
//! up its plugins, and `join` puts the blocks together by endpoint. Nothing here touches the running
//! server: a plan with a mistake leaves no trace.

mod addresses;
mod blocks;
mod build;
mod directives;
mod join;
pub(super) mod keys;
mod lint;
mod listeners;
mod uses;

use std::sync::Arc;

use chain::settings::ProcessSettings;
use chain::setup::Requests;
use chain::{Registry, Services};
use corefile::{Corefile, Diagnostics};
use net::ListenSpec;

use super::config::{Config, ListenerIds};
use join::{Joined, Joiner};

pub(crate) use lint::lint;

/// A listener that a configuration wants.
pub(crate) struct Wanted {
    /// Its number.
    pub(crate) number: u16,
    /// Where and how to listen.
    pub(crate) spec: ListenSpec,
}

/// A configuration ready to be served.
pub(crate) struct Plan {
    /// The routers.
    pub(crate) config: Config,
    /// Where to listen.
    pub(crate) listeners: Vec<Wanted>,
    /// HTTP endpoints, tasks and shutdown hooks that plugins asked for.
    pub(crate) requests: Requests,
    /// The settings of the process.
    pub(crate) process: ProcessSettings,
    /// The lines of the start banner.
    pub(crate) banner: Vec<String>,
    /// What survives to the next configuration, and what plugins refer to.
    pub(crate) services: Arc<Services>,
}

/// Turns a Corefile into a plan, with warnings.
///
/// Errors: every mistake in every block.
pub(crate) fn plan(
    corefile: &Corefile,
    registry: Registry,
    services: Services,
    default_port: u16,
    ids: &mut ListenerIds,
) -> Result<(Plan, Diagnostics), Diagnostics> {
    let mut problems = Diagnostics::default();
    let parsed = blocks::blocks(&corefile.blocks, registry, default_port, &mut problems);
    let mut joiner = Joiner::new();
    for block in &parsed {
        let built = build::build(block, registry, &services, &mut problems);
        joiner.add(built, &mut problems);
    }
    let mut joined = joiner.finish(&mut problems);
    problems.extend(chain::admin::conflicts(&joined.requests.admins));
    let refused = problems.has_errors();
    problems.extend(std::mem::take(&mut joined.requests.warnings));
    if refused {
        return Err(problems);
    }
    Ok((finish(joined, services, ids), problems))
}

/// Numbers the listeners and makes their routers.
fn finish(joined: Joined, services: Services, ids: &mut ListenerIds) -> Plan {
    let Joined { listeners, process, requests } = joined;
    let number = |listener: join::Listening| (ids.of(listener.endpoint), listener);
    let numbered: Vec<(u16, join::Listening)> = listeners.into_iter().map(number).collect();
    let mut routers = vec![Arc::default(); ids.len()];
    let mut wanted = Vec::with_capacity(numbered.len());
    let mut banner = Vec::new();
    for (number, listener) in numbered {
        let zones = listener.targets.iter().map(|target| &target.zone);
        banner.extend(zones.map(|zone| keys::banner(zone, listener.endpoint)));
        wanted.push(Wanted { number, spec: listener.spec.clone() });
        routers[usize::from(number)] = Arc::new(listener.into_router());
    }
    banner.sort();
    banner.dedup();
    Plan {
        config: Config::new(routers),
        listeners: wanted,
        requests,
        process,
        banner,
        services: Arc::new(services),
    }
}
