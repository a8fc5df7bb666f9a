//! The arguments of `prometheus`.

use chain::HttpAddress;
use corefile::{Diagnostic, Diagnostics, Directive};

/// Where metrics are served, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) address: HttpAddress,
    pub(super) runtime_metrics: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { address: HttpAddress::unwritten("localhost:9153"), runtime_metrics: false }
    }
}

/// The configuration of a block, which has the directive once.
pub(super) fn parse(uses: &[&Directive]) -> Result<Config, Diagnostics> {
    let mut config = Config::default();
    let mut errors = Diagnostics::default();
    for directive in uses {
        let mut args = directive.args();
        if let Some(token) = args.next() {
            match HttpAddress::read(token, "metrics", "prometheus localhost:9153") {
                Ok(address) => config.address = address,
                Err(error) => errors.push(error),
            }
        }
        if let Err(error) = args.end() {
            errors.push(error);
        }
        for option in directive.options() {
            match option.name.as_str() {
                "runtime_metrics" => {
                    config.runtime_metrics = true;
                    if let Err(error) = option.args().end().and_then(|()| option.no_body()) {
                        errors.push(error);
                    }
                }
                "tls" => errors.push(
                    Diagnostic::error(
                        option.name.span,
                        "this build does not support `tls` of `prometheus`",
                    )
                    .label("metrics are served in clear text only")
                    .help("serve on `localhost:9153` behind a proxy that terminates TLS"),
                ),
                _ => errors.push(directive.unknown_option(option, &["runtime_metrics", "tls"])),
            }
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(config) }
}
