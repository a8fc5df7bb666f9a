//! The options of the `redisc` directive as plain values.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chain::ZoneSet;
use corefile::{Diagnostic, Diagnostics, Directive, Token};
use wire::Name;

/// Redis's port.
const PORT: u16 = 6379;
/// The default maximum lifetime of answers and denials.
const SUCCESS: u32 = 3600;
const DENIAL: u32 = 1800;
/// How long a query waits for Redis: the default and the maximum.
const TIMEOUT: Duration = Duration::from_millis(50);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest `prefix`.
const LONGEST_PREFIX: usize = 64;

const OPTIONS: &[&str] = &["endpoint", "success", "denial", "timeout", "prefix"];

/// A `redisc` directive.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// The zones to cache.
    pub(super) zones: ZoneSet,
    /// The maximum lifetime of answers, in seconds.
    pub(super) success: u32,
    /// The same for denials.
    pub(super) denial: u32,
    /// The address of Redis.
    pub(super) endpoint: SocketAddr,
    /// How long a query waits for it.
    pub(super) timeout: Duration,
    /// The prefix of keys. `None`: the identity of the server block.
    pub(super) prefix: Option<String>,
}

impl Config {
    /// Parses the directive. `block_zones` are its default zones.
    ///
    /// # Errors
    /// All mistakes in the directive.
    pub(super) fn read(directive: &Directive, block_zones: &[Name]) -> Result<Self, Diagnostics> {
        let mut config = Self {
            zones: ZoneSet::default(),
            success: SUCCESS,
            denial: DENIAL,
            endpoint: SocketAddr::from(([127, 0, 0, 1], PORT)),
            timeout: TIMEOUT,
            prefix: None,
        };
        let mut problems = Diagnostics::default();
        if let Some(token) = ttl_of(directive) {
            match lifetime(token) {
                Ok(ttl) => (config.success, config.denial) = (ttl, ttl),
                Err(problem) => problems.push(problem),
            }
        }
        match ZoneSet::from_args(zones_of(directive), block_zones) {
            Ok(zones) => config.zones = zones,
            Err(problem) => problems.push(problem),
        }
        for option in directive.options() {
            if let Err(problem) = config.option(directive, option) {
                problems.push(problem);
            }
        }
        if problems.has_errors() { Err(problems) } else { Ok(config) }
    }

    /// The longest lifetime of all.
    pub(super) fn longest(&self) -> u32 {
        self.success.max(self.denial)
    }

    fn option(&mut self, directive: &Directive, option: &Directive) -> Result<(), Diagnostic> {
        option.no_body()?;
        let mut args = option.args();
        match option.name.as_str() {
            "endpoint" => self.endpoint = endpoint(args.required("ENDPOINT")?)?,
            "success" => self.success = lifetime(args.required("TTL")?)?,
            "denial" => self.denial = lifetime(args.required("TTL")?)?,
            "timeout" => self.timeout = timeout(args.required("DURATION")?)?,
            "prefix" => self.prefix = Some(prefix(args.required("NAME")?)?),
            _ => return Err(directive.unknown_option(option, OPTIONS)),
        }
        args.end()
    }
}

/// The TTL in `redisc [TTL] [ZONES...]`: a number. Any other first argument is a zone.
fn ttl_of(directive: &Directive) -> Option<&Token> {
    directive.args.first().filter(|token| token.as_str().parse::<i64>().is_ok())
}

/// The zones in it.
pub(super) fn zones_of(directive: &Directive) -> &[Token] {
    &directive.args[usize::from(ttl_of(directive).is_some())..]
}

/// A maximum TTL: at least one second. RFC 2181 section 8: a TTL has 31 bits.
fn lifetime(token: &Token) -> Result<u32, Diagnostic> {
    let seconds = token.parse::<i64>("TTL")?;
    if seconds <= 0 {
        return Err(Diagnostic::error(
            token.span,
            format!("cache TTL can not be zero or negative: {seconds}"),
        )
        .label("expected 1 or more")
        .help("to cache nothing in Redis, remove `redisc`"));
    }
    Ok(u32::try_from(seconds).unwrap_or(u32::MAX).min(i32::MAX as u32))
}

fn endpoint(token: &Token) -> Result<SocketAddr, Diagnostic> {
    let text = token.as_str();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    address.or_else(|_| text.parse::<SocketAddr>()).map_err(|_| {
        Diagnostic::error(token.span, format!("failed to parse IP: `{text}`"))
            .label("expected an address, with or without port")
            .help(format!("write for example `10.0.0.6` or `10.0.0.6:{PORT}`"))
    })
}

fn timeout(token: &Token) -> Result<Duration, Diagnostic> {
    let timeout: Duration = token.parse("DURATION")?;
    if timeout.is_zero() || timeout > LONGEST_TIMEOUT {
        return Err(Diagnostic::error(
            token.span,
            "`timeout` must be positive, and at most one second",
        )
        .label("a query waits this long for a Redis that does not respond")
        .help("write for example `50ms`, the default"));
    }
    Ok(timeout)
}

fn prefix(token: &Token) -> Result<String, Diagnostic> {
    let text = token.as_str();
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    if text.is_empty() || text.len() > LONGEST_PREFIX || !text.bytes().all(fits) {
        return Err(Diagnostic::error(token.span, format!("`{text}` is not a valid key prefix"))
            .label(format!("expected up to {LONGEST_PREFIX} printable characters without `:`"))
            .help("write for example `prefix cluster-1`"));
    }
    Ok(text.to_owned())
}
