//! Options that may differ between upstreams: how one is queried, and how it is checked.

use std::net::IpAddr;
use std::time::Duration;

use corefile::{Args, Diagnostic, Directive, Token};
use net::client::Method;
use wire::Name;

use super::parse;
use super::spec::UpstreamSpec;
use super::values::{Health, Tls};

/// The options that a single upstream may have; only a single one may have `weight`.
pub(crate) const OPTIONS: &[&str] = &[
    "weight",
    "force_tcp",
    "prefer_udp",
    "expire",
    "max_age",
    "max_idle_conns",
    "read_timeout",
    "health_check",
    "source_address",
    "tls",
    "tls_servername",
    "doh_method",
];

/// How an upstream is queried and checked.
#[derive(Clone, Debug)]
pub struct UpstreamOptions {
    /// Its share of the queries, compared with others.
    pub weight: u32,
    /// Always TCP, whatever the client's transport.
    pub force_tcp: bool,
    /// UDP first, whatever the client's transport.
    pub prefer_udp: bool,
    /// How long an idle connection is kept.
    pub expire: Duration,
    /// The lifetime of a connection; zero: no bound.
    pub max_age: Duration,
    /// How many idle connections are kept; zero: no bound.
    pub max_idle_conns: usize,
    /// The time to wait for a reply.
    pub read_timeout: Duration,
    /// Its health checks.
    pub health: Health,
    /// The source address.
    pub source: Option<IpAddr>,
    /// The files for TLS.
    pub tls: Tls,
    /// The name that its certificate must have.
    pub tls_servername: Option<Token>,
    /// The HTTP method of queries.
    pub doh_method: Method,
}

/// One upstream, and the options for it.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamConfig {
    pub(crate) spec: UpstreamSpec,
    pub(crate) options: UpstreamOptions,
}

impl Default for UpstreamOptions {
    fn default() -> Self {
        Self {
            weight: 1,
            force_tcp: false,
            prefer_udp: false,
            expire: Duration::from_secs(10),
            max_age: Duration::ZERO,
            max_idle_conns: 0,
            read_timeout: Duration::from_secs(2),
            health: Health {
                interval: Duration::from_millis(500),
                recursion: true,
                domain: Name::root(),
            },
            source: None,
            tls: Tls::default(),
            tls_servername: None,
            doh_method: Method::Post,
        }
    }
}

impl UpstreamOptions {
    /// Reads an option. `false`: it is not one of these.
    pub(crate) fn read(
        &mut self,
        option: &Directive,
        args: &mut Args<'_>,
    ) -> Result<bool, Diagnostic> {
        match option.name.as_str() {
            "force_tcp" => self.force_tcp = true,
            "prefer_udp" => self.prefer_udp = true,
            "expire" => self.expire = args.value("DURATION")?,
            "max_age" => self.max_age = args.value("DURATION")?,
            "max_idle_conns" => self.max_idle_conns = args.value("INTEGER")?,
            "read_timeout" => self.read_timeout = parse::positive(args.required("DURATION")?)?,
            "health_check" => self.health = parse::health(args, self.health.recursion)?,
            "source_address" => self.source = Some(args.value("IP")?),
            "tls" => self.tls = parse::tls(args),
            "tls_servername" => self.tls_servername = Some(parse::server_name(args)?),
            "doh_method" => self.doh_method = parse::doh_method(args.required("METHOD")?)?,
            _ => return Ok(false),
        }
        args.end()?;
        Ok(true)
    }

    /// Reads an option in the block of one upstream.
    pub(crate) fn read_own(
        &mut self,
        within: &Directive,
        option: &Directive,
    ) -> Result<(), Diagnostic> {
        option.no_body()?;
        let mut args = option.args();
        if option.name.as_str() == "weight" {
            let weight = args.required("INTEGER")?;
            self.weight = weight.parse("INTEGER")?;
            if !(1..=1000).contains(&self.weight) {
                return Err(Diagnostic::error(
                    weight.span,
                    format!("`{}` is not a valid weight", weight.as_str()),
                )
                .label("expected a number from 1 to 1000")
                .help(
                    "an upstream with weight 2 gets twice as many queries as one with weight 1",
                ));
            }
            return args.end();
        }
        if self.read(option, &mut args)? {
            return Ok(());
        }
        let word = option.name.as_str();
        let problem = Diagnostic::error(
            option.name.span,
            format!("`{word}` is not an option of a single upstream"),
        );
        Err(match corefile::nearest(word, OPTIONS.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem
                .label(format!("in the block of `{}`", within.name.as_str()))
                .help("move it out of this block if it applies to all upstreams"),
        }
        .note(format!("options: {}", OPTIONS.join(", "))))
    }

    /// Checks values that conflict only with each other.
    pub(crate) fn check(&self, within: &Directive) -> Option<Diagnostic> {
        let (max_age, expire) = (self.max_age, self.expire);
        if max_age.is_zero() || max_age >= expire {
            return None;
        }
        let option = within.options().iter().rfind(|one| one.name.as_str() == "max_age");
        let option =
            option.or_else(|| within.options().iter().rfind(|one| one.name.as_str() == "expire"));
        let span = option.map_or(within.span, |option| option.span);
        let problem = format!("max_age ({max_age:?}) must not be less than expire ({expire:?})");
        Some(
            Diagnostic::error(span, problem)
                .label("connections would be closed before they expire")
                .help("raise `max_age`, or lower `expire`"),
        )
    }
}

impl UpstreamConfig {
    /// Checks that the server has a single name.
    pub(crate) fn check(&self) -> Option<Diagnostic> {
        let named = matches!(&self.spec.tls, Some(Some(_)));
        let general = self.options.tls_servername.as_ref().filter(|_| named)?;
        let (token, general) = (&self.spec.token, general.as_str());
        let text = token.as_str();
        let problem =
            format!("`{text}` and `tls_servername {general}` give different server names");
        Some(
            Diagnostic::error(token.span, problem)
                .label("this upstream has its own server name")
                .help("write the name after each upstream, or only in `tls_servername`"),
        )
    }
}
