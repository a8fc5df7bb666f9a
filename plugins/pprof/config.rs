//! The arguments of `pprof`.

use chain::HttpAddress;
use corefile::{Diagnostic, Diagnostics, Directive};

/// Where profiles are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) address: HttpAddress,
    /// Warnings about `block`, which has no effect here.
    pub(super) warnings: Vec<Diagnostic>,
}

/// The configuration of a block, which has the directive once.
pub(super) fn parse(uses: &[&Directive]) -> Result<Config, Diagnostics> {
    let mut config =
        Config { address: HttpAddress::unwritten("localhost:6053"), warnings: Vec::new() };
    let mut errors = Diagnostics::default();
    for directive in uses {
        let mut args = directive.args();
        if let Some(token) = args.next() {
            match HttpAddress::read(token, "profiles", "pprof localhost:6053") {
                Ok(address) => config.address = address,
                Err(error) => errors.push(error),
            }
        }
        if let Err(error) = args.end() {
            errors.push(error);
        }
        for option in directive.options() {
            if option.name.as_str() != "block" {
                errors.push(directive.unknown_option(option, &["block"]));
                continue;
            }
            let mut args = option.args();
            let rate = args.optional::<i64>("RATE").map(|_| ());
            match rate.and_then(|()| args.end()).and_then(|()| option.no_body()) {
                Err(error) => errors.push(error),
                Ok(()) => config.warnings.push(
                    Diagnostic::warning(option.name.span, "`block` has no effect here")
                        .label("only Go's runtime records where goroutines block")
                        .help("remove it; `perf sched` and `offcputime` show where threads wait"),
                ),
            }
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(config) }
}
