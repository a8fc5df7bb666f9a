//! `cancel [TIMEOUT]`.

use std::time::Duration;

use corefile::{Diagnostic, Diagnostics, Directive, FromToken};

/// CoreDNS's: a little more than the five seconds a resolver waits.
const DEFAULT: Duration = Duration::from_millis(5001);

/// The timeout; of several directives the last counts.
///
/// # Errors
/// Every mistake.
pub(super) fn parse(uses: &[&Directive]) -> Result<Duration, Diagnostics> {
    let mut timeout = DEFAULT;
    let mut errors = Diagnostics::default();
    for directive in uses {
        match one(directive) {
            Ok(one) => timeout = one,
            Err(problem) => errors.push(problem),
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(timeout) }
}

fn one(directive: &Directive) -> Result<Duration, Diagnostic> {
    directive.no_body()?;
    let mut args = directive.args();
    let Some(word) = args.next() else { return Ok(DEFAULT) };
    args.end()?;
    match Duration::from_token(word) {
        Ok(timeout) if !timeout.is_zero() => Ok(timeout),
        _ => Err(Diagnostic::error(word.span, format!("invalid duration `{}`", word.as_str()))
            .label("expected a time longer than none")
            .help("write it with its unit, as in `cancel 1s`")),
    }
}
