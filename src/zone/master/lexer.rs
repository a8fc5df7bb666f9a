//! Splits the entries of a master file into tokens, lazily.

use super::fault::{Parse, fault, fault_help, quote};

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

/// End of the run of plain bytes from `at` on.
#[inline(always)]
fn plain_end(text: &[u8], mut at: usize) -> usize {
    while let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = special(u64::from_le_bytes(*word));
        if found == 0 {
            at += 8;
            continue;
        }
        at += (found.trailing_zeros() / 8) as usize;
        if CLASS[usize::from(text[at])] != PLAIN {
            return at;
        }
        // A control character or a `!`.
        at += 1;
    }
    while let Some(&byte) = text.get(at)
        && CLASS[usize::from(byte)] == PLAIN
    {
        at += 1;
    }
    at
}

/// Marks the high bit of the first of eight bytes that may not be plain: one below `#`, a
/// parenthesis, a semicolon or a backslash. Bits above the first mark mean nothing.
#[inline(always)]
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let equals = |word: u64, byte: u8| {
        let same = word ^ (ONES * byte as u64);
        same.wrapping_sub(ONES) & !same
    };
    let below = word.wrapping_sub(ONES * 0x23) & !word;
    let parens = equals(word & !ONES, b'(');
    (below | parens | equals(word, b';') | equals(word, b'\\')) & (ONES << 7)
}

/// End of the word or quoted string at `at`; one behind `at` if there is none.
#[cold]
pub(super) fn word_end(text: &[u8], at: usize) -> usize {
    let mut lexer = Lexer::new(text, at, true);
    let blank =
        matches!(text.get(at), None | Some(b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' | b';'));
    match lexer.next_slow(false) {
        Ok(true) if !blank => lexer.at,
        // A string that is never closed is meant by its quote.
        _ => (at + 1).min(text.len()),
    }
}

/// End of the last word on the first line of the entry at `at`.
#[cold]
pub(super) fn record_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let line_end = memchr::memchr(b'\n', rest).map_or(text.len(), |newline| at + newline);
    let mut lexer = Lexer::new(text, at, true);
    let mut end = at;
    while let Ok(true) = lexer.next_slow(false)
        && lexer.found.at < line_end
    {
        end = lexer.at;
    }
    end.min(line_end)
}

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

#[derive(Clone)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    /// What `next_slow` found.
    found: Token<'a>,
    pub(super) at: usize,
    /// Whether the text ends where the file ends.
    complete: bool,
    depth: u32,
    opened: usize,
    /// Set when the end of an incomplete text was reached: nothing that was read counts.
    pub(super) starved: bool,
    /// Set when the entry has more than one line.
    pub(super) long: bool,
    /// Where the first quoted string that runs over the end of a line starts.
    pub(super) long_quote: Option<usize>,
    /// Place and length of the first string that was split.
    pub(super) split: Option<(usize, usize)>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8], at: usize, complete: bool) -> Self {
        let found = Token { raw: &[], at, quoted: false, escaped: false };
        Self {
            text,
            found,
            at,
            complete,
            depth: 0,
            opened: 0,
            starved: false,
            long: false,
            long_quote: None,
            split: None,
        }
    }

    pub(super) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Whether the entry starts with white space, so that it has no owner of its own.
    pub(super) fn starts_blank(&self) -> bool {
        matches!(self.text.get(self.at), Some(b' ' | b'\t'))
    }

    /// The next token; `None` at the end of the entry, whose newline is not consumed.
    ///
    /// Inlined, so that a plain token stays in registers.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Parse<Option<Token<'a>>> {
        let mut at = self.at;
        let first = loop {
            match self.text.get(at) {
                Some(b' ' | b'\t') => at += 1,
                first => break first,
            }
        };
        self.at = at;
        if first == Some(&b'\n') && self.depth == 0 {
            return Ok(None);
        }
        let end = plain_end(self.text, at);
        match self.text.get(end) {
            Some(&byte) if end > at && byte != b'\\' => {
                self.at = end;
                Ok(Some(Token { raw: &self.text[at..end], at, quoted: false, escaped: false }))
            }
            _ => self.slow_token(false),
        }
    }

    /// Like `next`, but a quoted string right after a `=` belongs to the word before it.
    pub(super) fn next_parameter(&mut self) -> Parse<Option<Token<'a>>> {
        self.slow_token(true)
    }

    /// Takes the token from `found` piece by piece: copied as a whole it would be written as two
    /// words and read as one, which processors cannot forward.
    #[inline(always)]
    fn slow_token(&mut self, parameter: bool) -> Parse<Option<Token<'a>>> {
        if self.next_slow(parameter)? {
            let Token { raw, at, quoted, escaped } = self.found;
            Ok(Some(Token { raw, at, quoted, escaped }))
        } else {
            Ok(None)
        }
    }

    /// Whether there is a token; it is in `found`.
    #[inline(never)]
    fn next_slow(&mut self, parameter: bool) -> Parse<bool> {
        loop {
            let Some(&byte) = self.text.get(self.at) else {
                return self.run_out();
            };
            match CLASS[usize::from(byte)] {
                PLAIN | ESCAPE => {
                    self.found = self.plain(parameter);
                    return Ok(true);
                }
                QUOTE => return self.quoted(),
                BLANK => self.at += 1,
                NEWLINE if self.depth == 0 => return Ok(false),
                NEWLINE => {
                    self.at += 1;
                    self.long = true;
                }
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
    fn run_out(&mut self) -> Parse<bool> {
        if !self.complete {
            self.starved = true;
        } else if self.depth > 0 {
            self.depth = 0;
            return fault(self.opened, "`(` is never closed");
        }
        Ok(false)
    }

    fn plain(&mut self, parameter: bool) -> Token<'a> {
        let start = self.at;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = plain_end(self.text, at);
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

    /// Finds the quote that closes the one at `open`, and whether there is a backslash before it.
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
            self.long = true;
        }
        (end, escaped)
    }

    fn quoted(&mut self) -> Parse<bool> {
        let open = self.at;
        let (end, escaped) = self.closing_quote(open);
        let Some(end) = end else {
            self.at = self.text.len();
            if !self.complete {
                self.starved = true;
                return Ok(false);
            }
            return fault_help(
                open,
                "`\"` is never closed",
                "write a `\"` inside a quoted string as `\\\"`",
            );
        };
        self.at = end + 1;
        self.found = Token { raw: &self.text[open + 1..end], at: open, quoted: true, escaped };
        Ok(true)
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

    /// Skips the rest of the entry and its newline.
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
