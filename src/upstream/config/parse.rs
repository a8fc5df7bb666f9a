//! The arguments of options, read and checked.

use std::time::Duration;

use corefile::{Args, Diagnostic, Directive, Token};
use net::client::Method;
use wire::{Name, Rcode};

use super::spec;
use super::values::{Breaker, Health, Hedge, MAX_UPSTREAMS, Policy, Tls};

/// The arguments of an option that needs at least one.
///
/// # Errors
/// There is no argument.
pub fn at_least_one<'a>(
    option: &Directive,
    args: &mut Args<'a>,
    what: &str,
) -> Result<&'a [Token], Diagnostic> {
    let tokens = args.remaining();
    if tokens.is_empty() {
        let name = option.name.as_str();
        return Err(Diagnostic::error(option.span, format!("`{name}` needs {what}"))
            .label("no argument given")
            .help(format!("add {what} after `{name}`, or remove the option")));
    }
    Ok(tokens)
}

/// As CoreDNS reads it: one argument is the CA, two are certificate and key, three are all.
pub fn tls(args: &mut Args<'_>) -> Tls {
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

/// The name in a server's certificate.
///
/// # Errors
/// No certificate can have it.
pub fn server_name(args: &mut Args<'_>) -> Result<Token, Diagnostic> {
    let name = args.required("NAME")?;
    spec::server_name(name, name.as_str())?;
    Ok(name.clone())
}

pub(crate) fn positive(token: &Token) -> Result<Duration, Diagnostic> {
    let duration: Duration = token.parse("DURATION")?;
    if duration.is_zero() {
        return Err(Diagnostic::error(token.span, "`read_timeout` must be positive")
            .label("an upstream needs time to answer")
            .help("write for example `2s`, the default"));
    }
    Ok(duration)
}

pub(crate) fn doh_method(token: &Token) -> Result<Method, Diagnostic> {
    match token.as_str() {
        "POST" => Ok(Method::Post),
        "GET" => Ok(Method::Get),
        _ => Err(Diagnostic::error(token.span, "doh_method must be either POST or GET")
            .label("expected an HTTP method")
            .help("write `POST` (the default), or `GET`, whose answers HTTP caches may store")),
    }
}

pub(crate) fn policy(args: &mut Args<'_>) -> Result<Policy, Diagnostic> {
    const POLICIES: [&str; 6] =
        ["random", "round_robin", "sequential", "weighted", "fastest", "race"];
    let token = args.required("POLICY")?;
    Ok(match token.as_str() {
        "random" => Policy::Random,
        "round_robin" => Policy::RoundRobin,
        "sequential" => Policy::Sequential,
        "weighted" => Policy::Weighted,
        "fastest" => Policy::Fastest,
        "race" => {
            let Some(count) = args.next() else { return Ok(Policy::Race(2)) };
            match count.parse("COUNT")? {
                width if (2..=MAX_UPSTREAMS).contains(&width) => Policy::Race(width),
                width => {
                    return Err(Diagnostic::error(
                        count.span,
                        format!("`race {width}` is not possible"),
                    )
                    .label(format!("expected a number from 2 to {MAX_UPSTREAMS}"))
                    .help("give the number of upstreams to query at once (default 2)"));
                }
            }
        }
        other => {
            return Err(Diagnostic::error(token.span, format!("unknown policy `{other}`"))
                .label("expected a policy")
                .help(corefile::nearest(other, POLICIES).map_or_else(
                    || format!("the policies are {}", list(&POLICIES)),
                    |near| format!("did you mean `{near}`?"),
                )));
        }
    })
}

/// The words in backticks, for a sentence.
fn list(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// `hedge [pNN] [SHARE%]`.
pub(crate) fn hedge(args: &mut Args<'_>) -> Result<Hedge, Diagnostic> {
    let mut hedge = Hedge::default();
    while let Some(token) = args.next() {
        let text = token.as_str();
        let percentile = text.strip_prefix('p').and_then(|digits| digits.parse::<u8>().ok());
        let share = text.strip_suffix('%').and_then(|digits| digits.parse::<u8>().ok());
        match (percentile, share) {
            (Some(percentile @ 50..=99), _) => hedge.percentile = percentile,
            (_, Some(share @ 1..=100)) => hedge.share = share,
            _ => {
                return Err(Diagnostic::error(
                    token.span,
                    format!("`hedge` does not take the argument `{text}`"),
                )
                .label("expected `p50` to `p99`, or a share of the queries such as `10%`")
                .help("write `hedge`, or for example `hedge p90 5%`"));
            }
        }
    }
    Ok(hedge)
}

/// `circuit_breaker [RCODE...] [ratio PERCENT%] [window DURATION] [queries INTEGER] [hold DURATION]`.
pub(crate) fn breaker(args: &mut Args<'_>) -> Result<Breaker, Diagnostic> {
    let mut breaker = Breaker::default();
    let mut named = Vec::new();
    while let Some(token) = args.next() {
        let wrong = |why: &str| {
            Diagnostic::error(token.span, format!("invalid `circuit_breaker`: {why}"))
                .label("in this argument")
                .help("the defaults are `ratio 50% window 10s queries 10 hold 1s`")
        };
        match token.as_str() {
            "ratio" => {
                breaker.ratio = args.value::<corefile::Percent>("PERCENT%")?.0;
                if breaker.ratio == 0 {
                    return Err(wrong("with this ratio it would never close"));
                }
            }
            "window" => {
                breaker.window = args.value("DURATION")?;
                if breaker.window.is_zero() {
                    return Err(wrong("the window must be longer than 0"));
                }
            }
            "queries" => {
                breaker.queries = args.value("INTEGER")?;
                if !(1..=10_000).contains(&breaker.queries) {
                    return Err(wrong("`queries` must be a number from 1 to 10000"));
                }
            }
            "hold" => {
                breaker.hold = args.value("DURATION")?;
                let bounds = Duration::from_millis(100)..=Duration::from_secs(3600);
                if !bounds.contains(&breaker.hold) {
                    return Err(wrong("`hold` must be from 100ms to 1h"));
                }
            }
            _ => named.push(failover(token, "circuit_breaker")?),
        }
    }
    if !named.is_empty() {
        breaker.rcodes = named;
    }
    Ok(breaker)
}

/// The option replaces an earlier one as a whole, except that `no_rec` stays: as in CoreDNS.
pub(crate) fn health(args: &mut Args<'_>, recursion: bool) -> Result<Health, Diagnostic> {
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
                    format!("`health_check` does not take the argument `{other}`"),
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
/// There is no such response code.
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

pub(crate) fn failover(token: &Token, option: &str) -> Result<Rcode, Diagnostic> {
    let rcode = rcode(token)?;
    if rcode == Rcode::NOERROR {
        return Err(Diagnostic::error(
            token.span,
            format!("`NOERROR` cannot be used in `{option}`"),
        )
        .label("this is the rcode of a successful answer")
        .help("use `next_on_nodata` for answers without records"));
    }
    Ok(rcode)
}

#[cfg(test)]
mod tests {
    use super::super::spec::token;
    use super::*;

    #[test]
    fn rcodes() {
        assert_eq!(rcode(&token("nxdomain")).ok(), Some(Rcode::NXDOMAIN));
        assert_eq!(rcode(&token("NOTIMPL")).ok(), Some(Rcode::NOTIMP));
        assert!(rcode(&token("RCODE3")).is_err());
        assert!(failover(&token("NoError"), "failover").is_err());
    }
}
