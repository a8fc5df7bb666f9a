//! The arguments of `bufsize`.

use corefile::{Diagnostic, Diagnostics, Directive};

/// The largest UDP reply, and the largest offer let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) size: u16,
}

impl Default for Config {
    /// The size that fits every path without fragments (DNS flag day 2020).
    fn default() -> Self {
        Self { size: wire::SAFE_UDP_PAYLOAD }
    }
}

/// The configuration of a block; the first directive counts, as in CoreDNS.
pub(super) fn parse(uses: &[&Directive]) -> Result<Config, Diagnostics> {
    let mut first = None;
    let mut errors = Diagnostics::default();
    for directive in uses {
        errors.extend(directive.no_body().err());
        match parse_one(directive) {
            Ok(config) => first = first.or(Some(config)),
            Err(error) => errors.push(error),
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(first.unwrap_or_default()) }
}

fn parse_one(directive: &Directive) -> Result<Config, Diagnostic> {
    let mut args = directive.args();
    let Some(token) = args.next() else { return Ok(Config::default()) };
    args.end()?;
    match token.as_str().parse::<u16>() {
        Ok(size @ 512..=4096) => Ok(Config { size }),
        _ => {
            Err(Diagnostic::error(token.span, format!("`{}` is not a buffer size", token.as_str()))
                .label("expected a number of octets from 512 to 4096")
                .help("write `bufsize 1232`, or omit the size: 1232 is the default"))
        }
    }
}
