//! Splits text into words by the rules of CoreDNS's parser.

use nom::IResult;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{take_till, take_while1};
use nom::character::complete::char;
use nom::combinator::{map, recognize, value};
use nom::multi::many0_count;
use nom::sequence::pair;

use crate::{FileId, Span};

/// A word as written, before variables are put in.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    /// The text, quotes and escapes resolved.
    pub(crate) raw: String,
    pub(crate) span: Span,
    pub(crate) quoted: bool,
    /// Whether its closing quote is missing, so that it runs to the end of the text.
    pub(crate) open: bool,
    /// Whether it is the first word of its line.
    pub(crate) first: bool,
}

impl Word {
    /// Whether it is this bare punctuation or keyword; a quoted one is text.
    pub(crate) fn is(&self, text: &str) -> bool {
        !self.quoted && self.raw == text
    }
}

/// What ends a bare word. A carriage return is skipped wherever it stands.
fn ends_word(letter: char) -> bool {
    letter.is_whitespace() && letter != '\r'
}

/// Blanks and comments before a word.
fn blank(input: &str) -> IResult<&str, &str> {
    let space = value((), take_while1(char::is_whitespace));
    let comment = value((), pair(char('#'), take_till(|letter| letter == '\n')));
    recognize(many0_count(alt((space, comment)))).parse(input)
}

/// A quoted word: to the closing quote, or to the end of the text, which it tells. Only quotes are
/// escaped; any other backslash is itself.
fn quoted(input: &str) -> IResult<&str, (String, bool)> {
    let (mut rest, _) = char('"').parse(input)?;
    let mut text = String::new();
    loop {
        let (next, plain) = take_till(|letter| letter == '"' || letter == '\\').parse(rest)?;
        text.push_str(plain);
        let mut letters = next.chars();
        match letters.next() {
            Some('\\') => match letters.next() {
                Some('"') => text.push('"'),
                Some(other) => {
                    text.push('\\');
                    text.push(other);
                }
                None => {}
            },
            Some(_) => return Ok((letters.as_str(), (text, false))),
            None => return Ok(("", (text, true))),
        }
        rest = letters.as_str();
    }
}

/// A bare word. A `#` ends it and hides what follows up to the next blank, not up to the end of the
/// line: CoreDNS forgets that it is in a comment as soon as it has a word to give.
fn bare(input: &str) -> IResult<&str, String> {
    let word = take_till(|letter| ends_word(letter) || letter == '#');
    let hidden = take_till(ends_word);
    map((word, hidden), |(word, _): (&str, &str)| word.replace('\r', "")).parse(input)
}

/// All words of a text.
pub(crate) fn words(file: FileId, text: &str) -> Vec<Word> {
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    words_from(file, text, mark)
}

/// The words of a text behind an offset, which begin a line.
pub(crate) fn words_from(file: FileId, text: &str, offset: usize) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = &text[offset..];
    let mut first = true;
    // `blank` and the word parsers take what they can and never fail on complete input.
    while let Ok((at, skipped)) = blank(rest) {
        first |= skipped.contains('\n');
        if at.is_empty() {
            break;
        }
        let start = text.len() - at.len();
        let quote = at.starts_with('"');
        let lexed =
            if quote { quoted(at) } else { bare(at).map(|(after, raw)| (after, (raw, false))) };
        let Ok((after, (raw, open))) = lexed else { break };
        let mut end = text.len() - after.len();
        if !quote && let Some(comment) = text[start..end].find('#') {
            end = start + comment;
        }
        let span = Span { file, start: start as u32, end: end as u32 };
        words.push(Word { raw, span, quoted: quote, open, first });
        first = false;
        rest = after;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lex(text: &str) -> Vec<String> {
        words(FileId(0), text)
            .into_iter()
            .map(|word| format!("{}{}", if word.first { "^" } else { "" }, word.raw))
            .collect()
    }

    #[test]
    fn words_quotes_and_comments() {
        assert_eq!(lex("a b\n c # d e\nf"), ["^a", "b", "^c", "^f"]);
        assert_eq!(lex("\u{feff}a"), ["^a"]);
        assert_eq!(lex("a\r\nb"), ["^a", "^b"]);
        assert_eq!(lex("\"a b\" \"\" x\"y"), ["^a b", "", "x\"y"]);
        assert_eq!(lex(r#""a\"b" "c\d""#), ["^a\"b", "c\\d"]);
        assert_eq!(lex("\"a\"b"), ["^a", "b"]);
        assert_eq!(lex("\"line\nbreak\" x"), ["^line\nbreak", "x"]);
        assert_eq!(lex("\"open"), ["^open"]);
    }

    #[test]
    fn a_comment_in_a_word_ends_at_the_next_blank() {
        assert_eq!(lex("foo#x bar"), ["^foo", "bar"]);
        assert_eq!(lex("#x bar\nbaz"), ["^baz"]);
        assert_eq!(lex("foo #x bar\nbaz"), ["^foo", "^baz"]);
    }

    #[test]
    fn spans_cover_what_is_written() {
        let text = "  foo#x \"q r\"";
        let spans: Vec<&str> = words(FileId(0), text)
            .iter()
            .map(|word| &text[word.span.start as usize..word.span.end as usize])
            .collect();
        assert_eq!(spans, ["foo", "\"q r\""]);
    }
}
