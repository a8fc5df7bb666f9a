//! Diagnostics for people, as rustc prints them, and for programs.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde_json::json;

use crate::{Diagnostic, Diagnostics, Severity, Sources};

/// Most characters of a variable's value that are shown.
const MAX_VALUE: usize = 200;

/// All findings as text: `file:line:column`, the line, a caret and what to do.
pub fn render(findings: &Diagnostics, sources: &Sources) -> String {
    let mut out = String::new();
    for finding in findings.in_order() {
        out.push_str(&render_one(finding, sources));
        out.push('\n');
    }
    out
}

fn render_one(finding: &Diagnostic, sources: &Sources) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(one_line(&finding.message));
    let mut group = match finding.span.filter(|span| !sources.text(span.file).is_empty()) {
        Some(span) => {
            let text = sources.text(span.file);
            let start = boundary(text, span.start as usize);
            // A caret needs something to point at, also at the end of the file.
            let end = boundary(text, (span.end as usize).max(start + 1));
            let mut annotation = AnnotationKind::Primary.span(start..end.max(start));
            if !finding.label.is_empty() {
                annotation = annotation.label(one_line(&finding.label));
            }
            let snippet =
                Snippet::source(text).path(sources.name(span.file)).annotation(annotation);
            title.element(snippet)
        }
        None => annotate_snippets::Group::with_title(title),
    };
    for note in notes(finding, sources) {
        group = group.element(Level::NOTE.message(one_line(&note)));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(one_line(help)));
    }
    Renderer::plain().render(&[group]) + "\n"
}

/// The finding's notes, and what the variables at its place stand for: who reads the line does not
/// see it.
fn notes(finding: &Diagnostic, sources: &Sources) -> Vec<String> {
    let mut notes = finding.notes.clone();
    if let Some(span) = finding.span {
        notes.extend(sources.expanded(span).map(|(written, became, words)| {
            if became.is_empty() {
                return format!("`{written}` is empty here");
            }
            let value: String = became.chars().take(MAX_VALUE).collect();
            let more = if value.len() < became.len() { "…" } else { "" };
            let words = match words {
                0 | 1 => String::new(),
                _ => format!(", {words} words; in quotes it is one"),
            };
            format!("`{written}` is `{value}{more}` here{words}")
        }));
    }
    notes
}

/// Control characters in user text must not reach a terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// All findings as one JSON array.
pub fn render_json(findings: &Diagnostics, sources: &Sources) -> String {
    let all: Vec<serde_json::Value> = findings
        .in_order()
        .into_iter()
        .map(|finding| {
            let place = finding.span.map(|span| {
                let start = sources.position(span.file, span.start);
                let end = sources.position(span.file, span.end);
                (sources.name(span.file), start, end)
            });
            json!({
                "severity": finding.severity.word(),
                "message": finding.message,
                "file": place.map(|(file, ..)| file),
                "line": place.map(|(_, (line, _), _)| line),
                "column": place.map(|(_, (_, column), _)| column),
                "end_line": place.map(|(.., (line, _))| line),
                "end_column": place.map(|(.., (_, column))| column),
                "label": finding.label,
                "help": finding.help,
                "notes": notes(finding, sources),
            })
        })
        .collect();
    serde_json::to_string_pretty(&all).unwrap_or_default()
}
