//! The options of `timeouts`.

use std::time::Duration;

use chain::Setup;
use chain::settings::Timeouts;
use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};

/// The options, as `catena help timeouts` lists them.
const OPTIONS: &[&str] = &["read", "write", "idle", "maxtcpqueries"];
/// The shortest and the longest time.
const RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// Reads the directive.
///
/// # Errors
/// All mistakes in it.
pub(super) fn parse(directive: &Directive, setup: &Setup<'_>) -> Result<Timeouts, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut timeouts = Timeouts::default();
    problems.extend(directive.args().end().err());
    for option in directive.options() {
        if let Err(problem) = read(directive, option, setup, &mut timeouts) {
            problems.push(problem);
        }
    }
    if directive.options().is_empty() {
        problems.push(
            Diagnostic::error(directive.span, "`timeouts` needs at least one option")
                .label("no option is set")
                .help("add for example `idle 30s` in braces, or remove the directive"),
        );
    }
    if problems.has_errors() { Err(problems) } else { Ok(timeouts) }
}

fn read(
    directive: &Directive,
    option: &Directive,
    setup: &Setup<'_>,
    timeouts: &mut Timeouts,
) -> Result<(), Diagnostic> {
    let mut args = option.args();
    let span = option.span;
    let mut set = |value: &mut Option<chain::Setting<Duration>>| {
        let time = time(args.required("a time")?)?;
        put(value, time, span, setup)
    };
    match option.name.as_str() {
        "read" => set(&mut timeouts.read)?,
        "write" => set(&mut timeouts.write)?,
        "idle" => set(&mut timeouts.idle)?,
        "maxtcpqueries" => {
            let most = queries(args.required("a number of queries")?)?;
            put(&mut timeouts.max_queries, most, span, setup)?;
        }
        _ => return Err(directive.unknown_option(option, OPTIONS)),
    }
    args.end()?;
    option.no_body()
}

fn put<T>(
    value: &mut Option<chain::Setting<T>>,
    new: T,
    span: Span,
    setup: &Setup<'_>,
) -> Result<(), Diagnostic> {
    if let Some(earlier) = value {
        return Err(Diagnostic::error(span, "this option is set twice")
            .label("a second time here")
            .also(earlier.origin.span, "the first time here")
            .help("remove one of the two"));
    }
    *value = setup.setting(new, span);
    Ok(())
}

/// A time; a number without a unit is seconds.
fn time(token: &Token) -> Result<Duration, Diagnostic> {
    let text = token.as_str();
    let seconds = text.parse().ok().map(Duration::from_secs);
    let time = match seconds {
        Some(time) => time,
        None => token.parse("a time")?,
    };
    if RANGE.contains(&time) {
        return Ok(time);
    }
    Err(Diagnostic::error(token.span, format!("`{text}` is out of range"))
        .label("a time from 1s to 24h is expected")
        .help("write it as `30s` or `5m`; a number without a unit is seconds"))
}

/// A number of queries, or `None` for `-1`.
fn queries(token: &Token) -> Result<Option<u32>, Diagnostic> {
    let text = token.as_str();
    match text.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(most @ 1..) => Ok(Some(u32::try_from(most).unwrap_or(u32::MAX))),
        _ => Err(Diagnostic::error(token.span, format!("`{text}` is no number of queries"))
            .label("a whole number from 1, or -1, is expected")
            .help("`-1` stands for any number of queries on one connection")),
    }
}
