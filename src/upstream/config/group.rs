//! The upstreams and their options, as plain values. Nothing here reads files or uses the network.

use std::net::SocketAddr;
use std::time::Duration;

use corefile::{Diagnostic, Diagnostics, Directive, Token};
use wire::Rcode;

use super::options::{self, UpstreamConfig, UpstreamOptions};
use super::owner::Owner;
use super::parse::{self, at_least_one};
use super::spec::{self, Scheme, UpstreamSpec};
use super::values::{Breaker, Hedge, Policy, Wanted};

/// CoreDNS's bound on **TO** arguments.
const MAX_TARGETS: usize = 15;

/// The options of every plugin with upstreams, besides those that a single upstream may have.
const OPTIONS: &[&str] = &[
    "to",
    "max_fails",
    "max_connect_attempts",
    "policy",
    "max_concurrent",
    "hedge",
    "circuit_breaker",
    "failfast_all_unhealthy_upstreams",
    "failover",
    "resolver",
    "case_randomization",
];

/// The upstreams and their options.
#[derive(Clone, Debug)]
pub struct Config {
    /// The plugin that the upstreams belong to.
    pub owner: &'static Owner,
    /// Which answer ends the search.
    pub wanted: Wanted,
    /// The number of upstreams that a query may be sent to; `None`: all of them.
    pub most_servers: Option<usize>,
    /// The deadline of a query; `None`: the default.
    pub budget: Option<Duration>,
    /// The upstreams, in the order in which they are written.
    pub(crate) upstreams: Vec<UpstreamConfig>,
    /// The options of upstreams without a block of their own.
    pub defaults: UpstreamOptions,
    /// The resolvers of host names among them; empty: the system's.
    pub resolvers: Vec<SocketAddr>,
    /// The order of the upstreams.
    pub policy: Policy,
    /// When queries are hedged; `None`: never.
    pub hedge: Option<Hedge>,
    /// The rule of the circuit breakers; `None`: they never open.
    pub breaker: Option<Breaker>,
    /// An upstream is down after more failed health checks than this; zero: never.
    pub max_fails: u32,
    /// Failed attempts for one query; zero: no bound. `None`: `attempts_each` for each upstream.
    pub max_connect_attempts: Option<u32>,
    /// Failed attempts for each upstream.
    pub attempts_each: u32,
    /// Queries in flight; zero: no bound of its own.
    pub max_concurrent: usize,
    /// Rcodes with which the next upstream is queried.
    pub failover: Vec<Rcode>,
    /// Give up at once when all upstreams are down.
    pub failfast: bool,
    /// Randomize the case of the query's name, and require the same case in the reply.
    pub case_randomization: bool,
}

/// The configuration so far, and the mistakes in it.
struct Reading {
    config: Config,
    problems: Diagnostics,
}

/// Options that only one plugin has.
pub trait PluginOptions {
    /// Their names.
    const NAMES: &'static [&'static str];

    /// Reads one of them.
    ///
    /// # Errors
    /// The mistake in it.
    fn read(&mut self, option: &Directive) -> Result<(), Diagnostic>;
}

impl Config {
    /// The defaults, for a group of `owner` without upstreams.
    pub fn new(owner: &'static Owner) -> Self {
        Self {
            owner,
            wanted: Wanted::Any,
            most_servers: None,
            budget: None,
            upstreams: Vec::new(),
            defaults: UpstreamOptions::default(),
            resolvers: Vec::new(),
            policy: Policy::Random,
            hedge: None,
            breaker: None,
            max_fails: 2,
            max_connect_attempts: None,
            attempts_each: 2,
            max_concurrent: 0,
            failover: Vec::new(),
            failfast: false,
            case_randomization: false,
        }
    }

    /// Reads the upstreams `to`, if there was nothing wrong before them, and the options of
    /// `directive`; those that only the plugin has go to `own`.
    ///
    /// # Errors
    /// All mistakes in them.
    pub fn read<O: PluginOptions>(
        owner: &'static Owner,
        directive: &Directive,
        to: Result<&[Token], Diagnostic>,
        own: &mut O,
    ) -> Result<Self, Diagnostics> {
        let mut reading = Reading { config: Self::new(owner), problems: Diagnostics::default() };
        let blocks = || directive.options().iter().filter(|option| option.name.as_str() == "to");
        let read = to.and_then(|to| reading.targets(directive, to, blocks().count()));
        let line = read.unwrap_or_else(|problem| {
            reading.problems.push(problem);
            Vec::new()
        });
        for option in directive.options().iter().filter(|option| option.name.as_str() != "to") {
            let read = if O::NAMES.contains(&option.name.as_str()) {
                own.read(option)
            } else {
                reading.option::<O>(directive, option)
            };
            if let Err(problem) = read {
                reading.problems.push(problem);
            }
        }
        reading.problems.extend(reading.config.defaults.check(directive));
        // What stands for all counts wherever it is written.
        reading.config.add(line);
        for block in blocks() {
            reading.block(block);
        }
        reading.finish(directive)
    }

    /// Appends these upstreams, with the options `each`.
    pub fn ask(&mut self, directive: &Directive, to: &[Token]) -> Result<(), Diagnostics> {
        let config = std::mem::replace(self, Self::new(self.owner));
        let mut reading = Reading { config, problems: Diagnostics::default() };
        match reading.targets(directive, to, 0) {
            Ok(line) => reading.config.add(line),
            Err(problem) => reading.problems.push(problem),
        }
        *self = reading.finish(directive)?;
        Ok(())
    }

    /// The number of upstreams that are named.
    pub fn count(&self) -> usize {
        self.upstreams.len()
    }

    /// Switches plain upstreams to TLS, on their ports.
    pub fn use_tls(&mut self) {
        for upstream in
            self.upstreams.iter_mut().filter(|upstream| upstream.spec.scheme == Scheme::Dns)
        {
            upstream.spec.scheme = Scheme::Tls;
            upstream.spec.tls = Some(None);
        }
    }

    /// Gives the upstreams these weights, in the order in which they are written.
    pub fn weigh(&mut self, weights: impl IntoIterator<Item = u32>) {
        for (upstream, weight) in self.upstreams.iter_mut().zip(weights) {
            upstream.options.weight = weight;
        }
    }

    fn add(&mut self, line: Vec<UpstreamSpec>) {
        let options = &self.defaults;
        let upstream = |spec| UpstreamConfig { spec, options: options.clone() };
        self.upstreams.extend(line.into_iter().map(upstream));
    }
}

impl Reading {
    /// Reads **TO** words; there are `blocks` more elsewhere.
    fn targets(
        &mut self,
        directive: &Directive,
        to: &[Token],
        blocks: usize,
    ) -> Result<Vec<UpstreamSpec>, Diagnostic> {
        if to.is_empty() && blocks == 0 {
            let name = directive.name.as_str();
            return Err(Diagnostic::error(
                directive.span,
                format!("`{name}` needs at least one upstream"),
            )
            .label("no TO given")
            .help("add addresses, a file such as `/etc/resolv.conf`, or host names"));
        }
        let mut read = Vec::with_capacity(to.len());
        for token in to {
            match spec::read(token, self.config.owner.name) {
                Ok(to) => read.push(to),
                Err(problem) => self.problems.push(problem),
            }
        }
        Ok(read)
    }

    /// Reads `to TO... { ... }`.
    fn block(&mut self, block: &Directive) {
        let mut options = self.config.defaults.clone();
        for option in block.options() {
            if let Err(problem) = options.read_own(block, option) {
                self.problems.push(problem);
            }
        }
        if !block.options().is_empty() {
            self.problems.extend(options.check(block));
        }
        let mut args = block.args();
        match at_least_one(block, &mut args, "an upstream") {
            Ok(to) => {
                let to = self.targets(block, to, 0).unwrap_or_default();
                let upstream = |spec| UpstreamConfig { spec, options: options.clone() };
                self.config.upstreams.extend(to.into_iter().map(upstream));
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    fn option<O: PluginOptions>(
        &mut self,
        directive: &Directive,
        option: &Directive,
    ) -> Result<(), Diagnostic> {
        option.no_body()?;
        let mut args = option.args();
        let config = &mut self.config;
        if config.defaults.read(option, &mut args)? {
            return Ok(());
        }
        match option.name.as_str() {
            "failfast_all_unhealthy_upstreams" => config.failfast = true,
            "case_randomization" => config.case_randomization = true,
            "max_fails" => config.max_fails = args.value("INTEGER")?,
            "max_connect_attempts" => config.max_connect_attempts = Some(args.value("INTEGER")?),
            "max_concurrent" => config.max_concurrent = args.value("MAX")?,
            "policy" => config.policy = parse::policy(&mut args)?,
            "hedge" => config.hedge = Some(parse::hedge(&mut args)?),
            "circuit_breaker" => config.breaker = Some(parse::breaker(&mut args)?),
            "failover" => {
                for token in at_least_one(option, &mut args, "an RCODE")? {
                    config.failover.push(parse::failover(token, "failover")?);
                }
                return Ok(());
            }
            "resolver" => {
                config.resolvers.clear();
                for token in at_least_one(option, &mut args, "an address")? {
                    config.resolvers.push(spec::resolver(token)?);
                }
                return Ok(());
            }
            "weight" => {
                return Err(Diagnostic::error(
                    option.span,
                    "`weight` is an option of a single upstream",
                )
                .label("it cannot be set for all upstreams")
                .help("write `to TO { weight INTEGER }` over three lines"));
            }
            _ => {
                let all = options::OPTIONS.iter().filter(|name| **name != "weight").copied();
                let known: Vec<&str> =
                    [O::NAMES, OPTIONS].concat().into_iter().chain(all).collect();
                return Err(directive.unknown_option(option, &known));
            }
        }
        args.end()
    }

    fn finish(mut self, directive: &Directive) -> Result<Config, Diagnostics> {
        let count = self.config.upstreams.len();
        if count > MAX_TARGETS
            && let [first, .., last] = &*self.config.upstreams
        {
            let mut span = first.spec.token.span;
            span.end = last.spec.token.span.end;
            let span = if directive.body.is_some() { directive.span } else { span };
            self.problems.push(
                Diagnostic::error(span, format!("more than {MAX_TARGETS} TOs configured: {count}"))
                    .label("too many upstreams")
                    .help(format!("keep at most {MAX_TARGETS}")),
            );
        }
        self.problems.extend(self.config.upstreams.iter().filter_map(UpstreamConfig::check));
        if self.problems.has_errors() { Err(self.problems) } else { Ok(self.config) }
    }
}
