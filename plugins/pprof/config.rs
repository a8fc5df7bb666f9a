//! The arguments of `pprof`.

use chain::Setup;
use corefile::{Diagnostic, Diagnostics, Directive, Span};

/// Where profiles are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) address: String,
    pub(super) span: Option<Span>,
    /// Warnings about `block`, which has no effect here.
    pub(super) warnings: Vec<Diagnostic>,
}

/// The configuration of a block, which has the directive once.
pub(super) fn parse(uses: &[&Directive]) -> Result<Config, Diagnostics> {
    let mut config = Config { address: "localhost:6053".into(), span: None, warnings: Vec::new() };
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
                        format!("`{}` is not an address to serve profiles on", token.as_str()),
                    )
                    .label(problem)
                    .help("write an address and a port, as in `pprof localhost:6053`"),
                ),
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
