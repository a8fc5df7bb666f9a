//! `debug` takes no arguments.

use corefile::{Diagnostics, Directive};

/// Checks that the directive has no arguments.
pub(super) fn parse(uses: &[&Directive]) -> Result<(), Diagnostics> {
    let mut errors = Diagnostics::default();
    for directive in uses {
        if let Err(error) = directive.args().end().and_then(|()| directive.no_body()) {
            errors.push(error);
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(()) }
}
