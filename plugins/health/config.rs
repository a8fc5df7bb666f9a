//! The arguments of `health`.

use std::time::Duration;

use chain::HttpAddress;
use corefile::{Diagnostics, Directive, Span};

/// The address of the endpoint, and how long the server keeps serving after a stop signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) address: HttpAddress,
    /// The time of service after a stop signal, and its place.
    pub(super) lameduck: Option<(Duration, Span)>,
}

impl Default for Config {
    fn default() -> Self {
        Self { address: HttpAddress::unwritten(":8080"), lameduck: None }
    }
}

/// The configuration of a block; the last directive counts.
pub(super) fn parse(uses: &[&Directive]) -> Result<Config, Diagnostics> {
    let mut config = Config::default();
    let mut errors = Diagnostics::default();
    for directive in uses {
        let mut args = directive.args();
        if let Some(token) = args.next() {
            match HttpAddress::read(token, "health", "health :8080") {
                Ok(address) => config.address = address,
                Err(error) => errors.push(error),
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
