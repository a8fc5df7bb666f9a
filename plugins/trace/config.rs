//! The arguments of `trace`.

use std::time::Duration;

use corefile::{Args, Diagnostic, Diagnostics, Directive, Token};
use reqwest::Url;

use super::datadog::Datadog;
use super::format::Format;
use super::otlp::Otlp;
use super::zipkin::Zipkin;

/// The formats; the first is the default.
const FORMATS: [&dyn Format; 3] = [&Zipkin, &Datadog, &Otlp];

/// The options; those that begin with `zipkin` hold for every endpoint.
const OPTIONS: [&str; 7] = [
    "every",
    "service",
    "client_server",
    "datadog_analytics_rate",
    "zipkin_max_backlog_size",
    "zipkin_max_batch_size",
    "zipkin_max_batch_interval",
];

/// Which queries to trace, and where to send the spans.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) format: &'static dyn Format,
    pub(super) url: Url,
    /// One query of this many is traced; none if zero.
    pub(super) every: u64,
    pub(super) service: String,
    pub(super) analytics_rate: f64,
    /// The most spans that wait to be sent.
    pub(super) backlog: usize,
    /// The backlog that is sent without waiting for the interval.
    pub(super) batch: usize,
    /// The longest time that a span waits for others.
    pub(super) interval: Duration,
}

/// The configuration of a block. Several directives are one; the last of an option counts.
pub(super) fn parse(uses: &[&Directive]) -> Result<(Config, Diagnostics), Diagnostics> {
    let (mut errors, mut warnings) = (Diagnostics::default(), Diagnostics::default());
    let mut endpoint = None;
    let mut config = Config {
        format: FORMATS[0],
        url: default_url(),
        every: 1,
        service: "coredns".to_owned(),
        analytics_rate: 0.0,
        backlog: 1000,
        batch: 100,
        interval: Duration::from_secs(1),
    };
    let mut rate_at = None;
    for directive in uses {
        match self::endpoint(directive, &mut warnings) {
            Ok(found) => endpoint = Some(found),
            Err(more) => errors.extend(more),
        }
        for option in directive.options() {
            let mut args = option.args();
            let read = match option.name.as_str() {
                "every" => args.value("AMOUNT").map(|every| config.every = every),
                "service" => args.value("NAME").map(|name| config.service = name),
                "client_server" => switch(&mut args).map(|on| {
                    if on {
                        warnings.push(nothing_to_share(option));
                    }
                }),
                "datadog_analytics_rate" => rate(&mut args).map(|rate| {
                    config.analytics_rate = rate;
                    rate_at = Some(option.name.span);
                }),
                // As in CoreDNS, zero is the usual value.
                "zipkin_max_backlog_size" => args.value("SIZE").map(|size: usize| {
                    config.backlog = if size == 0 { 1000 } else { size };
                }),
                "zipkin_max_batch_size" => args.value("SIZE").map(|size: usize| {
                    config.batch = if size == 0 { 100 } else { size };
                }),
                "zipkin_max_batch_interval" => args.value("DURATION").map(|time: Duration| {
                    config.interval = if time.is_zero() { Duration::from_secs(1) } else { time };
                }),
                _ => {
                    errors.push(directive.unknown_option(option, &OPTIONS));
                    continue;
                }
            };
            if let Err(error) = read.and_then(|()| args.end()).and_then(|()| option.no_body()) {
                errors.push(error);
            }
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    if let Some((format, url)) = endpoint {
        (config.format, config.url) = (format, url);
    }
    if let Some(span) = rate_at
        && !config.format.takes_analytics_rate()
    {
        warnings.push(
            Diagnostic::warning(span, "`datadog_analytics_rate` has no effect here")
                .label("spans are not sent to a Datadog agent")
                .help("remove it, or write `trace datadog ENDPOINT`"),
        );
    }
    Ok((config, warnings))
}

/// The default endpoint of the default format.
fn default_url() -> Url {
    match Url::parse(&default_endpoint(FORMATS[0])) {
        Ok(url) => url,
        Err(_) => unreachable!("the default endpoint is a URL"),
    }
}

fn default_endpoint(format: &dyn Format) -> String {
    format!("http://{}{}", format.endpoint(), format.path())
}

/// The arguments: none, an endpoint, or its type and the endpoint.
fn endpoint(
    directive: &Directive,
    warnings: &mut Diagnostics,
) -> Result<(&'static dyn Format, Url), Diagnostics> {
    let mut errors = Diagnostics::default();
    let (format, endpoint) = match &directive.args[..] {
        [] => (Some(FORMATS[0]), None),
        [endpoint] => {
            // CoreDNS interprets every single argument as a host.
            if let Some(format) = format_named(endpoint.as_str()) {
                let name = format.name();
                warnings.push(
                    Diagnostic::warning(
                        endpoint.span,
                        format!("`{name}` is interpreted as a host"),
                    )
                    .label("a single argument is the Zipkin endpoint, as in CoreDNS")
                    .help(format!("to select the endpoint type, write `trace {name} ENDPOINT`")),
                );
            }
            (Some(FORMATS[0]), Some(endpoint))
        }
        [word, endpoint, ..] => {
            let found = format_named(&word.as_str().to_lowercase());
            if found.is_none() {
                errors.push(unknown_format(word));
            }
            (found, Some(endpoint))
        }
    };
    if let Some(surplus) = directive.args.get(2) {
        errors.push(
            Diagnostic::error(
                surplus.span,
                format!("`trace` does not take the argument `{}`", surplus.as_str()),
            )
            .label("one argument too many")
            .help("remove it; an option goes on a line of its own"),
        );
    }
    let endpoint = endpoint.filter(|endpoint| !endpoint.as_str().is_empty());
    let url = match (format, endpoint) {
        (Some(format), Some(endpoint)) => match url(format, endpoint) {
            Ok(url) => Some(url),
            Err(error) => {
                errors.push(error);
                None
            }
        },
        (Some(format), None) => Url::parse(&default_endpoint(format)).ok(),
        (None, _) => None,
    };
    match (format, url) {
        (Some(format), Some(url)) if !errors.has_errors() => Ok((format, url)),
        _ => Err(errors),
    }
}

fn format_named(word: &str) -> Option<&'static dyn Format> {
    FORMATS.into_iter().find(|format| format.name() == word)
}

fn unknown_format(token: &Token) -> Diagnostic {
    let word = token.as_str();
    let names = FORMATS.map(Format::name);
    let error =
        Diagnostic::error(token.span, format!("tracing endpoint type `{word}` is not supported"))
            .note(format!("types: {}", names.join(", ")));
    match corefile::nearest(&word.to_lowercase(), names) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.help("use one of these types, or omit the type to use `zipkin`"),
    }
}

/// The whole URL: `HOST:PORT` gets the path of its format.
fn url(format: &dyn Format, endpoint: &Token) -> Result<Url, Diagnostic> {
    let (name, usual, path) = (format.name(), format.endpoint(), format.path());
    let text = endpoint.as_str();
    let whole = match text.split_once("://") {
        None => format!("http://{text}{path}"),
        Some(_) if format.extends_urls() => format!("{}{path}", text.trim_end_matches('/')),
        Some(_) => text.to_owned(),
    };
    let wrong = |problem: String| {
        Diagnostic::error(endpoint.span, format!("`{text}` is not a valid tracing endpoint"))
            .label(problem)
            .help(format!("write a host and a port, as in `trace {name} {usual}`, or a URL"))
    };
    let url = Url::parse(&whole).map_err(|problem| wrong(problem.to_string()))?;
    if let Some(host) = url.domain() {
        net::host::check(host).map_err(&wrong)?;
    }
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(wrong(format!("`{other}` is neither `http` nor `https`"))),
    }
}

/// Nothing, or one of the words of Go's `strconv.ParseBool`.
fn switch(args: &mut Args<'_>) -> Result<bool, Diagnostic> {
    let Some(token) = args.next() else { return Ok(true) };
    match token.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(Diagnostic::error(token.span, format!("`{other}` is not a boolean"))
            .label("expected `true` or `false`")
            .help("write `true` or `false`, or omit the value for `true`")),
    }
}

fn rate(args: &mut Args<'_>) -> Result<f64, Diagnostic> {
    let Some(token) = args.peek() else { return Ok(0.0) };
    let rate = args.optional("RATE")?.unwrap_or(0.0);
    if (0.0..=1.0).contains(&rate) {
        return Ok(rate);
    }
    Err(Diagnostic::error(token.span, "datadog analytics rate must be between 0 and 1")
        .label("expected a number from 0 to 1")
        .help("write the fraction of traces to analyze, as in `0.1`"))
}

fn nothing_to_share(option: &Directive) -> Diagnostic {
    Diagnostic::warning(option.name.span, "`client_server` has no effect here")
        .label("only a query over HTTPS can carry the trace context of its client")
        .help("remove it: this build has no listener for DNS over HTTPS")
}

#[cfg(test)]
mod tests {
    use super::*;
    use corefile::Span;

    fn token(text: &str) -> Token {
        Token { text: text.to_owned(), span: Span::default(), quoted: false }
    }

    fn read(args: &[&str]) -> Result<(&'static str, String), Diagnostics> {
        let directive = Directive {
            name: token("trace"),
            args: args.iter().map(|text| token(text)).collect(),
            body: None,
            span: Span::default(),
            end: Span::default(),
        };
        parse(&[&directive]).map(|(config, _)| (config.format.name(), config.url.to_string()))
    }

    #[test]
    fn endpoints_are_those_of_coredns() {
        for (args, format, url) in [
            (&[][..], "zipkin", "http://localhost:9411/api/v2/spans"),
            (&["localhost:1234"], "zipkin", "http://localhost:1234/api/v2/spans"),
            (&["http://a:1234/somewhere/else"], "zipkin", "http://a:1234/somewhere/else"),
            (&["zipkin", "httpd:1234"], "zipkin", "http://httpd:1234/api/v2/spans"),
            (&["zipkin", ""], "zipkin", "http://localhost:9411/api/v2/spans"),
            (&["zipkin"], "zipkin", "http://zipkin/api/v2/spans"),
            (&["DataDog", "localhost"], "datadog", "http://localhost/v0.4/traces"),
            (&["datadog", "http://a:8127/"], "datadog", "http://a:8127/v0.4/traces"),
            (&["otlp", "[::1]:4318"], "otlp", "http://[::1]:4318/v1/traces"),
            (&["otlp", "https://a/v1/traces"], "otlp", "https://a/v1/traces"),
        ] {
            assert_eq!(read(args).ok(), Some((format, url.to_owned())), "{args:?}");
        }
        for args in [
            &["jaeger", "localhost:1"][..],
            &["otlp", "a", "b"],
            &["a b"],
            &["unix:///a"],
            &["a..b:1"],
            &["a:1:2"],
        ] {
            assert!(read(args).is_err(), "{args:?}");
        }
    }
}
