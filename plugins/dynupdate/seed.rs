//! The master file that a zone begins with.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use corefile::{Diagnostic, Diagnostics, Place, Severity, Span};
use wire::Name;
use zone::master::{self, Includes, Options, Refusal, ZoneError};
use zone::{Builder, Zone};

/// Octets of the file, and of each that it includes, at most.
const MAX_FILE: u64 = 1 << 30;

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
    let shown = path.display().to_string();
    let cannot_open = |error: io::Error| {
        Diagnostics::from(
            Diagnostic::error(span, format!("cannot open `{shown}`: {error}"))
                .label(
                    "zone `{origin}` begins with this file"
                        .replace("{origin}", &origin.to_string()),
                )
                .help("check the path and `root`"),
        )
    };
    let includes = Beside(path.parent().unwrap_or_else(|| Path::new("")).to_owned());
    let options = Options { file: &shown, ..Options::new(origin) };
    let mut source = match files::open(path, MAX_FILE) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("`{shown}` does not exist");
            warnings.push(
                Diagnostic::warning(span, message)
                    .label(format!("zone `{origin}` answers SERVFAIL"))
                    .help("write the file, then reload the Corefile"),
            );
            return Ok(None);
        }
        Err(error) => return Err(cannot_open(error)),
    };
    let mut builder = Builder::new(origin, 0);
    let findings = master::read_through(&mut source, &options, &includes, &mut |record| {
        builder.add(record).map_err(Refusal::LeftOut)
    });
    let diagnostic = |error| diagnostic(error, origin, span);
    warnings.extend(
        findings
            .warnings
            .into_iter()
            .map(|found| Diagnostic { severity: Severity::Warning, ..diagnostic(found) }),
    );
    if !findings.errors.is_empty() {
        return Err(Diagnostics(findings.errors.into_iter().map(diagnostic).collect()));
    }
    builder.finish().map(Some).map_err(|unfit| {
        let again = files::open(path, MAX_FILE);
        match again {
            Ok(mut again) => {
                let places = zone::locate(&unfit, &mut again, &options, &includes);
                Diagnostics(places.into_iter().map(diagnostic).collect())
            }
            Err(error) => cannot_open(error),
        }
    })
}

fn diagnostic(mut error: ZoneError, origin: &Name, span: Span) -> Diagnostic {
    let mut shown = Diagnostic::error(span, error.message.clone())
        .label(format!("zone `{origin}` begins with this file"));
    if let Some(help) = &error.help {
        shown = shown.help(help.clone());
    }
    let related = std::mem::take(&mut error.related);
    std::iter::once(error).chain(related).map(place).fold(shown, Diagnostic::at)
}

fn place(error: ZoneError) -> Place {
    Place {
        file: error.file,
        line: error.line,
        column: error.column,
        length: error.length,
        text: error.excerpt,
        label: error.label,
    }
}

/// Opens included files, whose paths are relative to the directory of the file.
struct Beside(PathBuf);

impl Includes for Beside {
    fn open(&self, path: &str, _: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(files::open(&self.0.join(path), MAX_FILE)?))
    }

    fn name(&self, path: &str, _: &str) -> String {
        self.0.join(path).display().to_string()
    }
}
