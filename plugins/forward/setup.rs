//! From directives to links in the chain, upstreams and their health checks.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chain::{Setup, metrics};
use corefile::{Diagnostic, Diagnostics, Directive};
use net::Runtimes;
use net::client::{Network, Over};

use super::config::Config;
use super::secure::Secure;
use super::taps::Watchers;
use super::target::Found;
use super::to::Scheme;
use super::upstream::{Options, Upstream};
use super::{Forward, IN_FLIGHT, health, target};

/// Sets up all `forward` directives of a server block.
pub(super) fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let network = match setup.world.service::<Network>() {
        Some(network) => network,
        None => Arc::new(Network::Os),
    };
    // CoreDNS: a block with `forward` takes queries of every class.
    setup.settings.all_classes = true;
    metrics::gauge_fn(
        "catena_forward_in_flight",
        "Queries that wait for an upstream.",
        &[],
        &[],
        || IN_FLIGHT.load(Ordering::Relaxed) as f64,
    );
    let mut problems = Diagnostics::default();
    for (index, directive) in uses.iter().enumerate() {
        let followed = index + 1 < uses.len();
        if let Err(more) = set_up_one(directive, followed, &network, setup) {
            problems.extend(more);
        }
    }
    if problems.has_errors() { Err(problems) } else { Ok(()) }
}

fn set_up_one(
    directive: &Directive,
    followed: bool,
    network: &Arc<Network>,
    setup: &mut Setup<'_>,
) -> Result<(), Diagnostics> {
    let config = Config::read(directive, &mut setup.requests.warnings)?;
    let (found, secure) =
        both(target::addresses(&config, network, setup), Secure::new(&config, setup))?;
    setup.warn_outside(directive.args.get(..1).unwrap_or_default());
    if config.except.is_empty() {
        setup.ends([config.from.clone()]);
    }
    warn_of_useless(directive, &config, followed, &found, setup);
    if let Some(warning) = secure.warning(directive, &found) {
        setup.requests.warnings.push(warning);
    }
    let options = Options {
        source: config.source,
        expire: config.expire,
        max_age: config.max_age,
        max_idle_conns: config.max_idle_conns,
        check_recursion: config.health.recursion,
        check_domain: config.health.domain.clone(),
        check_tcp: config.force_tcp,
        over: Over::Tcp,
    };
    let workers = setup.world.workers;
    let mut upstreams = Vec::with_capacity(found.len());
    for found in found {
        let over = secure.over(&found, config.doh_method, directive)?;
        let (address, options) = (found.address, Options { over, ..options.clone() });
        let key = format!("forward {address} {workers} {options:?}");
        let make = || Ok::<_, Infallible>(Upstream::new(address, options.clone(), workers));
        let Ok(upstream) = setup.world.kept.get(key, make);
        if let Some(runtimes) = setup.world.service::<Runtimes>() {
            let upstream = Arc::clone(&upstream);
            setup.task(async move || upstream.warm(&runtimes));
        }
        if config.max_fails > 0 {
            let (upstream, network) = (Arc::clone(&upstream), Arc::clone(network));
            let interval = config.health.interval;
            setup.task(move || health::watch(upstream, network, interval));
        }
        upstreams.push(upstream);
    }
    let watchers = Watchers::new(setup.peers());
    let forward = Forward::new(config, upstreams, Arc::clone(network), followed, watchers);
    setup.link(forward);
    Ok(())
}

/// Both values, or the problems of both.
fn both<A, B>(
    one: Result<A, Diagnostics>,
    other: Result<B, Diagnostics>,
) -> Result<(A, B), Diagnostics> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(mut problems), Err(more)) => {
            problems.extend(more);
            Err(problems)
        }
        (Err(problems), _) | (_, Err(problems)) => Err(problems),
    }
}

/// Options that are understood but cannot do anything here.
fn warn_of_useless(
    directive: &Directive,
    config: &Config,
    followed: bool,
    found: &[Found],
    setup: &mut Setup<'_>,
) {
    let mut warn = |option: &str, message: String, label: &str, help: &str| {
        let found = directive.options().iter().rfind(|one| one.name.as_str() == option);
        let span = found.map_or(directive.span, |option| option.span);
        let warning = Diagnostic::warning(span, message).label(label).help(help);
        setup.requests.warnings.push(warning);
    };
    if let Some(source) = config.source {
        let addresses = found.iter().map(|one| one.address);
        for odd in addresses.filter(|address| address.is_ipv4() != source.is_ipv4()) {
            warn(
                "source_address",
                format!("`{source}` cannot reach upstream {odd}"),
                "not the same version of IP",
                "put the upstreams of each version into a `forward` of their own",
            );
        }
    }
    for (option, message, label, help) in unfit_for_transports(directive, config, found) {
        warn(option, message, label, help);
    }
    if !followed && (config.next_on_nodata || !config.next.is_empty()) {
        let option = if config.next.is_empty() { "next_on_nodata" } else { "next" };
        warn(
            option,
            format!("`{option}` without a `forward` behind this one does nothing"),
            "no following `forward` in this server block",
            "add the `forward` that is to be asked next",
        );
    }
}

/// Options that do nothing for what is spoken with these upstreams, or say the opposite.
fn unfit_for_transports(
    directive: &Directive,
    config: &Config,
    found: &[Found],
) -> Vec<(&'static str, String, &'static str, &'static str)> {
    let mut unfit = Vec::new();
    let plain = found.iter().any(|one| one.scheme == Scheme::Dns);
    let quic = found.iter().find(|one| one.scheme.is_quic());
    if let (true, Some(one)) = (config.force_tcp, quic) {
        unfit.push((
            "force_tcp",
            format!(
                "`force_tcp` does not hold for upstream {}://{}",
                one.scheme.word(),
                one.address
            ),
            "QUIC runs over UDP, always",
            "write `https://` or `tls://` where UDP does not get through",
        ));
    }
    let chosen = [
        ("force_tcp", config.force_tcp && quic.is_none()),
        ("prefer_udp", config.prefer_udp),
        ("case_randomization", config.case_randomization),
    ];
    for (option, _) in chosen.into_iter().filter(|(_, chosen)| *chosen && !plain) {
        unfit.push((
            option,
            format!("`{option}` does nothing here"),
            "no upstream of this `forward` is asked in plain DNS",
            "remove the option",
        ));
    }
    let names_method = directive.options().iter().any(|one| one.name.as_str() == "doh_method");
    if names_method && !found.iter().any(|one| one.scheme.is_web()) {
        unfit.push((
            "doh_method",
            "`doh_method` does nothing here".to_owned(),
            "no upstream of this `forward` is asked over HTTPS",
            "write `https://` or `h3://` before the upstreams' addresses",
        ));
    }
    unfit
}
