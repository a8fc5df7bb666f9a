//! An expression that is the arguments of a directive, and the place of its mistakes in the Corefile.

use corefile::{Diagnostic, Span, Token};

use crate::{Error, Expr, Scope};

/// Reads the expression that `args` are, joined by blanks as CoreDNS joins them.
///
/// # Errors
/// The mistake, at its place in the Corefile.
pub fn from_args(args: &[Token], scope: &Scope) -> Result<Expr, Diagnostic> {
    let words: Vec<&str> = args.iter().map(Token::as_str).collect();
    let text = words.join(" ");
    Expr::parse(&text, scope).map_err(|error| {
        let mut problem = Diagnostic::error(place(args, &error), error.message.clone());
        if args.iter().any(|arg| arg.quoted) {
            problem = problem.label(excerpt(&text, &error));
        }
        problem.help(error.help.unwrap_or_else(|| {
            "see https://expr-lang.org/docs/language-definition for the language".to_owned()
        }))
    })
}

/// Where in the Corefile the mistake is: in the word, if the word is written as it is.
fn place(args: &[Token], error: &Error) -> Span {
    let mut start = 0;
    for arg in args {
        let end = start + arg.text.len();
        if error.offset <= end {
            let span = arg.span;
            let written = (span.end - span.start) as usize;
            // A quoted word without escapes is two quotes longer than its text.
            let lead = match written.checked_sub(arg.text.len()) {
                Some(0) if !arg.quoted => 0,
                Some(2) if arg.quoted => 1,
                _ => return span,
            };
            let from = (error.offset.max(start) - start + lead) as u32;
            let len = error.len.min(end - error.offset.max(start)).max(1) as u32;
            let from = span.start + from.min((written as u32).saturating_sub(1));
            return Span { start: from, end: (from + len).min(span.end), ..span };
        }
        start = end + 1;
    }
    args.last().map_or_else(Span::default, |last| last.span)
}

/// The part of the text that the mistake is about.
fn excerpt(text: &str, error: &Error) -> String {
    let end = (error.offset + error.len).min(text.len());
    match text.get(error.offset..end) {
        Some(part) if !part.is_empty() => format!("at `{part}`"),
        _ => "at the end".to_owned(),
    }
}
