//! The arguments of `health`.

use std::time::Duration;

use chain::Setup;
use corefile::{Diagnostic, Diagnostics, Directive, Span};

/// The address of the endpoint, and how long the server keeps serving after a stop signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) address: String,
    pub(super) span: Option<Span>,
    /// The time of service after a stop signal, and its place.
    pub(super) lameduck: Option<(Duration, Span)>,
}

impl Default for Config {
    fn default() -> Self {
        Self { address: ":8080".into(), span: None, lameduck: None }
    }
}

/// The configuration of a block; the last directive counts.
pub(super) fn parse(uses: &[&Directive]) -> Result<Config, Diagnostics> {
    let mut config = Config::default();
    let mut errors = Diagnostics::default();
    for directive in uses {
        let mut args = directive.args();
        if let Some(token) = args.next() {
            match Setup::http_address(token.as_str()) {
                Ok(_) => {
                    config.address = token.as_str().to_owned();
                    config.span = Some(token.span);
                }
                Err(problem) => errors.push(
                    Diagnostic::error(
                        token.span,
                        format!("`{}` is not an address to serve health on", token.as_str()),
                    )
                    .label(problem)
                    .help("write an address and a port, as in `health :8080`"),
                ),
            }
        }
        if let Err(error) = args.end() {
            errors.push(error);
        }
        for option in directive.options() {
            if option.name.as_str() != "lameduck" {
                errors.push(directive.unknown_option(option, &["lameduck"]));
                continue;
            }
            let mut args = option.args();
            match args.value::<Duration>("DURATION") {
                Ok(lameduck) => config.lameduck = Some((lameduck, option.span)),
                Err(error) => errors.push(error),
            }
            if let Err(error) = args.end().and_then(|()| option.no_body()) {
                errors.push(error);
            }
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(config) }
}
