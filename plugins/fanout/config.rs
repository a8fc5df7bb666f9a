//! The `fanout` directive as plain values. The options are those of the external CoreDNS plugin
//! `fanout`.

use std::time::Duration;

use chain::{Setup, ZoneSet, zones};
use corefile::{Args, Diagnostic, Diagnostics, Directive, Place, Token};
use upstream::{Owner, Policy, Wanted, at_least_one, metric_names, server_name, tls};
use wire::Name;

use super::metrics::observer;

/// The options, as `catena help fanout` lists them.
const OPTIONS: &[&str] = &[
    "tls",
    "tls-server",
    "tls_servername",
    "worker-count",
    "policy",
    "weighted-random-server-count",
    "weighted-random-load-factor",
    "network",
    "except",
    "except-file",
    "attempt-count",
    "timeout",
    "race",
];

/// The maximum number of upstreams that a query is sent to at once.
const MOST_WORKERS: usize = 32;

/// The names of this plugin where its upstreams are logged, counted and recorded.
static OWNER: Owner = Owner {
    name: "fanout",
    metadata: "fanout/upstream",
    metrics: metric_names!("forward"),
    broken: "coredns_forward_healthcheck_broken_total",
    rejected: "coredns_forward_max_concurrent_rejects_total",
    observer: Some(observer),
};

/// One `fanout` directive.
pub(super) struct Config {
    /// The zone whose queries are sent to the upstreams.
    pub(super) from: Name,
    /// The zones whose queries are not.
    pub(super) except: ZoneSet,
    /// The upstreams and their options.
    pub(super) upstreams: upstream::Config,
}

/// The configuration so far.
struct Reading {
    upstreams: upstream::Config,
    except: Vec<Name>,
    workers: usize,
    servers: usize,
    weighted: bool,
    /// The weights as written, for the place of a mistake.
    factors: Option<(Directive, Vec<u32>)>,
    attempts: u32,
    /// `network tcp-tls`.
    secure: bool,
    problems: Diagnostics,
}

impl Config {
    /// Reads a directive, and the files that it names.
    ///
    /// Errors: all mistakes in it.
    pub(super) fn read(directive: &Directive, setup: &Setup<'_>) -> Result<Self, Diagnostics> {
        let mut upstreams = upstream::Config::new(&OWNER);
        upstreams.wanted = Wanted::Positive;
        upstreams.budget = Some(Duration::from_secs(30));
        // The option `network` decides the transport, and not that of the client.
        upstreams.defaults.prefer_udp = true;
        let mut reading = Reading {
            upstreams,
            except: Vec::new(),
            workers: 0,
            servers: 0,
            weighted: false,
            factors: None,
            attempts: 3,
            secure: false,
            problems: Diagnostics::default(),
        };
        for option in directive.options() {
            if let Err(problem) = reading.option(directive, option, setup) {
                reading.problems.push(problem);
            }
        }
        let mut args = directive.args();
        let from = from(&mut args);
        reading.finish(directive, from, args.remaining())
    }
}

impl Reading {
    fn option(
        &mut self,
        directive: &Directive,
        option: &Directive,
        setup: &Setup<'_>,
    ) -> Result<(), Diagnostic> {
        option.no_body()?;
        let mut args = option.args();
        // The external plugin ignores their case.
        match option.name.as_str().to_ascii_lowercase().as_str() {
            "tls" => self.upstreams.defaults.tls = tls(&mut args),
            "tls-server" | "tls_servername" => {
                self.upstreams.defaults.tls_servername = Some(server_name(&mut args)?);
            }
            "worker-count" => self.workers = workers(&mut args)?,
            "policy" => self.weighted = is_weighted(args.required("POLICY")?)?,
            "weighted-random-server-count" => self.servers = args.value("INTEGER")?,
            "weighted-random-load-factor" => {
                let mut factors = Vec::new();
                for token in at_least_one(option, &mut args, "a load factor for each upstream")? {
                    factors.push(factor(token)?);
                }
                self.factors = Some((option.clone(), factors));
                return Ok(());
            }
            "network" => self.network(args.required("NETWORK")?)?,
            "except" => {
                for token in at_least_one(option, &mut args, "a zone")? {
                    self.except.extend(zones::parse(token)?);
                }
                return Ok(());
            }
            "except-file" => self.except.extend(file(args.required("FILE")?, setup)?),
            "attempt-count" => self.attempts = args.value("INTEGER")?,
            "timeout" => {
                let timeout = args.required("DURATION")?;
                let time: Duration = timeout.parse("DURATION")?;
                if time.is_zero() {
                    return Err(Diagnostic::error(timeout.span, "`timeout` must be positive")
                        .label("expected a duration longer than zero")
                        .help("write for example `30s`, the default"));
                }
                self.upstreams.budget = Some(time);
            }
            "race" => self.upstreams.wanted = Wanted::First,
            _ => return Err(directive.unknown_option(option, OPTIONS)),
        }
        args.end()
    }

    fn network(&mut self, token: &Token) -> Result<(), Diagnostic> {
        let options = &mut self.upstreams.defaults;
        match token.as_str().to_ascii_lowercase().as_str() {
            "udp" => options.force_tcp = false,
            "tcp" => options.force_tcp = true,
            "tcp-tls" => self.secure = true,
            other => {
                return Err(Diagnostic::error(token.span, format!("unknown network `{other}`"))
                    .label("expected a protocol")
                    .help("write `udp`, `tcp` or `tcp-tls`"));
            }
        }
        Ok(())
    }

    fn finish(
        mut self,
        directive: &Directive,
        from: Result<Name, Diagnostic>,
        to: &[Token],
    ) -> Result<Config, Diagnostics> {
        let from = match from {
            Ok(from) => {
                if let Err(more) = self.upstreams.ask(directive, to) {
                    self.problems.extend(more);
                }
                from
            }
            Err(problem) => {
                self.problems.push(problem);
                Name::root()
            }
        };
        let count = self.upstreams.count();
        if let Some((option, factors)) = &self.factors {
            if factors.len() == count {
                self.upstreams.weigh(factors.iter().copied());
            } else if count > 0 {
                self.problems.push(
                    Diagnostic::error(
                        option.span,
                        format!(
                            "{} for {}",
                            corefile::counted(factors.len() as u64, "load factor", "load factors"),
                            corefile::counted(count as u64, "upstream", "upstreams")
                        ),
                    )
                    .label("load-factor params count must be the same as the number of hosts")
                    .help("write one load factor for each upstream, in the order of the upstreams"),
                );
            }
        }
        if self.secure {
            self.upstreams.use_tls();
        }
        if self.problems.has_errors() {
            return Err(self.problems);
        }
        // Files and hosts may stand for several upstreams, so nothing here is bounded by their
        // number: the order is.
        let servers = Some(self.servers).filter(|&servers| servers > 0 && self.weighted);
        let together = if self.workers == 0 { usize::MAX } else { self.workers };
        self.upstreams.policy = match self.weighted {
            true => Policy::WeightedTogether(together),
            false => Policy::Together(together),
        };
        self.upstreams.most_servers = servers;
        match self.attempts {
            0 => self.upstreams.max_connect_attempts = Some(0),
            attempts => self.upstreams.attempts_each = attempts,
        }
        Ok(Config { from, except: ZoneSet::new(self.except), upstreams: self.upstreams })
    }
}

/// **FROM**: the first of the zones that it expands to.
fn from(args: &mut Args<'_>) -> Result<Name, Diagnostic> {
    let zones = zones::parse(args.required("FROM")?)?;
    Ok(zones.into_iter().next().unwrap_or_else(Name::root))
}

fn workers(args: &mut Args<'_>) -> Result<usize, Diagnostic> {
    let token = args.required("INTEGER")?;
    let workers = token.parse("INTEGER")?;
    let wrong = |message: String, help: &str| {
        Err(Diagnostic::error(token.span, message)
            .label(format!("expected a number from 2 to {MOST_WORKERS}"))
            .help(help.to_owned()))
    };
    match workers {
        // The same as without the option.
        0 => Ok(0),
        1 => wrong(
            "worker count should be more or equal 2. Consider to use Forward plugin".to_owned(),
            "write `forward` instead of `fanout`, or remove the option",
        ),
        2..=MOST_WORKERS => Ok(workers),
        _ => wrong(
            format!("worker count more then max value: {MOST_WORKERS}"),
            "remove the option to query all upstreams at once",
        ),
    }
}

fn is_weighted(token: &Token) -> Result<bool, Diagnostic> {
    match token.as_str().to_ascii_lowercase().as_str() {
        "sequential" => Ok(false),
        "weighted-random" => Ok(true),
        other => Err(Diagnostic::error(token.span, format!("unknown policy `{other}`"))
            .label("expected a policy")
            .help("the policies of `fanout` are `sequential` and `weighted-random`")),
    }
}

fn factor(token: &Token) -> Result<u32, Diagnostic> {
    let factor: u32 = token.parse("INTEGER")?;
    if (1..=100).contains(&factor) {
        return Ok(factor);
    }
    Err(Diagnostic::error(token.span, format!("`{factor}` is not a valid load factor"))
        .label("expected a number from 1 to 100")
        .help("an upstream with 100 is chosen twice as often as one with 50"))
}

/// The largest file of zones.
const MAX_FILE: u64 = 64 << 20;

/// The zones of a file, one a line.
fn file(token: &Token, setup: &Setup<'_>) -> Result<Vec<Name>, Diagnostic> {
    let path = token.as_str();
    let text = files::read_text(&setup.path(token), MAX_FILE).map_err(|error| {
        Diagnostic::error(token.span, format!("cannot read `{path}`: {error}"))
            .label("expected a file with a zone on each line")
            .help("check the path, or list the zones after `except`")
    })?;
    let mut found = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let line = text.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        found.extend(zones::from_text(line).map_err(|problem| {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            Diagnostic::error(token.span, format!("`{line}`: {problem}"))
                .at(Place::line(setup.path(token).display().to_string(), number, text))
                .label("named here")
                .help("write one zone on each line")
        })?);
    }
    Ok(found)
}
