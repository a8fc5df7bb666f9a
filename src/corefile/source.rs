//! Places in files, and what is shown of them.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

/// What takes the place of a secret in a message.
pub(crate) const HIDDEN: &str = "(hidden)";
/// Texts of so many octets are hidden wherever they are in a message; shorter ones only in quotes.
const LONG: usize = 8;

/// Which of the files that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct FileId(pub(crate) u32);

/// A stretch of a file: byte offsets of the text the user must edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// From the start of this to the end of `last`, if both are in one file.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        if self.file == last.file && last.end >= self.start {
            Self { end: last.end, ..self }
        } else {
            self
        }
    }
}

/// Every file that was read, imported ones included.
#[derive(Clone, Default)]
pub struct Sources {
    files: Vec<(String, String)>,
    /// Places of secrets.
    hidden: BTreeSet<Span>,
    /// Their texts, the longest first: one may be a part of another.
    secrets: BTreeSet<(Reverse<usize>, String)>,
    /// What words with variables became, and of how many words that is, in the order in which they
    /// were read.
    expanded: Vec<(Span, String, usize)>,
}

impl Sources {
    pub(crate) fn add(&mut self, name: String, text: String) -> FileId {
        self.files.push((name, text));
        FileId(self.files.len() as u32 - 1)
    }

    /// Keeps what the word at `span` became when its variables were put in: so many words.
    pub(crate) fn expand(&mut self, span: Span, text: &str, words: usize) {
        if self.expanded.iter().all(|(known, ..)| *known != span) {
            self.expanded.push((span, text.to_owned(), words));
        }
    }

    /// Notes that the word at `span` is a secret: `text`.
    pub(crate) fn hide(&mut self, span: Span, text: &str) {
        self.hidden.insert(span);
        self.hide_text(text);
    }

    /// Notes that a text is a secret, wherever it stands. Braces that have become part of it do not count.
    pub(crate) fn hide_text(&mut self, text: &str) {
        let lines = text.lines().map(|line| line.trim().trim_matches(['{', '}']));
        let secrets = lines.filter(|line| !line.is_empty());
        self.secrets.extend(secrets.map(|line| (Reverse(line.len()), line.to_owned())));
    }

    /// Whether the word at `span` is a secret.
    pub(crate) fn is_hidden(&self, span: Span) -> bool {
        self.hidden.contains(&span)
    }

    /// The text of each file, with stars for its secrets.
    pub(crate) fn shown(&self) -> Vec<Cow<'_, str>> {
        let mut texts: Vec<Cow<'_, str>> =
            self.files.iter().map(|(_, text)| Cow::Borrowed(text.as_str())).collect();
        for span in &self.hidden {
            let Some(text) = texts.get_mut(span.file.0 as usize) else { continue };
            let range = span.start as usize..span.end as usize;
            let Some(secret) = text.get(range.clone()) else { continue };
            // Stars for octets: all places behind them stay as they are.
            let stars: String =
                secret.bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect();
            text.to_mut().replace_range(range, &stars);
        }
        texts
    }

    /// A message without the secrets.
    pub(crate) fn redact<'a>(&self, message: &'a str) -> Cow<'a, str> {
        let mut message = Cow::Borrowed(message);
        for (_, secret) in &self.secrets {
            if message.contains(secret.as_str()) {
                message = Cow::Owned(without(&message, secret));
            }
        }
        message
    }

    /// The words within `span` that have variables: where they are, what they became, and of how
    /// many words that is.
    pub(crate) fn expanded(&self, span: Span) -> impl Iterator<Item = (Span, &str, usize)> {
        let inside = move |word: &Span| {
            word.file == span.file && word.start >= span.start && word.end <= span.end
        };
        let words = self.expanded.iter().filter(move |(word, ..)| inside(word));
        words.map(|(word, became, words)| (*word, became.as_str(), *words))
    }

    /// What is written at a place.
    pub(crate) fn written(&self, span: Span) -> &str {
        self.text(span.file).get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The name a file was read by.
    pub fn name(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", |(name, _)| name)
    }

    /// A file's text.
    pub fn text(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", |(_, text)| text)
    }

    /// The names of all files, in the order they were read.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(name, _)| name.as_str())
    }

    /// Line and column of the start of a span, both from 1; the column counts characters.
    pub fn line_col(&self, span: Span) -> (usize, usize) {
        self.position(span.file, span.start)
    }

    pub(crate) fn position(&self, file: FileId, offset: u32) -> (usize, usize) {
        let text = self.text(file);
        let mut at = (offset as usize).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

/// Only the names of the files: their texts may have secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files()).finish()
    }
}

/// The message without a secret.
fn without(message: &str, secret: &str) -> String {
    let mut shown = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(secret) {
        let (before, after) = (&rest[..at], &rest[at + secret.len()..]);
        let quote = before.chars().next_back().filter(|letter| "`'\"".contains(*letter));
        let is_quoted = quote.is_some() && after.chars().next() == quote;
        shown.push_str(before);
        shown.push_str(if secret.len() < LONG && !is_quoted { secret } else { HIDDEN });
        rest = after;
    }
    shown + rest
}
