//! The upstreams and their options, as plain values. Nothing here reads files or uses the network.

use std::net::SocketAddr;
use std::time::Duration;

use corefile::{Diagnostic, Diagnostics, Directive, Token};
use wire::Rcode;

use super::options::{self, Each, Place};
use super::parse::{self, some};
use super::spec::{self, Scheme, To};
use super::values::{Breaker, Hedge, Policy, Wanted};

/// CoreDNS's bound on **TO** arguments.
const MAX_TARGETS: usize = 15;

/// The options that every plugin with upstreams has, besides those that may stand for one upstream.
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

/// The plugin that the upstreams belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// `forward`.
    Forward,
    /// `alternate`.
    Alternate,
    /// `fanout`.
    Fanout,
}

impl Who {
    /// The plugin's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Alternate => "alternate",
            Self::Fanout => "fanout",
        }
    }

    /// The label under which the upstream is told that was asked.
    pub(crate) const fn metadata(self) -> &'static str {
        match self {
            Self::Forward => "forward/upstream",
            Self::Alternate => "alternate/upstream",
            Self::Fanout => "fanout/upstream",
        }
    }
}

/// The upstreams and their options.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose upstreams they are.
    pub who: Who,
    /// Which answer ends the search.
    pub wanted: Wanted,
    /// How many upstreams a query is put to at most; `None`: all of them.
    pub most_servers: Option<usize>,
    /// How long a query may take in all; `None`: the usual time.
    pub budget: Option<Duration>,
    /// Whom to ask, as written.
    pub(crate) to: Vec<Place>,
    /// How each of them is asked, where it says nothing else.
    pub each: Each,
    /// Whom to ask where host names among them are.
    pub resolvers: Vec<SocketAddr>,
    /// In which order.
    pub policy: Policy,
    /// When an upstream that is late gets company, if ever.
    pub hedge: Option<Hedge>,
    /// Which answers speak against an upstream, if any do.
    pub breaker: Option<Breaker>,
    /// More failed health checks than this, and an upstream is down; zero: never.
    pub max_fails: u32,
    /// Failed attempts for one query; zero: no bound. `None`: some for each upstream.
    pub max_connect_attempts: Option<u32>,
    /// How many for each.
    pub attempts_each: u32,
    /// Queries under way at once; zero: no bound of its own.
    pub max_concurrent: usize,
    /// With which answers the next upstream is asked.
    pub failover: Vec<Rcode>,
    /// Give up at once when all upstreams are down.
    pub failfast: bool,
    /// Mix the case of the name asked for, and insist that it comes back so.
    pub case_randomization: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            who: Who::Forward,
            wanted: Wanted::Any,
            most_servers: None,
            budget: None,
            to: Vec::new(),
            each: Each::default(),
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
}

/// What is being read, and what was found wrong with it.
struct Reading {
    config: Config,
    problems: Diagnostics,
}

/// Options that only one plugin has.
pub trait Own {
    /// Their names.
    const NAMES: &'static [&'static str];

    /// Reads one of them.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(&mut self, option: &Directive) -> Result<(), Diagnostic>;
}

impl Config {
    /// The defaults, for the upstreams of `who`.
    pub fn of(who: Who) -> Self {
        Self { who, ..Self::default() }
    }

    /// Reads the upstreams `to`, if there was nothing wrong before them, and the options of
    /// `directive`; those that only the plugin has go to `own`.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read<O: Own>(
        directive: &Directive,
        to: Result<&[Token], Diagnostic>,
        own: &mut O,
    ) -> Result<Self, Diagnostics> {
        let mut reading = Reading { config: Self::default(), problems: Diagnostics::default() };
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
        reading.problems.extend(reading.config.each.check(directive));
        // What stands for all counts wherever it is written.
        reading.config.place(line);
        for block in blocks() {
            reading.block(block);
        }
        reading.finish(directive)
    }

    /// Appends these upstreams, with the options `each`.
    pub fn ask(&mut self, directive: &Directive, to: &[Token]) -> Result<(), Diagnostics> {
        let mut reading =
            Reading { config: std::mem::take(self), problems: Diagnostics::default() };
        match reading.targets(directive, to, 0) {
            Ok(line) => reading.config.place(line),
            Err(problem) => reading.problems.push(problem),
        }
        *self = reading.finish(directive)?;
        Ok(())
    }

    /// The number of upstreams that are named.
    pub fn count(&self) -> usize {
        self.to.len()
    }

    /// Switches plain upstreams to TLS, on their ports.
    pub fn secure(&mut self) {
        for place in self.to.iter_mut().filter(|place| place.to.scheme == Scheme::Dns) {
            place.to.scheme = Scheme::Tls;
            place.to.tls = Some(None);
        }
    }

    /// Gives the upstreams these weights, in the order in which they are written.
    pub fn weigh(&mut self, weights: impl IntoIterator<Item = u32>) {
        for (place, weight) in self.to.iter_mut().zip(weights) {
            place.each.weight = weight;
        }
    }

    fn place(&mut self, line: Vec<To>) {
        let each = &self.each;
        self.to.extend(line.into_iter().map(|to| Place { to, each: each.clone() }));
    }
}

impl Reading {
    /// Reads **TO** words; there are `blocks` more elsewhere.
    fn targets(
        &mut self,
        directive: &Directive,
        to: &[Token],
        blocks: usize,
    ) -> Result<Vec<To>, Diagnostic> {
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
            match spec::read(token) {
                Ok(to) => read.push(to),
                Err(problem) => self.problems.push(problem),
            }
        }
        Ok(read)
    }

    /// Reads `to TO... { ... }`.
    fn block(&mut self, block: &Directive) {
        let mut each = self.config.each.clone();
        for option in block.options() {
            if let Err(problem) = each.read_own(block, option) {
                self.problems.push(problem);
            }
        }
        if !block.options().is_empty() {
            self.problems.extend(each.check(block));
        }
        let mut args = block.args();
        match some(block, &mut args, "an upstream") {
            Ok(to) => {
                let to = self.targets(block, to, 0).unwrap_or_default();
                let place = |to| Place { to, each: each.clone() };
                self.config.to.extend(to.into_iter().map(place));
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    fn option<O: Own>(
        &mut self,
        directive: &Directive,
        option: &Directive,
    ) -> Result<(), Diagnostic> {
        option.no_body()?;
        let mut args = option.args();
        let config = &mut self.config;
        if config.each.read(option, &mut args)? {
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
                for token in some(option, &mut args, "an RCODE")? {
                    config.failover.push(parse::failover(token, "failover")?);
                }
                return Ok(());
            }
            "resolver" => {
                config.resolvers.clear();
                for token in some(option, &mut args, "an address")? {
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
        let count = self.config.to.len();
        if count > MAX_TARGETS
            && let [first, .., last] = &*self.config.to
        {
            let mut span = first.to.token.span;
            span.end = last.to.token.span.end;
            let span = if directive.body.is_some() { directive.span } else { span };
            self.problems.push(
                Diagnostic::error(span, format!("more than {MAX_TARGETS} TOs configured: {count}"))
                    .label("too many upstreams")
                    .help(format!("keep at most {MAX_TARGETS}")),
            );
        }
        self.problems.extend(self.config.to.iter().filter_map(Place::check));
        if self.problems.has_errors() { Err(self.problems) } else { Ok(self.config) }
    }
}
