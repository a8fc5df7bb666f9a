//! From a directive to a group of upstreams and their health checks.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chain::{Setup, metrics};
use corefile::{Diagnostic, Diagnostics, Directive};
use net::Runtimes;
use net::client::{Network, Over};

use super::config::Config;
use super::members::Member;
use super::secure::Secure;
use super::taps::Watchers;
use super::target::Found;
use super::to::Scheme;
use super::upstream::{Options, Upstream};
use super::{Group, IN_FLIGHT, health, target};

impl Group {
    /// The group that `directive` describes. Its files are read, its hosts are looked up, and its
    /// upstreams are watched once the configuration serves.
    ///
    /// # Errors
    /// A file cannot be read, a host cannot be found.
    pub fn set_up(
        config: Config,
        directive: &Directive,
        setup: &mut Setup<'_>,
    ) -> Result<Self, Diagnostics> {
        let network = match setup.world.service::<Network>() {
            Some(network) => network,
            None => Arc::new(Network::Os),
        };
        metrics::gauge_fn(
            "catena_forward_in_flight",
            "Queries that wait for an upstream.",
            &[],
            &[],
            || IN_FLIGHT.load(Ordering::Relaxed) as f64,
        );
        let (found, secure) =
            both(target::addresses(&config, &network, setup), Secure::new(&config, setup))?;
        warn_of_unreachable(directive, &config, &found, setup);
        warn_of_unfit(directive, &config, &found, setup);
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
            breaker: config.breaker.clone(),
            percentile: config.hedge.map(|hedge| hedge.percentile),
            who: config.who,
        };
        let workers = setup.world.workers;
        let mut members = Vec::with_capacity(found.len());
        for found in found {
            let over = secure.over(&found, config.doh_method, directive)?;
            let (address, options) = (found.address, Options { over, ..options.clone() });
            let key = format!("{} {address} {workers} {options:?}", config.who.name());
            let make = || Ok::<_, Infallible>(Upstream::new(address, options.clone(), workers));
            let Ok(upstream) = setup.world.kept.get(key, make);
            if let Some(runtimes) = setup.world.service::<Runtimes>() {
                let upstream = Arc::clone(&upstream);
                setup.task(async move || upstream.warm(&runtimes));
            }
            if config.max_fails > 0 {
                let (upstream, network) = (Arc::clone(&upstream), Arc::clone(&network));
                let interval = config.health.interval;
                setup.task(move || health::watch(upstream, network, interval));
            }
            members.push(Member {
                upstream,
                weight: 1,
                read_timeout: config.read_timeout,
                force_tcp: config.force_tcp,
                prefer_udp: config.prefer_udp,
            });
        }
        let watchers = Watchers::new(setup.peers());
        Ok(Self::new(config, members, network, watchers))
    }
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

/// Upstreams that cannot be asked from `source_address`.
fn warn_of_unreachable(
    directive: &Directive,
    config: &Config,
    found: &[Found],
    setup: &mut Setup<'_>,
) {
    let Some(source) = config.source else { return };
    let is_source = |one: &&Directive| one.name.as_str() == "source_address";
    let option = directive.options().iter().rfind(is_source);
    let span = option.map_or(directive.span, |option| option.span);
    let addresses = found.iter().map(|one| one.address);
    for odd in addresses.filter(|address| address.is_ipv4() != source.is_ipv4()) {
        let message = format!("`{source}` cannot reach upstream {odd}");
        setup.requests.warnings.push(
            Diagnostic::warning(span, message)
                .label("not the same version of IP")
                .help("put the upstreams of each version into a directive of their own"),
        );
    }
}

/// Options that do nothing for what is spoken with these upstreams, or say the opposite.
fn warn_of_unfit(directive: &Directive, config: &Config, found: &[Found], setup: &mut Setup<'_>) {
    let name = directive.name.as_str();
    let mut warn = |option: &str, message: String, label: String, help: &str| {
        let option = directive.options().iter().rfind(|one| one.name.as_str() == option);
        if let Some(option) = option {
            let warning = Diagnostic::warning(option.span, message).label(label).help(help);
            setup.requests.warnings.push(warning);
        }
    };
    let quic = found.iter().find(|one| one.scheme.is_quic());
    if let (true, Some(one)) = (config.force_tcp, quic) {
        let (word, address) = (one.scheme.word(), one.address);
        warn(
            "force_tcp",
            format!("`force_tcp` does not hold for upstream {word}://{address}"),
            "QUIC runs over UDP, always".to_owned(),
            "write `https://` or `tls://` where UDP does not get through",
        );
    }
    let for_plain = [
        ("force_tcp", config.force_tcp && quic.is_none()),
        ("prefer_udp", config.prefer_udp),
        ("case_randomization", config.case_randomization),
    ];
    let plain = found.iter().any(|one| one.scheme == Scheme::Dns);
    for (option, _) in for_plain.into_iter().filter(|(_, chosen)| *chosen && !plain) {
        warn(
            option,
            format!("`{option}` does nothing here"),
            format!("no upstream of this `{name}` is asked in plain DNS"),
            "remove the option",
        );
    }
    if !found.iter().any(|one| one.scheme.is_web()) {
        warn(
            "doh_method",
            "`doh_method` does nothing here".to_owned(),
            format!("no upstream of this `{name}` is asked over HTTPS"),
            "write `https://` or `h3://` before the upstreams' addresses",
        );
    }
}
