//! The arguments of `trace`.

use std::time::Duration;

use corefile::{Args, Diagnostic, Diagnostics, Directive, Token};
use reqwest::Url;

/// What the other end understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Zipkin's JSON, version 2.
    Zipkin,
    /// The Datadog agent's JSON, version 0.4.
    Datadog,
    /// OpenTelemetry's protobuf over HTTP.
    Otlp,
}

/// Endpoint types, with the usual endpoint of each and the path there.
const FORMS: [(&str, Form, &str, &str); 3] = [
    ("zipkin", Form::Zipkin, "localhost:9411", "/api/v2/spans"),
    ("datadog", Form::Datadog, "localhost:8126", "/v0.4/traces"),
    ("otlp", Form::Otlp, "localhost:4318", "/v1/traces"),
];

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

/// What to trace, and where spans go.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) form: Form,
    pub(super) url: Url,
    /// One query of so many; none if zero.
    pub(super) every: u64,
    pub(super) service: String,
    pub(super) analytics_rate: f64,
    /// Spans that wait to be sent, at most.
    pub(super) backlog: usize,
    /// Spans after which they are sent at once.
    pub(super) batch: usize,
    /// How long spans wait for others.
    pub(super) interval: Duration,
}

/// The configuration of a block. Several directives are one; what stands last counts.
pub(super) fn parse(uses: &[&Directive]) -> Result<(Config, Diagnostics), Diagnostics> {
    let (mut errors, mut warnings) = (Diagnostics::default(), Diagnostics::default());
    let mut endpoint = None;
    let mut config = Config {
        form: Form::Zipkin,
        url: usual(),
        every: 1,
        service: "coredns".to_owned(),
        analytics_rate: 0.0,
        backlog: 1000,
        batch: 100,
        interval: Duration::from_secs(1),
    };
    let mut rate_at = None;
    for directive in uses {
        match where_to(directive, &mut warnings) {
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
    if let Some((form, url)) = endpoint {
        (config.form, config.url) = (form, url);
    }
    if let Some(span) = rate_at
        && config.form != Form::Datadog
    {
        warnings.push(
            Diagnostic::warning(span, "`datadog_analytics_rate` has no effect here")
                .label("spans are not sent to a Datadog agent")
                .help("remove it, or write `trace datadog ENDPOINT`"),
        );
    }
    Ok((config, warnings))
}

/// The default endpoint.
fn usual() -> Url {
    let (_, _, endpoint, path) = FORMS[0];
    match Url::parse(&format!("http://{endpoint}{path}")) {
        Ok(url) => url,
        Err(_) => unreachable!("the usual endpoint is a URL"),
    }
}

/// The arguments: nothing, an endpoint, or its type and the endpoint.
fn where_to(directive: &Directive, warnings: &mut Diagnostics) -> Result<(Form, Url), Diagnostics> {
    let mut errors = Diagnostics::default();
    let (form, endpoint) = match &directive.args[..] {
        [] => (Some(&FORMS[0]), None),
        [endpoint] => {
            // CoreDNS takes a single argument for a host, whatever it is.
            if let Some((name, ..)) = FORMS.iter().find(|(name, ..)| endpoint.as_str() == *name) {
                warnings.push(
                    Diagnostic::warning(
                        endpoint.span,
                        format!("`{name}` is interpreted as a host"),
                    )
                    .label("a single argument is the Zipkin endpoint, as in CoreDNS")
                    .help(format!("to select the endpoint type, write `trace {name} ENDPOINT`")),
                );
            }
            (Some(&FORMS[0]), Some(endpoint))
        }
        [form, endpoint, ..] => {
            let asked = form.as_str().to_lowercase();
            let found = FORMS.iter().find(|(name, ..)| asked == *name);
            if found.is_none() {
                errors.push(unknown_form(form));
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
    let url = match (form, endpoint) {
        (Some(form), Some(endpoint)) => match url(form, endpoint) {
            Ok(url) => Some(url),
            Err(error) => {
                errors.push(error);
                None
            }
        },
        (Some((_, _, usual, path)), None) => Url::parse(&format!("http://{usual}{path}")).ok(),
        (None, _) => None,
    };
    match (form, url) {
        (Some((_, form, ..)), Some(url)) if !errors.has_errors() => Ok((*form, url)),
        _ => Err(errors),
    }
}

fn unknown_form(form: &Token) -> Diagnostic {
    let word = form.as_str();
    let names = FORMS.map(|(name, ..)| name);
    let error =
        Diagnostic::error(form.span, format!("tracing endpoint type `{word}` is not supported"))
            .note(format!("types: {}", names.join(", ")));
    match corefile::nearest(&word.to_lowercase(), names) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.help("use one of these types, or omit the type to use `zipkin`"),
    }
}

/// The whole URL: `HOST:PORT` gets the path of its type. Where Zipkin and OTLP are, a URL is taken
/// as it is; Datadog's agent has its path always.
fn url(form: &(&str, Form, &str, &str), endpoint: &Token) -> Result<Url, Diagnostic> {
    let (name, form, usual, path) = form;
    let text = endpoint.as_str();
    let whole = match text.split_once("://") {
        None => format!("http://{text}{path}"),
        Some(_) if *form == Form::Datadog => format!("{}{path}", text.trim_end_matches('/')),
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

    fn read(args: &[&str]) -> Result<(Form, String), Diagnostics> {
        let directive = Directive {
            name: token("trace"),
            args: args.iter().map(|text| token(text)).collect(),
            body: None,
            span: Span::default(),
            end: Span::default(),
        };
        parse(&[&directive]).map(|(config, _)| (config.form, config.url.to_string()))
    }

    #[test]
    fn endpoints_are_those_of_coredns() {
        for (args, form, url) in [
            (&[][..], Form::Zipkin, "http://localhost:9411/api/v2/spans"),
            (&["localhost:1234"], Form::Zipkin, "http://localhost:1234/api/v2/spans"),
            (&["http://a:1234/somewhere/else"], Form::Zipkin, "http://a:1234/somewhere/else"),
            (&["zipkin", "httpd:1234"], Form::Zipkin, "http://httpd:1234/api/v2/spans"),
            (&["zipkin", ""], Form::Zipkin, "http://localhost:9411/api/v2/spans"),
            (&["zipkin"], Form::Zipkin, "http://zipkin/api/v2/spans"),
            (&["DataDog", "localhost"], Form::Datadog, "http://localhost/v0.4/traces"),
            (&["datadog", "http://a:8127/"], Form::Datadog, "http://a:8127/v0.4/traces"),
            (&["otlp", "[::1]:4318"], Form::Otlp, "http://[::1]:4318/v1/traces"),
            (&["otlp", "https://a/v1/traces"], Form::Otlp, "https://a/v1/traces"),
        ] {
            assert_eq!(read(args).ok(), Some((form, url.to_owned())), "{args:?}");
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
