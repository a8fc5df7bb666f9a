//! The arguments of `reload`.

use std::time::Duration;

use corefile::{Diagnostic, Diagnostics, Directive};

/// The shortest time between two looks.
const MIN_INTERVAL: Duration = Duration::from_secs(2);
/// The least jitter other than none.
const MIN_JITTER: Duration = Duration::from_secs(1);

/// How often to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) interval: Duration,
    pub(super) jitter: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), jitter: Duration::from_secs(15) }
    }
}

/// The configuration and warnings about it. CoreDNS reads the first directive of a block only.
pub(super) fn parse(uses: &[&Directive]) -> Result<(Config, Diagnostics), Diagnostics> {
    let mut warnings = Diagnostics::default();
    let [directive, more @ ..] = uses else {
        return Ok((Config::default(), warnings));
    };
    for surplus in more {
        warnings.push(
            Diagnostic::warning(surplus.span, "`reload` is specified more than once")
                .label("ignored")
                .help("only the first `reload` of a server block takes effect; remove the others"),
        );
    }
    let config = one(directive)?;
    Ok((config, warnings))
}

fn one(directive: &Directive) -> Result<Config, Diagnostics> {
    let mut config = Config::default();
    let mut errors = Diagnostics::default();
    let mut args = directive.args();
    if let Some(token) = args.next() {
        match token.parse::<Duration>("INTERVAL") {
            Ok(interval) if interval >= MIN_INTERVAL => config.interval = interval,
            Ok(_) => errors.push(
                Diagnostic::error(token.span, "interval value must be greater or equal to 2s")
                    .label("too short")
                    .help("use an interval of at least `2s`"),
            ),
            Err(error) => errors.push(error),
        }
    }
    if let Some(token) = args.next() {
        match token.parse::<Duration>("JITTER") {
            Ok(jitter) if jitter.is_zero() || jitter >= MIN_JITTER => config.jitter = jitter,
            Ok(_) => errors.push(
                Diagnostic::error(token.span, "jitter value must be 0 or greater or equal to 1s")
                    .label("too small")
                    .help("write `0s` for no jitter, or at least `1s`"),
            ),
            Err(error) => errors.push(error),
        }
    }
    if let Err(error) = args.end().and_then(|()| directive.no_body()) {
        errors.push(error);
    }
    config.jitter = config.jitter.min(config.interval / 2);
    if errors.has_errors() { Err(errors) } else { Ok(config) }
}
