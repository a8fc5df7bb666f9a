//! Splits the entries of a master file into tokens, lazily.

use super::error::{Parse, fault, fault_help, quote};

const PLAIN: u8 = 0;
const BLANK: u8 = 1;
const NEWLINE: u8 = 2;
const QUOTE: u8 = 3;
const OPEN: u8 = 4;
const CLOSE: u8 = 5;
const COMMENT: u8 = 6;
const ESCAPE: u8 = 7;

static CLASS: [u8; 256] = {
    let mut class = [PLAIN; 256];
    class[b' ' as usize] = BLANK;
    class[b'\t' as usize] = BLANK;
    class[b'\r' as usize] = BLANK;
    class[b'\n' as usize] = NEWLINE;
    class[b'"' as usize] = QUOTE;
    class[b'(' as usize] = OPEN;
    class[b')' as usize] = CLOSE;
    class[b';' as usize] = COMMENT;
    class[b'\\' as usize] = ESCAPE;
    class
};

/// A word or a quoted string; escapes are still in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) raw: &'a [u8],
    /// Where it starts, its quote included.
    pub(super) at: usize,
    pub(super) quoted: bool,
    /// Whether there is a backslash in it.
    pub(super) escaped: bool,
}

pub(super) struct Lexer<'a> {
    text: &'a [u8],
    pub(super) at: usize,
    /// Whether the text ends where the file ends.
    complete: bool,
    depth: u32,
    opened: usize,
    /// Set when the end of an incomplete text was reached: nothing that was read counts.
    pub(super) starved: bool,
    /// Where the first quoted string that runs over the end of a line starts.
    pub(super) long_quote: Option<usize>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8], at: usize, complete: bool) -> Self {
        Self { text, at, complete, depth: 0, opened: 0, starved: false, long_quote: None }
    }

    pub(super) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Whether the entry starts with white space, so that it has no owner of its own.
    pub(super) fn starts_blank(&self) -> bool {
        matches!(self.text.get(self.at), Some(b' ' | b'\t'))
    }

    /// The next token; `None` at the end of the entry, whose newline is not consumed.
    #[inline]
    pub(super) fn next(&mut self) -> Parse<Option<Token<'a>>> {
        let mut at = self.at;
        while let Some(b' ' | b'\t') = self.text.get(at) {
            at += 1;
        }
        self.at = at;
        match self.text.get(at) {
            Some(&byte) if CLASS[usize::from(byte)] == PLAIN => Ok(Some(self.plain(false))),
            Some(b'\n') if self.depth == 0 => Ok(None),
            _ => self.next_slow(false),
        }
    }

    /// Like `next`, but a quoted string right after a `=` belongs to the word before it.
    pub(super) fn next_parameter(&mut self) -> Parse<Option<Token<'a>>> {
        self.next_slow(true)
    }

    fn next_slow(&mut self, parameter: bool) -> Parse<Option<Token<'a>>> {
        loop {
            let Some(&byte) = self.text.get(self.at) else {
                return self.run_out();
            };
            match CLASS[usize::from(byte)] {
                PLAIN | ESCAPE => return Ok(Some(self.plain(parameter))),
                QUOTE => return self.quoted(),
                BLANK => self.at += 1,
                NEWLINE if self.depth == 0 => return Ok(None),
                NEWLINE => self.at += 1,
                COMMENT => {
                    let rest = &self.text[self.at..];
                    self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                }
                OPEN => {
                    if self.depth == 0 {
                        self.opened = self.at;
                    }
                    self.depth += 1;
                    self.at += 1;
                }
                _ => {
                    self.at += 1;
                    match self.depth.checked_sub(1) {
                        Some(depth) => self.depth = depth,
                        None => return fault(self.at - 1, "`)` without a `(` before it"),
                    }
                }
            }
        }
    }

    #[cold]
    fn run_out(&mut self) -> Parse<Option<Token<'a>>> {
        if !self.complete {
            self.starved = true;
        } else if self.depth > 0 {
            self.depth = 0;
            return fault(self.opened, "`(` is never closed");
        }
        Ok(None)
    }

    #[inline]
    fn plain(&mut self, parameter: bool) -> Token<'a> {
        let start = self.at;
        let mut at = start;
        let mut escaped = false;
        loop {
            while let Some(&byte) = self.text.get(at) {
                if CLASS[usize::from(byte)] != PLAIN {
                    break;
                }
                at += 1;
            }
            match self.text.get(at) {
                Some(b'\\') => {
                    escaped = true;
                    // A line break cannot be escaped outside quotes: the lone backslash is found
                    // when the token is decoded.
                    at += match self.text.get(at + 1) {
                        None | Some(b'\n' | b'\r') => 1,
                        Some(_) => 2,
                    };
                }
                Some(b'"') if parameter && at > start && self.text[at - 1] == b'=' => {
                    let (end, inner) = self.closing_quote(at);
                    escaped |= inner;
                    at = end.map_or(self.text.len(), |end| end + 1);
                }
                None => {
                    self.starved |= !self.complete;
                    break;
                }
                Some(_) => break,
            }
        }
        self.at = at;
        Token { raw: &self.text[start..at], at: start, quoted: false, escaped }
    }

    /// Finds the quote that closes the one at `open`, and whether a backslash stands between.
    fn closing_quote(&mut self, open: usize) -> (Option<usize>, bool) {
        let mut at = open + 1;
        let mut escaped = false;
        let end = loop {
            let rest = self.text.get(at..).unwrap_or_default();
            match memchr::memchr2(b'"', b'\\', rest) {
                Some(skip) if rest[skip] == b'"' => break Some(at + skip),
                Some(skip) => {
                    escaped = true;
                    at += skip + 2;
                }
                None => break None,
            }
        };
        let inside = &self.text[open..end.unwrap_or(self.text.len())];
        if self.long_quote.is_none() && memchr::memchr(b'\n', inside).is_some() {
            self.long_quote = Some(open);
        }
        (end, escaped)
    }

    fn quoted(&mut self) -> Parse<Option<Token<'a>>> {
        let open = self.at;
        let (end, escaped) = self.closing_quote(open);
        let Some(end) = end else {
            self.at = self.text.len();
            if !self.complete {
                self.starved = true;
                return Ok(None);
            }
            return fault_help(
                open,
                "`\"` is never closed",
                "a `\"` within a quoted string is written `\\\"`",
            );
        };
        self.at = end + 1;
        Ok(Some(Token { raw: &self.text[open + 1..end], at: open, quoted: true, escaped }))
    }

    /// Checks that the entry ends here.
    #[inline]
    pub(super) fn end(&mut self) -> Parse<()> {
        match self.next()? {
            None => Ok(()),
            Some(token) => {
                fault(token.at, format!("`{}` is more than this record holds", quote(token.raw)))
            }
        }
    }

    /// Steps over what is left of the entry and its newline.
    pub(super) fn leave(&mut self) {
        // Every fault either consumed a byte or, at the end of the text, closed the parentheses.
        while !matches!(self.next(), Ok(None)) {}
        if self.at < self.text.len() {
            self.at += 1;
        } else {
            self.starved |= !self.complete;
        }
    }
}
