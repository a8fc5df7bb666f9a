//! Errors that point at the character.

use std::borrow::Cow;
use std::fmt;

/// What is wrong with a master file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneError {
    /// The file, as it was named in the options or by `$INCLUDE`.
    pub file: String,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// The column in characters, from 1; 0 when the line as a whole is meant.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The source line, cut after 500 bytes.
    pub excerpt: String,
}

/// The longest source line that an error quotes in full.
pub(super) const MAX_EXCERPT: usize = 500;

impl ZoneError {
    pub(super) fn new(file: &str, line: u32, column: u32, message: &str, source: &str) -> Self {
        Self {
            file: file.into(),
            line,
            column,
            message: message.into(),
            help: None,
            excerpt: source.lines().next().unwrap_or_default().chars().take(MAX_EXCERPT).collect(),
        }
    }

    /// An error at byte `at` of `text`, which starts with line `line`.
    pub(super) fn locate(file: &str, text: &[u8], line: u32, at: usize, fault: Fault) -> Self {
        let at = at.min(text.len());
        let before = &text[..at];
        let start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |newline| at + newline);
        let mut source = &text[start..end];
        if let Some(stripped) = source.strip_suffix(b"\r") {
            source = stripped;
        }
        let newlines = memchr::memchr_iter(b'\n', &before[..start]).count();
        let column = String::from_utf8_lossy(&text[start..at]).chars().count() + 1;
        Self {
            file: file.into(),
            line: line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX)),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            message: fault.message.into(),
            help: fault.help,
            excerpt: String::from_utf8_lossy(&source[..source.len().min(MAX_EXCERPT)]).into_owned(),
        }
    }
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for ZoneError {}

/// What is wrong at one byte of the text that is being read.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: Cow<'static, str>,
    pub(super) help: Option<String>,
}

/// The result of reading a piece of text; the fault is boxed so that success stays small.
pub(super) type Parse<T> = Result<T, Box<Fault>>;

#[cold]
pub(super) fn fault<T>(at: usize, message: impl Into<Cow<'static, str>>) -> Parse<T> {
    Err(Box::new(Fault { at, message: message.into(), help: None }))
}

#[cold]
pub(super) fn fault_help<T>(
    at: usize,
    message: impl Into<Cow<'static, str>>,
    help: impl Into<String>,
) -> Parse<T> {
    Err(Box::new(Fault { at, message: message.into(), help: Some(help.into()) }))
}

/// User text for a message: readable, and not longer than a line.
#[cold]
pub(super) fn quote(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    // `escape_debug` doubles backslashes and escapes quotes, both common in master files.
    short.replace("\\\\", "\\").replace("\\\"", "\"").replace("\\'", "'")
}
