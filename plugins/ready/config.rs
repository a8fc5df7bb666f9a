//! The arguments of `ready`.

use chain::HttpAddress;
use corefile::{Diagnostic, Diagnostics, Directive, Token};

/// How long plugins are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Monitor {
    /// Until each was ready once.
    #[default]
    UntilReady,
    /// At every request.
    Continuously,
}

/// The address of the endpoint, and how plugins are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) address: HttpAddress,
    pub(super) monitor: Monitor,
}

impl Default for Config {
    fn default() -> Self {
        Self { address: HttpAddress::unwritten(":8181"), monitor: Monitor::default() }
    }
}

/// The configuration of a block, which has the directive once.
pub(super) fn parse(uses: &[&Directive]) -> Result<Config, Diagnostics> {
    let mut config = Config::default();
    let mut errors = Diagnostics::default();
    for directive in uses {
        let mut args = directive.args();
        if let Some(token) = args.next() {
            match HttpAddress::read(token, "readiness", "ready :8181") {
                Ok(address) => config.address = address,
                Err(error) => errors.push(error),
            }
        }
        if let Err(error) = args.end() {
            errors.push(error);
        }
        for option in directive.options() {
            if option.name.as_str() != "monitor" {
                errors.push(directive.unknown_option(option, &["monitor"]));
                continue;
            }
            let mut args = option.args();
            let kind = args.required("KIND").and_then(monitor);
            match kind.and_then(|kind| args.end().and_then(|()| option.no_body()).map(|()| kind)) {
                Ok(kind) => config.monitor = kind,
                Err(error) => errors.push(error),
            }
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(config) }
}

fn monitor(token: &Token) -> Result<Monitor, Diagnostic> {
    match token.as_str() {
        "until-ready" => Ok(Monitor::UntilReady),
        "continuously" => Ok(Monitor::Continuously),
        other => {
            Err(Diagnostic::error(token.span, format!("monitor type `{other}` is not supported"))
                .label("expected `until-ready` or `continuously`")
                .help("write `monitor until-ready` or `monitor continuously`"))
        }
    }
}
