//! The arguments of `errors`.

use std::time::Duration;

use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};
use regex::Regex;
use telemetry::log::Level;

/// The longest regular expression, in bytes; CoreDNS's bound.
const MAX_PATTERN: usize = 10_000;

/// The options of the directive.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) stacktrace: Option<Span>,
    pub(super) consolidate: Vec<Consolidate>,
}

/// `consolidate DURATION REGEXP [LEVEL] [show_first]`.
#[derive(Debug)]
pub(super) struct Consolidate {
    pub(super) period: Duration,
    pub(super) pattern: Regex,
    pub(super) level: Level,
    pub(super) show_first: bool,
}

/// The configuration of a block, which has the directive once.
pub(super) fn parse(uses: &[&Directive]) -> Result<Config, Diagnostics> {
    let mut config = Config::default();
    let mut errors = Diagnostics::default();
    for directive in uses {
        let mut args = directive.args();
        match args.next() {
            Some(file) if file.as_str() != "stdout" => errors.push(
                Diagnostic::error(file.span, format!("invalid log file: `{}`", file.as_str()))
                    .label("errors are logged only to standard output")
                    .help("write `errors` or `errors stdout`"),
            ),
            _ => errors.extend(args.end().err()),
        }
        for option in directive.options() {
            errors.extend(option.no_body().err());
            match option.name.as_str() {
                "stacktrace" => match option.args().end() {
                    Ok(()) => config.stacktrace = Some(option.span),
                    Err(error) => errors.push(error),
                },
                "consolidate" => match consolidate(option) {
                    Ok(found) => config.consolidate.push(found),
                    Err(error) => errors.push(error),
                },
                _ => errors.push(directive.unknown_option(option, &["stacktrace", "consolidate"])),
            }
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(config) }
}

fn consolidate(option: &Directive) -> Result<Consolidate, Diagnostic> {
    let mut args = option.args();
    let period = args.value::<Duration>("DURATION")?;
    let pattern = regex(args.required("REGEXP")?)?;
    let (mut level, mut show_first) = (None, false);
    while let Some(arg) = args.next() {
        match (arg.as_str(), level_of(arg.as_str())) {
            (_, Some(_)) if level.is_some() => {
                return Err(Diagnostic::error(
                    arg.span,
                    "multiple log levels specified in consolidate",
                )
                .label("a second level")
                .help("keep one of `warning`, `error`, `info` and `debug`"));
            }
            (_, Some(_)) if show_first => {
                return Err(Diagnostic::error(
                    arg.span,
                    "log level must come before show_first in consolidate",
                )
                .label("this follows `show_first`")
                .help(format!("write `{} show_first`", arg.as_str())));
            }
            (_, Some(found)) => level = Some(found),
            ("show_first", None) => show_first = true,
            (other, None) => {
                let mut error = Diagnostic::error(
                    arg.span,
                    format!("unknown option in consolidate: `{other}`"),
                )
                .label("expected a level or `show_first`");
                let known = ["warning", "error", "info", "debug", "show_first"];
                error = match corefile::nearest(other, known) {
                    Some(near) => error.help(format!("did you mean `{near}`?")),
                    None => error.help("a regular expression with spaces needs quotes"),
                };
                return Err(error);
            }
        }
    }
    Ok(Consolidate { period, pattern, level: level.unwrap_or(Level::Error), show_first })
}

fn level_of(word: &str) -> Option<Level> {
    Some(match word {
        "warning" => Level::Warning,
        "error" => Level::Error,
        "info" => Level::Info,
        "debug" => Level::Debug,
        _ => return None,
    })
}

fn regex(token: &Token) -> Result<Regex, Diagnostic> {
    let text = token.as_str();
    if text.len() > MAX_PATTERN {
        let message = format!("regex pattern too long: {} > {MAX_PATTERN}", text.len());
        return Err(Diagnostic::error(token.span, message)
            .label("this pattern is too long")
            .help("split it into several `consolidate` options"));
    }
    Regex::new(text).map_err(|error| {
        Diagnostic::error(token.span, format!("`{text}` is not a regular expression"))
            .label("this pattern cannot be compiled")
            .help("the syntax is RE2's: no look-around, no backreferences")
            .note(error.to_string())
    })
}
