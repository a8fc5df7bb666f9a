//! Errors of an expression or its values, and their place in the text.

use std::fmt;

use corefile::{Diagnostic, Span, Token};

use crate::{Expr, Scope};

/// A mistake at a place of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where it starts, in bytes.
    pub offset: usize,
    /// How many bytes it is about.
    pub len: usize,
    /// What is wrong.
    pub message: String,
    /// What to do, if there is something to say.
    pub help: Option<String>,
}

impl Error {
    pub(crate) fn at(spot: Spot, message: impl Into<String>) -> Self {
        Self {
            offset: spot.at as usize,
            len: spot.len as usize,
            message: message.into(),
            help: None,
        }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.message, self.offset)
    }
}

impl std::error::Error for Error {}

/// A part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

impl Spot {
    /// From `start` to `end`, at least one byte. Texts are short enough for these numbers.
    pub(crate) fn between(start: usize, end: usize) -> Self {
        Self { at: start as u32, len: end.saturating_sub(start).max(1) as u32 }
    }
}

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
