//! The options of the `cache` directive, one function each.

use std::time::Duration;

use corefile::{Args, Diagnostic, Diagnostics, Directive, Token};

use super::{Limits, Prefetch, SnapshotConfig, Stale};

/// The smallest capacity. As in CoreDNS, smaller numbers in a Corefile are raised to it.
const MIN_CAPACITY: u64 = 1024;
/// "Caching SERVFAIL … MUST NOT be cached for longer than 5 minutes" (RFC 2308 section 7.1), and
/// the same bound for attempts to renew (RFC 8767 section 5).
const FIVE_MINUTES: Duration = Duration::from_secs(300);
/// The default and the maximum number of networks with an answer of their own to one query.
const DEFAULT_NETWORKS: u32 = 64;
const MAX_NETWORKS: u32 = 10_000;
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// `success|denial CAPACITY [TTL] [MINTTL]`.
pub(super) fn limits(
    option: &Directive,
    limits: &mut Limits,
    warnings: &mut Diagnostics,
) -> Result<(), Diagnostic> {
    let mut args = option.args();
    let token = args.required("CAPACITY")?;
    let capacity = token.parse::<i64>("CAPACITY")?;
    if capacity < 0 {
        warnings.push(
            Diagnostic::warning(token.span, format!("the capacity `{capacity}` is negative"))
                .label(format!("the minimum capacity of {MIN_CAPACITY} is used instead"))
                .help("write the maximum number of entries"),
        );
    }
    limits.capacity = u64::try_from(capacity).unwrap_or(0).max(MIN_CAPACITY);
    if let Some(token) = args.next() {
        limits.max_ttl = lifetime(token)?;
    }
    if let Some(token) = args.next() {
        limits.min_ttl = seconds(token, 0)?;
    }
    if let Some(surplus) = args.next() {
        // CoreDNS ignores further arguments, so an existing Corefile may have them.
        warnings.push(
            Diagnostic::warning(surplus.span, format!("`{}` is ignored", surplus.as_str()))
                .help(format!("write `{} CAPACITY [TTL] [MINTTL]`", option.name.as_str())),
        );
    }
    Ok(())
}

/// A maximum TTL: at least one second.
pub(super) fn lifetime(token: &Token) -> Result<u32, Diagnostic> {
    seconds(token, 1)
}

/// A number of seconds, `least` or more. RFC 2181 section 8: a TTL has 31 bits.
pub(super) fn seconds(token: &Token, least: u32) -> Result<u32, Diagnostic> {
    let text = token.as_str();
    let Ok(value) = text.parse::<i64>() else {
        return Err(Diagnostic::error(token.span, format!("`{text}` is not a number of seconds"))
            .label("expected a whole number")
            .help("write the TTL in seconds, for example `300`"));
    };
    if value < i64::from(least) {
        let problem = if least == 0 { "negative" } else { "zero or negative" };
        return Err(Diagnostic::error(token.span, format!("the TTL `{text}` is {problem}"))
            .label(format!("expected {least} or more"))
            .help("to disable caching, use the option `disable`"));
    }
    Ok(u32::try_from(value).unwrap_or(u32::MAX).min(i32::MAX as u32))
}

/// `prefetch AMOUNT [DURATION] [PERCENTAGE%]`; an amount of zero turns it off.
pub(super) fn prefetch(option: &Directive) -> Result<Option<Prefetch>, Diagnostic> {
    let mut args = option.args();
    let token = args.required("AMOUNT")?;
    let amount = token.parse::<i64>("AMOUNT")?;
    let Ok(amount) = u32::try_from(amount) else {
        return Err(Diagnostic::error(
            token.span,
            format!("the amount `{amount}` is out of range"),
        )
        .label("expected 0 or more")
        .help("write the number of hits that makes an entry popular, for example `prefetch 10`"));
    };
    let gap = args.optional::<Duration>("DURATION")?.unwrap_or(Duration::from_secs(60));
    let percent = args.next().map_or(Ok(10), percent)?;
    args.end()?;
    Ok((amount > 0).then_some(Prefetch { amount, gap, percent }))
}

pub(super) fn percent(token: &Token) -> Result<u32, Diagnostic> {
    let text = token.as_str();
    let value = text.strip_suffix('%').and_then(|digits| digits.parse::<u32>().ok());
    match value {
        Some(value @ 10..=90) => Ok(value),
        _ => Err(Diagnostic::error(token.span, format!("`{text}` is not a valid percentage"))
            .label("expected a whole percentage from 10% to 90%")
            .help("write it with the percent sign, for example `20%`")),
    }
}

/// RFC 8767 section 5: a client response timer of 1.8 seconds, a TTL of 30 seconds, a failure recheck
/// timer of 30 seconds, and a maximum stale timer of one to three days.
pub(super) const RFC_8767: Stale = Stale {
    up_to: 24 * 3600,
    verify: Some(Duration::from_millis(1800)),
    ttl: 30,
    recheck: Duration::from_secs(30),
};

/// `serve_stale [DURATION|forever] [immediate [RESPONSE_TTL [FAILURE_RECHECK]] | verify
/// [VERIFY_TIMEOUT [RESPONSE_TTL [FAILURE_RECHECK]]] | rfc8767]`; a duration of zero turns it off.
pub(super) fn stale(option: &Directive) -> Result<Option<Stale>, Diagnostic> {
    let mut args = option.args();
    let first = args.peek().map(|token| token.as_str().to_ascii_lowercase());
    let up_to = match first.as_deref() {
        Some("rfc8767") => None,
        Some("forever") => {
            args.next();
            Some(u32::MAX)
        }
        _ => args
            .optional::<Duration>("DURATION")?
            .map(|up_to| u32::try_from(up_to.as_secs()).unwrap_or(u32::MAX)),
    };
    let mode = args.next();
    if mode.is_some_and(|mode| mode.as_str().eq_ignore_ascii_case("rfc8767")) {
        args.end()?;
        let up_to = up_to.unwrap_or(RFC_8767.up_to);
        return Ok((up_to > 0).then_some(Stale { up_to, ..RFC_8767 }));
    }
    let up_to = up_to.unwrap_or(3600);
    let verify = match mode.map(|mode| mode.as_str().to_ascii_lowercase()).as_deref() {
        None | Some("immediate") => None,
        Some("verify") => {
            Some(args.optional::<Duration>("VERIFY_TIMEOUT")?.unwrap_or(Duration::ZERO))
        }
        Some(other) => {
            return Err(Diagnostic::error(
                mode.map_or(option.span, |mode| mode.span),
                format!("unknown mode `{other}` of `serve_stale`"),
            )
            .label("expected `immediate`, `verify` or `rfc8767`")
            .help("write `serve_stale rfc8767`, or for example `serve_stale 1h verify`"));
        }
    };
    let ttl = response_ttl(&mut args)?;
    let recheck = args.peek();
    let recheck = match recheck {
        Some(token) => bounded(token, "FAILURE_RECHECK")?,
        None => Duration::ZERO,
    };
    args.next();
    args.end()?;
    Ok((up_to > 0).then_some(Stale { up_to, verify, ttl, recheck }))
}

pub(super) fn response_ttl(args: &mut Args<'_>) -> Result<u32, Diagnostic> {
    let Some(token) = args.next() else {
        return Ok(0);
    };
    let ttl = token.parse::<Duration>("RESPONSE_TTL")?;
    u32::try_from(ttl.as_secs()).ok().filter(|_| ttl.subsec_nanos() == 0).ok_or_else(|| {
        Diagnostic::error(token.span, format!("`{}` is not a TTL", token.as_str()))
            .label("expected whole seconds")
            .help("RFC 8767 recommends `30s`")
    })
}

/// A duration of at most five minutes.
pub(super) fn bounded(token: &Token, what: &str) -> Result<Duration, Diagnostic> {
    let value = token.parse::<Duration>(what)?;
    if value > FIVE_MINUTES {
        return Err(Diagnostic::error(token.span, format!("`{}` is too long", token.as_str()))
            .label("expected at most five minutes")
            .help("failures must not be cached for longer than `5m` (RFC 2308 section 7.1)"));
    }
    Ok(value)
}

/// `serve_stale_policy prefer_positive`.
pub(super) fn prefer(option: &Directive) -> Result<(), Diagnostic> {
    let mut args = option.args();
    let policy = args.required("prefer_positive")?;
    if !policy.as_str().eq_ignore_ascii_case("prefer_positive") {
        return Err(Diagnostic::error(
            policy.span,
            format!("unknown policy `{}`", policy.as_str()),
        )
        .label("expected `prefer_positive`")
        .help("remove the option to use the default policy"));
    }
    args.end()
}

/// `ecs [NETWORKS]`.
pub(super) fn ecs(option: &Directive) -> Result<u32, Diagnostic> {
    let mut args = option.args();
    let Some(token) = args.next() else { return Ok(DEFAULT_NETWORKS) };
    args.end()?;
    let networks = token.parse::<i64>("NETWORKS")?;
    match u32::try_from(networks) {
        Ok(networks @ 1..=MAX_NETWORKS) => Ok(networks),
        _ => Err(Diagnostic::error(token.span, format!("`{networks}` is out of range"))
            .label(format!("expected 1 to {MAX_NETWORKS}"))
            .help("write how many networks can have an answer of their own, or omit the number")),
    }
}

/// `snapshot FILE [INTERVAL]`.
pub(super) fn snapshot(option: &Directive) -> Result<SnapshotConfig, Diagnostic> {
    let mut args = option.args();
    let file = args.required("FILE")?.clone();
    let interval = args.peek().cloned();
    let every = args.optional::<Duration>("INTERVAL")?.unwrap_or(5 * MINUTE);
    args.end()?;
    if let Some(token) = interval.filter(|_| every < MINUTE / 6) {
        return Err(Diagnostic::error(token.span, format!("`{}` is too short", token.as_str()))
            .label("expected at least ten seconds")
            .help("write `10s` or more; the server also writes the snapshot when it stops"));
    }
    Ok(SnapshotConfig { file, interval: every })
}

/// `servfail DURATION`, in whole seconds.
pub(super) fn servfail(option: &Directive) -> Result<u32, Diagnostic> {
    let mut args = option.args();
    let value = bounded(args.required("DURATION")?, "DURATION")?;
    args.end()?;
    Ok(value.as_secs() as u32)
}
