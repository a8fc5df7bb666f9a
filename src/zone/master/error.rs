//! Errors that point at the character.

use std::fmt;

use super::fault::{Extent, Fault};
use super::lexer;

/// What is wrong with a master file, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneError {
    /// The file, as it was named in the options or by [`super::Includes::name`].
    pub file: String,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// The column in characters, from 1; 0 when the line as a whole is meant.
    pub column: u32,
    /// How many characters from the column on are meant: those of the word, or of the record on its
    /// first line.
    pub length: u32,
    /// What is wrong.
    pub message: String,
    /// What is wrong with this place in particular; empty if the message says it.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The source line; a long one is cut some way behind the column.
    pub excerpt: String,
    /// The name of the check that found it: `long-string` or `include-outside`; empty for the others.
    pub check: &'static str,
    /// Other records that have a part in it; each says in its label which.
    pub related: Vec<Self>,
}

/// The longest source line that an error quotes in full.
const MAX_EXCERPT: usize = 500;
/// What is quoted behind the column where the line is longer than that.
const BEHIND: usize = 100;
/// Bytes of a line that are quoted at most; an error behind them has its column only.
const MOST_EXCERPT: usize = 1 << 16;

impl ZoneError {
    pub(super) fn new(file: &str, line: u32, column: u32, message: &str, source: &str) -> Self {
        Self {
            file: file.into(),
            line,
            column,
            message: message.into(),
            excerpt: source.lines().next().unwrap_or_default().chars().take(MAX_EXCERPT).collect(),
            ..Self::default()
        }
    }

    /// An error at byte `at` of `text`, which starts with line `line`.
    pub(super) fn locate(file: &str, text: &[u8], line: u32, at: usize, fault: Fault) -> Self {
        let whole = fault.extent != Extent::Word;
        let at = if whole { first_word(text) } else { at.min(text.len()) };
        let before = &text[..at];
        let start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |newline| at + newline);
        let mut source = &text[start..end];
        if let Some(stripped) = source.strip_suffix(b"\r") {
            source = stripped;
        }
        let newlines = memchr::memchr_iter(b'\n', &before[..start]).count();
        let meant = if whole { lexer::record_end(text, at) } else { lexer::word_end(text, at) };
        let meant = &text[at..meant.clamp(at, end)];
        let characters = |bytes: &[u8]| {
            u32::try_from(String::from_utf8_lossy(bytes).chars().count()).unwrap_or(u32::MAX)
        };
        let shown = MAX_EXCERPT.max(at - start + BEHIND).min(MOST_EXCERPT).min(source.len());
        Self {
            file: file.into(),
            line: line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX)),
            column: characters(&text[start..at]).saturating_add(1),
            length: characters(meant).max(1),
            message: fault.message.into(),
            help: fault.help,
            excerpt: String::from_utf8_lossy(&source[..shown]).into_owned(),
            ..Self::default()
        }
    }
}

/// Where the entry's first word starts.
fn first_word(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(text.len())
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}: {}", self.file, self.message),
            (line, 0) => write!(f, "{}:{line}: {}", self.file, self.message),
            (line, column) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ZoneError {}
