//! From a directive to a group of upstreams and their health checks.

use std::sync::Arc;

use chain::Setup;
use corefile::{Diagnostic, Diagnostics, Directive};
use net::Runtimes;
use net::client::Network;
use telemetry::metrics;

use crate::ask::{Group, Watchers, in_flight};
use crate::config::{Config, Policy, Scheme};
use crate::locate::tls::TlsClients;
use crate::locate::{self, AddressSource, Destinations, KnownHosts, Resolver};
use crate::message::OwnData;
use crate::roster::{Registry, Roster};
use crate::supervise::{self, Follower, Supervisor, Watch};

impl Group {
    /// The group that `directive` describes. Its files are read and its hosts looked up, now and as
    /// long as the configuration serves; so long its upstreams are watched, too.
    ///
    /// # Errors
    /// A file cannot be read, or a word is no upstream.
    pub fn set_up(
        config: Config,
        directive: &Directive,
        setup: &mut Setup<'_>,
    ) -> Result<Self, Diagnostics> {
        let network = match setup.service::<Network>() {
            Some(network) => network,
            None => Arc::new(Network::Os),
        };
        metrics::gauge_fn(
            config.owner.metrics.in_flight,
            "Queries waiting for an upstream.",
            &[],
            &[],
            || in_flight() as f64,
        );
        let registry = setup.keep("upstreams", Registry::default);
        let known = setup.keep("upstream hosts", KnownHosts::default);
        let resolver = Resolver {
            servers: config.resolvers.clone(),
            source: config.defaults.source,
            network: Arc::clone(&network),
        };
        // The mistakes of both are reported at once.
        let read = TlsClients::new(&config.upstreams, setup);
        let clear = TlsClients::default();
        let secure = read.as_ref().unwrap_or(&clear);
        let destinations =
            locate::destinations(&config.upstreams, secure, &resolver, &known, setup);
        let (secure, Destinations { destinations, sources }) = both(read, destinations)?;
        let workers = setup.workers();
        let roster = Roster::new(&config, destinations, registry, workers);
        let roster = Arc::new(roster.map_err(|problem| {
            Diagnostic::error(directive.span, problem).label("with one of these upstreams")
        })?);
        warn_of_unreachable(directive, &roster, setup);
        warn_of_unfit(directive, &config, setup);
        if let Some(warning) = secure.warning(directive, &config.upstreams) {
            setup.warn(warning);
        }
        let watches = sources.into_iter().map(|(destination, sources)| match sources {
            AddressSource::Host { host, port, fresh } => {
                Watch::Host { destination, host, port, fresh, resolver: resolver.clone() }
            }
            AddressSource::File(path) => {
                let schedule = setup.poll_schedule([path.as_path()].into_iter());
                Watch::File { destination, path, schedule }
            }
        });
        let watches: Vec<Watch> = watches.collect();
        let follower = Follower { owner: config.owner, roster: Arc::clone(&roster), known };
        let supervisor = Supervisor {
            roster: Arc::clone(&roster),
            network: Arc::clone(&network),
            runtimes: setup.service::<Runtimes>(),
            checks: config.max_fails > 0,
        };
        setup.task(move || supervise::supervise(supervisor, follower, watches));
        let watchers = Watchers::new(setup.chain_ref());
        Ok(Self::new(config, roster, network, watchers, OwnData::new(setup)))
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

/// Warns of upstreams that cannot be reached from `source_address`.
fn warn_of_unreachable(directive: &Directive, roster: &Roster, setup: &mut Setup<'_>) {
    let is_source = |one: &&Directive| one.name.as_str() == "source_address";
    let option = directive.options().iter().rfind(is_source);
    roster.each(|destination, found| {
        let span = option.map_or(destination.place.spec.token.span, |option| option.span);
        let (address, source) = (found.address, destination.place.options.source);
        if let Some(source) = source.filter(|source| source.is_ipv4() != address.is_ipv4()) {
            let message = format!("`{source}` cannot reach upstream {address}");
            setup.warn(
                Diagnostic::warning(span, message)
                    .label("the IP versions differ")
                    .help("set another `source_address` for it in a block: `to TO { ... }`"),
            );
        }
    });
}

/// Warns of options that have no effect with the protocols of these upstreams, or contradict them.
fn warn_of_unfit(directive: &Directive, config: &Config, setup: &mut Setup<'_>) {
    let name = directive.name.as_str();
    let mut warn = |option: &str, message: String, label: String, help: &str| {
        let option = directive.options().iter().rfind(|one| one.name.as_str() == option);
        if let Some(option) = option {
            let warning = Diagnostic::warning(option.span, message).label(label).help(help);
            setup.warn(warning);
        }
    };
    let places = &config.upstreams;
    let quic = places.iter().find(|one| one.spec.scheme.is_quic());
    if let (true, Some(one)) = (config.defaults.force_tcp, quic) {
        warn(
            "force_tcp",
            format!("`force_tcp` does not apply to upstream {}", one.spec.token.as_str()),
            "QUIC always runs over UDP".to_owned(),
            "use `https://` or `tls://` where UDP is blocked",
        );
    }
    let for_plain = [
        ("force_tcp", config.defaults.force_tcp && quic.is_none()),
        ("prefer_udp", config.defaults.prefer_udp),
        ("case_randomization", config.case_randomization),
    ];
    let plain = places.iter().any(|one| one.spec.scheme == Scheme::Dns);
    for (option, _) in for_plain.into_iter().filter(|(_, chosen)| *chosen && !plain) {
        warn(
            option,
            format!("`{option}` has no effect here"),
            format!("no upstream of this `{name}` uses plain DNS"),
            "remove the option",
        );
    }
    if !places.iter().any(|one| one.spec.scheme.is_web()) {
        warn(
            "doh_method",
            "`doh_method` has no effect here".to_owned(),
            format!("no upstream of this `{name}` uses HTTPS"),
            "write `https://` or `h3://` before the upstreams' addresses",
        );
    }
    if config.policy == Policy::Weighted && places.iter().all(|one| one.options.weight == 1) {
        warn(
            "policy",
            "`policy weighted` acts as `random` here".to_owned(),
            "no upstream has a weight".to_owned(),
            "write `to TO { weight INTEGER }` over three lines",
        );
    }
    if config.policy != Policy::Weighted && places.iter().any(|one| one.options.weight != 1) {
        warn(
            "to",
            "`weight` has no effect here".to_owned(),
            format!("the policy of this `{name}` ignores weights"),
            "add `policy weighted`",
        );
    }
}
