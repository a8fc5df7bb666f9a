//! Whom to ask and how, as plain values. Nothing here looks at files or asks the network.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use corefile::{Diagnostic, Diagnostics, Directive, Token};
use net::client::Method;
use wire::{Name, Rcode};

use super::breaker::Breaker;
use super::hedge::Hedge;
use super::policy::Policy;
use super::to::{self, To};
use super::words::{self, some};

/// CoreDNS's bound on **TO** arguments.
const MAX_TARGETS: usize = 15;

/// The options that every plugin with upstreams has.
const OPTIONS: &[&str] = &[
    "force_tcp",
    "prefer_udp",
    "expire",
    "max_age",
    "max_idle_conns",
    "read_timeout",
    "max_fails",
    "max_connect_attempts",
    "policy",
    "health_check",
    "max_concurrent",
    "hedge",
    "circuit_breaker",
    "failfast_all_unhealthy_upstreams",
    "failover",
    "source_address",
    "resolver",
    "case_randomization",
    "tls",
    "tls_servername",
    "doh_method",
];

/// The plugin whose upstreams they are.
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

/// Which answer ends the search, besides those that `failover` and `circuit_breaker` name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Any; of several that are asked at once the first that is a positive one or a denial, if
    /// there is one.
    Any,
    /// The first.
    First,
    /// One without an error, if there is one.
    Positive,
}

/// Whom to ask and how.
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
    pub(crate) to: Vec<To>,
    /// Whom to ask where host names among them are.
    pub resolvers: Vec<SocketAddr>,
    /// In which order.
    pub policy: Policy,
    /// When an upstream that is late gets company, if ever.
    pub hedge: Option<Hedge>,
    /// Which answers speak against an upstream, if any do.
    pub breaker: Option<Breaker>,
    /// Over TCP, however the client asked.
    pub force_tcp: bool,
    /// Over UDP, however the client asked.
    pub prefer_udp: bool,
    /// How long an idle connection is kept.
    pub expire: Duration,
    /// How long a connection is used at all; zero: no bound.
    pub max_age: Duration,
    /// How many idle connections are kept for an upstream; zero: no bound.
    pub max_idle_conns: usize,
    /// How long an upstream may take.
    pub read_timeout: Duration,
    /// More failed health checks than this, and an upstream is down; zero: never.
    pub max_fails: u32,
    /// Failed attempts for one query; zero: no bound. `None`: two for each upstream.
    pub max_connect_attempts: Option<u32>,
    /// How upstreams are checked.
    pub health: Health,
    /// Queries under way at once; zero: no bound of its own.
    pub max_concurrent: usize,
    /// With which answers the next upstream is asked.
    pub failover: Vec<Rcode>,
    /// Give up at once when all upstreams are down.
    pub failfast: bool,
    /// The address to ask from.
    pub source: Option<IpAddr>,
    /// Mix the case of the name asked for, and insist that it comes back so.
    pub case_randomization: bool,
    /// Whom to trust, and as whom to come, over TLS.
    pub tls: Tls,
    /// What the certificates of all upstreams must be for.
    pub tls_servername: Option<Token>,
    /// How queries go over HTTPS.
    pub doh_method: Method,
}

/// `tls`: the files it names.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Our certificate and its key.
    pub identity: Option<(Token, Token)>,
    /// The authorities to trust instead of the system's.
    pub ca: Option<Token>,
}

/// `health_check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Between two checks of an upstream that failed the first.
    pub interval: Duration,
    /// RD of the check.
    pub recursion: bool,
    /// Whose NS records are asked for.
    pub domain: Name,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            who: Who::Forward,
            wanted: Wanted::Any,
            most_servers: None,
            budget: None,
            to: Vec::new(),
            resolvers: Vec::new(),
            policy: Policy::Random,
            hedge: None,
            breaker: None,
            force_tcp: false,
            prefer_udp: false,
            expire: Duration::from_secs(10),
            max_age: Duration::ZERO,
            max_idle_conns: 0,
            read_timeout: Duration::from_secs(2),
            max_fails: 2,
            max_connect_attempts: None,
            health: Health {
                interval: Duration::from_millis(500),
                recursion: true,
                domain: Name::root(),
            },
            max_concurrent: 0,
            failover: Vec::new(),
            failfast: false,
            source: None,
            case_randomization: false,
            tls: Tls::default(),
            tls_servername: None,
            doh_method: Method::Post,
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
        if let Err(problem) = to.and_then(|to| reading.targets(directive, to)) {
            reading.problems.push(problem);
        }
        for option in directive.options() {
            let read = if O::NAMES.contains(&option.name.as_str()) {
                option.no_body().and_then(|()| own.read(option))
            } else {
                reading.option::<O>(directive, option)
            };
            if let Err(problem) = read {
                reading.problems.push(problem);
            }
        }
        reading.together(directive);
        if reading.problems.has_errors() { Err(reading.problems) } else { Ok(reading.config) }
    }
}

impl Reading {
    fn targets(&mut self, directive: &Directive, to: &[Token]) -> Result<(), Diagnostic> {
        let (Some(first), Some(last)) = (to.first(), to.last()) else {
            let name = directive.name.as_str();
            return Err(Diagnostic::error(
                directive.span,
                format!("`{name}` needs somebody to forward to"),
            )
            .label("no TO given")
            .help("add addresses, a file such as `/etc/resolv.conf`, or host names"));
        };
        if to.len() > MAX_TARGETS {
            let mut span = first.span;
            span.end = last.span.end;
            return Err(Diagnostic::error(
                span,
                format!("more than {MAX_TARGETS} TOs configured: {}", to.len()),
            )
            .label("too many upstreams")
            .help(format!("keep the nearest {MAX_TARGETS}")));
        }
        for token in to {
            match to::read(token) {
                Ok(to) => self.config.to.push(to),
                Err(problem) => self.problems.push(problem),
            }
        }
        Ok(())
    }

    fn option<O: Own>(
        &mut self,
        directive: &Directive,
        option: &Directive,
    ) -> Result<(), Diagnostic> {
        option.no_body()?;
        let mut args = option.args();
        let config = &mut self.config;
        match option.name.as_str() {
            "force_tcp" => config.force_tcp = true,
            "prefer_udp" => config.prefer_udp = true,
            "failfast_all_unhealthy_upstreams" => config.failfast = true,
            "case_randomization" => config.case_randomization = true,
            "expire" => config.expire = args.value("DURATION")?,
            "max_age" => config.max_age = args.value("DURATION")?,
            "max_idle_conns" => config.max_idle_conns = args.value("INTEGER")?,
            "read_timeout" => config.read_timeout = words::positive(args.required("DURATION")?)?,
            "max_fails" => config.max_fails = args.value("INTEGER")?,
            "max_connect_attempts" => config.max_connect_attempts = Some(args.value("INTEGER")?),
            "max_concurrent" => config.max_concurrent = args.value("MAX")?,
            "source_address" => config.source = Some(args.value("IP")?),
            "policy" => config.policy = words::policy(&mut args)?,
            "hedge" => config.hedge = Some(words::hedge(&mut args)?),
            "circuit_breaker" => config.breaker = Some(words::breaker(&mut args)?),
            "health_check" => {
                config.health = words::health(&mut args, config.health.recursion)?;
            }
            "failover" => {
                for token in some(option, &mut args, "an RCODE")? {
                    config.failover.push(words::failover(token, "failover")?);
                }
                return Ok(());
            }
            "resolver" => {
                config.resolvers.clear();
                for token in some(option, &mut args, "an address")? {
                    config.resolvers.push(to::resolver(token)?);
                }
                return Ok(());
            }
            "tls" => config.tls = words::tls(&mut args),
            "tls_servername" => {
                let name = args.required("NAME")?;
                to::server_name(name, name.as_str())?;
                config.tls_servername = Some(name.clone());
            }
            "doh_method" => config.doh_method = words::doh_method(args.required("METHOD")?)?,
            _ => {
                let known = [O::NAMES, OPTIONS].concat();
                return Err(directive.unknown_option(option, &known));
            }
        }
        args.end()
    }

    /// What only two values together get wrong.
    fn together(&mut self, directive: &Directive) {
        let named = |to: &&To| matches!(&to.tls, Some(Some(_)));
        if let Some(general) = &self.config.tls_servername {
            for to in self.config.to.iter().filter(named) {
                self.problems.push(
                    Diagnostic::error(
                        to.token.span,
                        format!(
                            "`{}` names a server, and `tls_servername` another: `{}`",
                            to.token.as_str(),
                            general.as_str()
                        ),
                    )
                    .label("this upstream has a name of its own")
                    .help("write the name behind each upstream, or in `tls_servername` for all"),
                );
            }
        }
        let Config { max_age, expire, .. } = self.config;
        if max_age > Duration::ZERO && max_age < expire {
            let option = directive.options().iter().rfind(|one| one.name.as_str() == "max_age");
            let span = option.map_or(directive.span, |option| option.span);
            self.problems.push(
                Diagnostic::error(
                    span,
                    format!("max_age ({max_age:?}) must not be less than expire ({expire:?})"),
                )
                .label("a connection would end before it expires")
                .help("raise `max_age`, or lower `expire`"),
            );
        }
    }
}

/// A token for tests.
#[cfg(test)]
pub(crate) fn token(text: &str) -> Token {
    Token { text: text.to_owned(), span: corefile::Span::default(), quoted: false }
}
