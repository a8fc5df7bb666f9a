//! `catena zone check`: finds mistakes in a master file.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use corefile::{Diagnostic, Diagnostics, Place, Severity, Sources, counted};
use zone::check::{Check, CheckOptions, Finding, Level, Report};
use zone::digest::Verdict;
use zone::master::{Options, ZoneError};

use super::json;
use super::progress::Progress;
use super::source::Text;
use crate::cli::args::ZoneCheck;
use crate::cli::output;

/// Checks a file and prints what was found.
///
/// # Errors
/// A file cannot be read as a zone: the message.
pub(super) fn check(options: &ZoneCheck) -> Result<ExitCode, String> {
    let progress = Progress::new();
    let text = Text::of(&options.source, &progress)?;
    let origin = text.origin(options.origin.as_ref())?;
    let read = Options { file: text.shown(), ..Options::new(&origin) };
    let checked = zone::check::check(
        &mut || text.open(),
        &CheckOptions { read, rules: &options.rules, now: now() },
        text.includes(),
    );
    progress.end();
    let (report, _) = checked.map_err(|error| text.cannot_open(&error))?;
    let code = if report.errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    let out = match options.json {
        true => format!("{:#}\n", json::report(text.shown(), &report)),
        false => shown(text.shown(), &report),
    };
    Ok(output::print(&out, code))
}

/// Seconds since 1970, modulo 2^32 as signatures have them.
#[expect(clippy::disallowed_methods, reason = "signatures are valid in real time")]
fn now() -> Option<u32> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs() as u32)
}

/// The findings as `catena check` shows them, and a line about the zone.
fn shown(file: &str, report: &Report) -> String {
    let mut diagnostics = Diagnostics::default();
    diagnostics.extend(report.findings.iter().map(diagnostic));
    let mut out = corefile::render(&diagnostics, &Sources::default());
    for (check, count) in &report.unshown {
        let more = counted(*count as u64, "more finding", "more findings");
        out.push_str(&format!("{}: {more}; `--limit` shows them\n", check.name()));
    }
    let serial = report.serial.map_or_else(String::new, |serial| format!(" with serial {serial}"));
    let records = counted(report.records as u64, "record", "records");
    let names = counted(report.names as u64, "name", "names");
    let errors = counted(report.errors as u64, "error", "errors");
    let warnings = counted(report.warnings as u64, "warning", "warnings");
    let digest = match &report.digest {
        Verdict::Verified(algorithm) => format!(", {} digest verified", algorithm.name()),
        Verdict::Absent | Verdict::Failed(_) => String::new(),
    };
    let zone = &report.apex;
    out.push_str(&format!(
        "{file}: zone {zone}{serial}: {records}, {names}{digest}: {errors}, {warnings}\n"
    ));
    out
}

fn diagnostic(finding: &Finding) -> Diagnostic {
    let at = &finding.at;
    let severity = match finding.level {
        Level::Error => Severity::Error,
        Level::Warning | Level::Off => Severity::Warning,
    };
    let message = format!("{} [{}]", at.message, finding.check.name());
    let shown = Diagnostic { severity, ..Diagnostic::general(message) };
    let shown = match &at.help {
        Some(help) => shown.help(help.clone()),
        None => shown,
    };
    std::iter::once(at).chain(&at.related).map(place).fold(shown, Diagnostic::at)
}

/// The place of a finding for the renderer.
pub(super) fn place(at: &ZoneError) -> Place {
    Place {
        file: at.file.clone(),
        line: at.line,
        column: at.column,
        length: at.length,
        text: at.excerpt.clone(),
        label: at.label.clone(),
    }
}

/// Lists the checks: name, what it is by default, what it finds.
pub(super) fn list() -> ExitCode {
    let width = Check::ALL.iter().map(|check| check.name().len()).max().unwrap_or(0);
    let mut out = String::new();
    for check in Check::ALL {
        let level = match check.default_level() {
            Level::Off => "off",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        out.push_str(&format!("{:width$}  {level:7}  {}\n", check.name(), check.about()));
    }
    output::print(&out, ExitCode::SUCCESS)
}
