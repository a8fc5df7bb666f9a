//! The arguments of `root`.

use std::path::PathBuf;

use corefile::{Diagnostics, Directive, Span};

/// The path and its place; of several directives the last one counts.
pub(super) fn parse(uses: &[&Directive]) -> Result<Option<(PathBuf, Span)>, Diagnostics> {
    let mut found = None;
    let mut errors = Diagnostics::default();
    for directive in uses {
        let mut args = directive.args();
        let path = args.required("PATH");
        match path.and_then(|path| args.end().and_then(|()| directive.no_body()).map(|()| path)) {
            Ok(path) => found = Some((PathBuf::from(path.as_str()), path.span)),
            Err(error) => errors.push(error),
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(found) }
}
