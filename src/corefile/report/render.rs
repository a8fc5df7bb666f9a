//! Diagnostics for people, as rustc prints them, and for programs.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use crate::{Diagnostic, Diagnostics, Location, Place, Severity, Sources, Span};

/// Most characters of a variable's value that are shown.
const MAX_VALUE: usize = 200;

/// All findings as text: `file:line:column`, the line, a caret and what to do.
pub fn render(findings: &Diagnostics, sources: &Sources) -> String {
    let mut out = String::new();
    let texts = sources.shown();
    for finding in findings.in_order() {
        out.push_str(&render_one(&finding.without_secrets(sources), sources, &texts));
        out.push('\n');
    }
    out
}

fn render_one(finding: &Diagnostic, sources: &Sources, texts: &[Cow<'_, str>]) -> String {
    let text_of = |span: Span| texts.get(span.file.0 as usize).map_or("", |text| text);
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(one_line(&finding.message));
    let mut group = Group::with_title(title);
    let mut kind = AnnotationKind::Primary;
    for place in &finding.places {
        group = show_place(group, place, kind);
        kind = AnnotationKind::Context;
    }
    let has_text = |span: &Span| !sources.text(span.file).is_empty();
    let mark = |kind, span: Span, label| annotation(kind, range(span, sources), label);
    let mut related: Vec<&(Span, String)> =
        finding.related.iter().filter(|(span, _)| has_text(span)).collect();
    if let Some(span) = finding.span.filter(has_text) {
        let mut snippet = Snippet::source(text_of(span))
            .path(sources.name(span.file))
            .annotation(mark(kind, span, &finding.label));
        // One excerpt shows all places in the same file.
        for (place, label) in related.extract_if(.., |(place, _)| place.file == span.file) {
            snippet = snippet.annotation(mark(AnnotationKind::Context, *place, label));
        }
        group = group.element(snippet);
    }
    for (place, label) in related {
        let snippet = Snippet::source(text_of(*place)).path(sources.name(place.file));
        group = group.element(snippet.annotation(mark(AnnotationKind::Context, *place, label)));
    }
    for note in notes(finding, sources) {
        group = group.element(Level::NOTE.message(one_line(&note)));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(one_line(help)));
    }
    Renderer::plain().render(&[group]) + "\n"
}

/// The bytes of a place in a Corefile; a caret needs at least one.
fn range(span: Span, sources: &Sources) -> Range<usize> {
    let text = sources.text(span.file);
    let start = boundary(text, span.start as usize);
    start..boundary(text, (span.end as usize).max(start + 1)).max(start)
}

/// Adds a place in a file that the Corefile names: with its line, if that is known.
fn show_place<'a>(group: Group<'a>, place: &'a Place, kind: AnnotationKind) -> Group<'a> {
    let file = one_line(&place.file);
    if place.line == 0 {
        return group.element(Origin::path(file));
    }
    let line = place.line as usize;
    let column = (place.column as usize).max(1);
    let shown = place.text.chars().count();
    if place.text.is_empty() || column > shown + 1 {
        return group.element(Origin::path(file).line(line).char_column(column));
    }
    let start = character(&place.text, column - 1);
    // A caret needs something to point at, also at the end of the line.
    let length = if place.column == 0 { shown } else { place.length as usize };
    let end = character(&place.text, column - 1 + length.max(1));
    let annotation = annotation(kind, start..end, &place.label);
    let snippet = Snippet::source(&place.text).line_start(line).path(file).annotation(annotation);
    group.element(snippet)
}

fn annotation(kind: AnnotationKind, range: Range<usize>, label: &str) -> Annotation<'_> {
    let annotation = kind.span(range);
    if label.is_empty() { annotation } else { annotation.label(one_line(label)) }
}

/// Where the character with this number, from 0, starts.
fn character(text: &str, number: usize) -> usize {
    text.char_indices().nth(number).map_or(text.len(), |(at, _)| at)
}

/// The finding's notes, and what the variables at its place stand for: who reads the line does not
/// see it.
fn notes(finding: &Diagnostic, sources: &Sources) -> Vec<String> {
    let mut notes = finding.notes.clone();
    if let Some(span) = finding.span {
        notes.extend(sources.expanded(span).map(|(place, became, words)| {
            let written = sources.written(place);
            if became.is_empty() {
                return format!("`{written}` is empty here");
            }
            if sources.is_hidden(place) {
                return format!("`{written}` may be a secret, so that it is not shown");
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

/// All findings as one JSON array. The members of the place are those of the mistake itself, be it
/// in a Corefile or in a file that one names; `related` has the other places.
pub fn render_json(findings: &Diagnostics, sources: &Sources) -> String {
    let all: Vec<Value> = findings
        .in_order()
        .into_iter()
        .map(|finding| {
            let finding = &finding.without_secrets(sources);
            let locations = finding.locations(sources);
            let (first, related) = match locations.split_first() {
                Some((first, related)) => (Some(first), related),
                None => (None, &[][..]),
            };
            json!({
                "severity": finding.severity.word(),
                "message": finding.message,
                "file": first.map(|place| place.file),
                "line": first.and_then(|place| place.line),
                "column": first.and_then(|place| place.column),
                "end_line": first.and_then(|place| place.end_line),
                "end_column": first.and_then(|place| place.end_column),
                "label": first.map_or(&*finding.label, |place| place.label),
                "related": related.iter().map(related_place).collect::<Vec<_>>(),
                "help": finding.help,
                "notes": notes(finding, sources),
            })
        })
        .collect();
    serde_json::to_string_pretty(&all).unwrap_or_default()
}

fn related_place(place: &Location<'_>) -> Value {
    json!({
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "end_line": place.end_line,
        "end_column": place.end_column,
        "label": place.label,
    })
}
