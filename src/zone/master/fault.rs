//! What is wrong at a byte of the text, before anybody knows its line.

use std::borrow::Cow;

/// What is wrong at one byte of the text that is being read.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: Cow<'static, str>,
    pub(super) help: Option<String>,
    pub(super) extent: Extent,
    /// How many more records of the same entry have it.
    pub(super) more: usize,
}

/// What of the text a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// The word at its place.
    Word,
    /// The record, which its receiver refused.
    Record,
    /// The record, which its receiver leaves out.
    LeftOut,
}

/// The result of reading a piece of text; the fault is boxed so that success stays small.
pub(super) type Parse<T> = Result<T, Box<Fault>>;

impl Fault {
    /// What is said at a word without refusing it.
    pub(super) fn warning(at: usize, message: String) -> Self {
        Self { at, message: message.into(), help: None, extent: Extent::Word, more: 0 }
    }
}

#[cold]
pub(super) fn fault<T>(at: usize, message: impl Into<Cow<'static, str>>) -> Parse<T> {
    Err(Box::new(Fault { at, message: message.into(), help: None, extent: Extent::Word, more: 0 }))
}

#[cold]
pub(super) fn fault_help<T>(
    at: usize,
    message: impl Into<Cow<'static, str>>,
    help: impl Into<String>,
) -> Parse<T> {
    let help = Some(help.into());
    Err(Box::new(Fault { at, message: message.into(), help, extent: Extent::Word, more: 0 }))
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
