//! Reports mistakes of zone files: as diagnostics, as log lines, and to clients.

use std::path::Path;

use corefile::{Diagnostic, Place, Severity, Span};
use wire::Name;
use wire::edns::ede;
use zone::master::ZoneError;

use crate::load::{self, Problem, Warnings};
use crate::notice::Notice;

/// The diagnostic of a mistake, at its place in the file. `span` is the directive.
fn diagnostic(mut error: ZoneError, origin: &Name, span: Span) -> Diagnostic {
    let mut shown = Diagnostic::error(span, error.message.clone())
        .label(format!("zone `{origin}` is read from this file"));
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

/// The mistakes of a file.
pub fn mistakes(
    errors: Vec<ZoneError>,
    origin: &Name,
    span: Span,
) -> impl ExactSizeIterator<Item = Diagnostic> {
    errors.into_iter().map(move |error| diagnostic(error, origin, span))
}

/// The mistakes that prevent the configuration from being served.
pub fn errors(
    errors: Vec<ZoneError>,
    origin: &Name,
    span: Span,
) -> impl Iterator<Item = Diagnostic> {
    let effect = "nothing is served as long as this file has mistakes, other zones included; with \
                  `on_error skip` only its own zone is not";
    with_last_note(mistakes(errors, origin, span), effect.to_owned())
}

/// The same if the zone is skipped. `serves` tells whether the earlier version keeps serving.
pub fn skipped(
    errors: Vec<ZoneError>,
    origin: &Name,
    span: Span,
    serves: bool,
) -> impl Iterator<Item = Diagnostic> {
    let effect = match serves {
        true => format!("the version of zone `{origin}` that was loaded before answers"),
        false => format!("zone `{origin}` answers SERVFAIL as long as its file has mistakes"),
    };
    let all = mistakes(errors, origin, span)
        .map(|mistake| Diagnostic { severity: Severity::Warning, ..mistake });
    with_last_note(all, effect)
}

/// Adds the consequence of all diagnostics to the last one.
fn with_last_note(
    all: impl ExactSizeIterator<Item = Diagnostic>,
    note: String,
) -> impl Iterator<Item = Diagnostic> {
    let last = all.len();
    let mut note = Some(note);
    all.enumerate().map(move |(at, one)| match note.take_if(|_| at + 1 == last) {
        Some(note) => one.note(note),
        None => one,
    })
}

/// The warnings about records that are skipped, or served in another form than they are written in.
pub fn warnings(found: Warnings, origin: &Name, span: Span) -> impl Iterator<Item = Diagnostic> {
    let (count, shown) = (found.count, found.shown.len());
    found.shown.into_iter().enumerate().map(move |(at, error)| {
        let warning = Diagnostic { severity: Severity::Warning, ..diagnostic(error, origin, span) };
        match at + 1 == shown && count > shown {
            true => warning.note(more(count - shown)),
            false => warning,
        }
    })
}

/// The warning about the serial of a new version.
pub fn notice(found: Notice, origin: &Name, span: Span) -> Diagnostic {
    let (message, remedy) = found.text(origin);
    Diagnostic::warning(span, message)
        .label(format!("zone `{origin}` is read from this file"))
        .help(remedy)
}

/// A new version of a zone.
#[derive(Debug)]
pub struct Fresh {
    /// Its serial.
    pub serial: u32,
    /// The records that are skipped, or served in another form than they are written in.
    pub warnings: Warnings,
    /// What is odd about its serial.
    pub notice: Option<Notice>,
}

/// Logs that a new version serves, and the warnings about it.
pub(crate) fn log_fresh(fresh: &Fresh, origin: &Name, path: &Path) {
    let (zone, shown) = (origin.to_string(), path.display().to_string());
    let serial = fresh.serial;
    telemetry::info!(
        "plugin/file: Successfully reloaded zone {zone:?} in {shown:?} with {serial} SOA serial"
    );
    if let Some(notice) = fresh.notice {
        log_notice(notice, origin, path);
    }
    log_warnings(&fresh.warnings);
}

/// Logs a warning about the serial of a version of the file.
pub(crate) fn log_notice(found: Notice, origin: &Name, path: &Path) {
    let (message, remedy) = found.text(origin);
    telemetry::warning!("plugin/file: {message}: {}: {remedy}", path.display());
}

/// Logs why a new version was not loaded.
pub(crate) fn log(problem: &Problem, origin: &Name, path: &Path) {
    let zone = origin.to_string();
    match problem {
        Problem::Open(error) => {
            let (path, why) = (path.display().to_string(), load::io_error_text(error));
            telemetry::error!("plugin/file: Failed to open zone {zone:?} in {path:?}: {why}");
        }
        Problem::Text(errors) => {
            for error in errors {
                telemetry::error!("plugin/file: Parsing zone {zone:?}: {error}");
            }
        }
    }
}

/// Logs the warnings about a new version.
pub fn log_warnings(found: &Warnings) {
    for error in &found.shown {
        telemetry::warning!("plugin/file: {error}: {}", error.label);
    }
    let unshown = found.count - found.shown.len();
    if unshown > 0 {
        telemetry::warning!("plugin/file: {}", more(unshown));
    }
}

/// The number of warnings that are not shown.
fn more(count: usize) -> String {
    let warnings = corefile::counted(count as u64, "more warning", "more warnings");
    format!("{warnings} about this file")
}

/// The problem in a few words, for the operator.
pub(crate) fn summary(problem: &Problem, path: &Path) -> String {
    match problem {
        Problem::Open(error) => {
            format!("cannot open `{}`: {}", path.display(), load::io_error_text(error))
        }
        Problem::Text(errors) => match errors.as_slice() {
            [] => format!("`{}` has mistakes", path.display()),
            [only] => only.to_string(),
            [first, others @ ..] => {
                let others =
                    corefile::counted(others.len() as u64, "more mistake", "more mistakes");
                format!("{first}; {others}")
            }
        },
    }
}

/// The extended error for queries of a zone that is not loaded (RFC 8914): code and text. It contains
/// neither a path nor a part of the file, which may be a wrong file.
pub(crate) fn extended(problem: &Problem) -> (u16, String) {
    match problem {
        Problem::Open(_) => (ede::NOT_READY, "the zone is not loaded".to_owned()),
        Problem::Text(errors) => {
            let place = match errors.first() {
                Some(error) if error.line > 0 => format!(" in line {}", error.line),
                _ => String::new(),
            };
            (ede::INVALID_DATA, format!("the zone is not loaded: its file has a mistake{place}"))
        }
    }
}
