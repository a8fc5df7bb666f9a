//! Whom to ask and how, as plain values. Nothing here looks at files or asks the network.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use corefile::{Args, Diagnostic, Diagnostics, Directive, Token};
use net::client::Method;
use wire::{Name, Rcode};

use super::policy::Kind as Policy;
use super::to::{self, To};

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
    "failfast_all_unhealthy_upstreams",
    "failover",
    "source_address",
    "resolver",
    "case_randomization",
    "tls",
    "tls_servername",
    "doh_method",
];

/// Whom to ask and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whom to ask, as written.
    pub(crate) to: Vec<To>,
    /// Whom to ask where host names among them are.
    pub(crate) resolvers: Vec<SocketAddr>,
    /// In which order.
    pub(crate) policy: Policy,
    /// Over TCP, however the client asked.
    pub(crate) force_tcp: bool,
    /// Over UDP, however the client asked.
    pub(crate) prefer_udp: bool,
    /// How long an idle connection is kept.
    pub(crate) expire: Duration,
    /// How long a connection is used at all; zero: no bound.
    pub(crate) max_age: Duration,
    /// How many idle connections are kept for an upstream; zero: no bound.
    pub(crate) max_idle_conns: usize,
    /// How long an upstream may take.
    pub(crate) read_timeout: Duration,
    /// More failed health checks than this, and an upstream is down; zero: never.
    pub(crate) max_fails: u32,
    /// Failed attempts for one query; zero: no bound. `None`: two for each upstream.
    pub(crate) max_connect_attempts: Option<u32>,
    /// How upstreams are checked.
    pub(crate) health: Health,
    /// Queries under way at once; zero: no bound of its own.
    pub(crate) max_concurrent: usize,
    /// With which answers the next upstream is asked.
    pub(crate) failover: Vec<Rcode>,
    /// Give up at once when all upstreams are down.
    pub(crate) failfast: bool,
    /// The address to ask from.
    pub source: Option<IpAddr>,
    /// Mix the case of the name asked for, and insist that it comes back so.
    pub(crate) case_randomization: bool,
    /// Whom to trust, and as whom to come, over TLS.
    pub(crate) tls: Tls,
    /// What the certificates of all upstreams must be for.
    pub(crate) tls_servername: Option<Token>,
    /// How queries go over HTTPS.
    pub(crate) doh_method: Method,
}

/// `tls`: the files it names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    /// Our certificate and its key.
    pub(crate) identity: Option<(Token, Token)>,
    /// The authorities to trust instead of the system's.
    pub(crate) ca: Option<Token>,
}

/// `health_check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// Between two checks of an upstream that failed the first.
    pub(crate) interval: Duration,
    /// RD of the check.
    pub(crate) recursion: bool,
    /// Whose NS records are asked for.
    pub(crate) domain: Name,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            to: Vec::new(),
            resolvers: Vec::new(),
            policy: Policy::Random,
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
            "read_timeout" => config.read_timeout = positive(args.required("DURATION")?)?,
            "max_fails" => config.max_fails = args.value("INTEGER")?,
            "max_connect_attempts" => config.max_connect_attempts = Some(args.value("INTEGER")?),
            "max_concurrent" => config.max_concurrent = args.value("MAX")?,
            "source_address" => config.source = Some(args.value("IP")?),
            "policy" => config.policy = policy(args.required("POLICY")?)?,
            "health_check" => {
                config.health = health(&mut args, config.health.recursion)?;
            }
            "failover" => {
                for token in some(option, &mut args, "an RCODE")? {
                    config.failover.push(failover(token)?);
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
            "tls" => config.tls = tls(&mut args),
            "tls_servername" => {
                let name = args.required("NAME")?;
                to::server_name(name, name.as_str())?;
                config.tls_servername = Some(name.clone());
            }
            "doh_method" => config.doh_method = doh_method(args.required("METHOD")?)?,
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

/// The arguments of an option that needs at least one.
///
/// # Errors
/// There is none.
pub fn some<'a>(
    option: &Directive,
    args: &mut Args<'a>,
    what: &str,
) -> Result<&'a [Token], Diagnostic> {
    let tokens = args.remaining();
    if tokens.is_empty() {
        let name = option.name.as_str();
        return Err(Diagnostic::error(option.span, format!("`{name}` needs {what}"))
            .label("no argument given")
            .help(format!("add {what} behind `{name}`, or remove the option")));
    }
    Ok(tokens)
}

/// As CoreDNS reads it: one argument is the CA, two are certificate and key, three are all.
pub(crate) fn tls(args: &mut Args<'_>) -> Tls {
    let mut words = Vec::new();
    while words.len() < 3
        && let Some(word) = args.next()
    {
        words.push(word.clone());
    }
    let mut words = words.into_iter();
    let mut next = || words.next();
    match (next(), next(), next()) {
        (Some(certificate), Some(key), ca) => Tls { identity: Some((certificate, key)), ca },
        (ca, _, _) => Tls { identity: None, ca },
    }
}

fn positive(token: &Token) -> Result<Duration, Diagnostic> {
    let duration: Duration = token.parse("DURATION")?;
    if duration.is_zero() {
        return Err(Diagnostic::error(token.span, "`read_timeout` must be positive")
            .label("an upstream needs some time")
            .help("write for example `2s`, the default"));
    }
    Ok(duration)
}

fn doh_method(token: &Token) -> Result<Method, Diagnostic> {
    match token.as_str() {
        "POST" => Ok(Method::Post),
        "GET" => Ok(Method::Get),
        _ => Err(Diagnostic::error(token.span, "doh_method must be either POST or GET")
            .label("expected a method of HTTP")
            .help("write `POST`, the default, or `GET`, whose answers caches on the way may keep")),
    }
}

fn policy(token: &Token) -> Result<Policy, Diagnostic> {
    match token.as_str() {
        "random" => Ok(Policy::Random),
        "round_robin" => Ok(Policy::RoundRobin),
        "sequential" => Ok(Policy::Sequential),
        other => Err(Diagnostic::error(token.span, format!("unknown policy `{other}`"))
            .label("expected a policy")
            .help(corefile::nearest(other, ["random", "round_robin", "sequential"]).map_or_else(
                || "the policies are `random`, `round_robin` and `sequential`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            ))),
    }
}

/// The option replaces an earlier one as a whole, except that `no_rec` stays: as in CoreDNS.
fn health(args: &mut Args<'_>, recursion: bool) -> Result<Health, Diagnostic> {
    let interval = args.value("DURATION")?;
    let mut health = Health { interval, recursion, domain: Name::root() };
    while let Some(token) = args.next() {
        match token.as_str() {
            "no_rec" => health.recursion = false,
            "domain" => {
                let domain = args.required("FQDN")?;
                let name = Name::from_text(domain.as_str()).map_err(|problem| {
                    Diagnostic::error(
                        domain.span,
                        format!("invalid domain name `{}`: {problem}", domain.as_str()),
                    )
                    .label("expected a domain name")
                    .help("write a name such as `example.org`")
                })?;
                health.domain = name.to_lower();
            }
            other => {
                return Err(Diagnostic::error(
                    token.span,
                    format!("`health_check` has no argument `{other}`"),
                )
                .label("expected `no_rec` or `domain FQDN`")
                .help("write `health_check DURATION [no_rec] [domain FQDN]`"));
            }
        }
    }
    Ok(health)
}

/// The name of a response code.
///
/// # Errors
/// It is none.
pub fn rcode(token: &Token) -> Result<Rcode, Diagnostic> {
    // Names that CoreDNS's DNS library knows besides those of the registry.
    let alias = match token.as_str().to_ascii_uppercase().as_str() {
        "NOTIMPL" => Some(Rcode::NOTIMP),
        "BADSIG" => Some(Rcode::BADVERS),
        _ => None,
    };
    // Numbers such as `RCODE3` are no names.
    let named = |rcode: &Rcode| {
        rcode.mnemonic().is_some_and(|name| name.eq_ignore_ascii_case(token.as_str()))
    };
    let known = || Rcode::from_text(token.as_str()).filter(named);
    alias.or_else(known).ok_or_else(|| {
        Diagnostic::error(token.span, format!("`{}` is not a valid rcode", token.as_str()))
            .label("expected the name of a response code")
            .help("write for example `NXDOMAIN`, `SERVFAIL` or `REFUSED`")
    })
}

fn failover(token: &Token) -> Result<Rcode, Diagnostic> {
    let rcode = rcode(token)?;
    if rcode == Rcode::NOERROR {
        return Err(Diagnostic::error(token.span, "`NOERROR` cannot be used in `failover`")
            .label("this is the answer that is wanted")
            .help("for answers without records use `next_on_nodata`"));
    }
    Ok(rcode)
}

/// A token for tests.
#[cfg(test)]
pub(crate) fn token(text: &str) -> Token {
    Token { text: text.to_owned(), span: corefile::Span::default(), quoted: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rcodes() {
        assert_eq!(rcode(&token("nxdomain")).ok(), Some(Rcode::NXDOMAIN));
        assert_eq!(rcode(&token("NOTIMPL")).ok(), Some(Rcode::NOTIMP));
        assert!(rcode(&token("RCODE3")).is_err());
        assert!(failover(&token("NoError")).is_err());
    }
}
