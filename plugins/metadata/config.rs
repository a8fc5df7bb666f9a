//! The arguments of `metadata`.

use chain::ZoneSet;
use corefile::{Diagnostics, Directive};
use wire::Name;

/// The zones that metadata is collected for.
pub(super) fn parse(uses: &[&Directive], default: &[Name]) -> Result<ZoneSet, Diagnostics> {
    let mut zones = ZoneSet::default();
    let mut errors = Diagnostics::default();
    for directive in uses {
        match ZoneSet::from_args(directive.args().remaining(), default) {
            Ok(found) => zones = found,
            Err(error) => errors.push(error),
        }
        if let Err(error) = directive.no_body() {
            errors.push(error);
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(zones) }
}
