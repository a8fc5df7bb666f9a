//! The master file that a zone begins with.

use std::io;
use std::path::Path;

use corefile::{Diagnostic, Diagnostics, Span};
use wire::Name;
use zone::Zone;
use zonefiles::{Failed, Problem};

/// Reads the file; `None` if it is missing. Adds its warnings to `warnings`.
///
/// # Errors
/// Its mistakes.
pub(super) fn read(
    path: &Path,
    origin: &Name,
    span: Span,
    warnings: &mut Diagnostics,
) -> Result<Option<Zone>, Diagnostics> {
    match zonefiles::load(path, origin) {
        Ok(loaded) => {
            warnings.extend(zonefiles::warnings(loaded.warnings, origin, span));
            Ok(Some(loaded.zone))
        }
        Err(Failed { problem: Problem::Text(errors), .. }) => {
            Err(Diagnostics(zonefiles::mistakes(errors, origin, span).collect()))
        }
        Err(Failed { problem: Problem::Open(error), .. }) => {
            let shown = path.display();
            if error.kind() == io::ErrorKind::NotFound {
                warnings.push(
                    Diagnostic::warning(span, format!("`{shown}` does not exist"))
                        .label(format!("zone `{origin}` answers SERVFAIL"))
                        .help("write the file, then reload the Corefile"),
                );
                return Ok(None);
            }
            let why = zonefiles::io_error_text(&error);
            let mistake = Diagnostic::error(span, format!("cannot open `{shown}`: {why}"))
                .label(format!("zone `{origin}` begins with this file"))
                .help("check the path and `root`");
            Err(mistake.into())
        }
    }
}
