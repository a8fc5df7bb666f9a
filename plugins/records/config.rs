//! The arguments of `records`, and its lines as the text of a zone file.

use chain::{Fallthrough, zones};
use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};
use wire::Name;

/// A `records` directive.
#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    /// The zones of the records, each once.
    pub(super) zones: Vec<Name>,
    pub(super) text: Text,
    pub(super) fallthrough: Fallthrough,
}

/// The lines of the directive as a master file, with the span of each word.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    text: String,
    /// The words of each line: the column in characters, from 1, and the span in the Corefile.
    words: Vec<Vec<(usize, Span)>>,
}

const OPTION: &str = "fallthrough";

/// Parses the directive of a block whose zones are `default`. Returns the configuration and its
/// mistakes. The records are not parsed yet.
pub(super) fn parse(directive: &Directive, default: &[Name]) -> (Config, Diagnostics) {
    let mut config = Config::default();
    let mut found = Diagnostics::default();
    for arg in &directive.args {
        match zones::parse(arg) {
            Ok(zones) => zones.into_iter().for_each(|zone| add(&mut config.zones, zone)),
            Err(error) => found.push(error),
        }
    }
    if directive.args.is_empty() {
        default.iter().for_each(|zone| add(&mut config.zones, zone.to_lower()));
    }
    for line in directive.options() {
        found.extend(line.no_body().err());
        if is_option(line) {
            match Fallthrough::from_args(&line.args) {
                Ok(fallthrough) => config.fallthrough = fallthrough,
                Err(error) => found.push(error),
            }
        } else {
            config.text.push(line);
        }
    }
    if config.text.words.is_empty() {
        let effect = if config.fallthrough == Fallthrough::NEVER {
            "it denies every name below its zones"
        } else {
            "it has no effect"
        };
        found.push(
            Diagnostic::warning(directive.span, "`records` has no records")
                .label(effect)
                .help("write one record per line, such as `www 3600 IN A 192.0.2.1`"),
        );
    }
    (config, found)
}

/// Whether the line is an option, and no record.
pub(super) fn is_option(line: &Directive) -> bool {
    line.name.as_str() == OPTION && !line.name.quoted
}

fn add(zones: &mut Vec<Name>, zone: Name) {
    if !zones.contains(&zone) {
        zones.push(zone);
    }
}

impl Text {
    /// The text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The span of the word at this line and column, both from 1.
    pub(super) fn place(&self, line: u32, column: u32) -> Option<Span> {
        let words = self.words.get((line as usize).checked_sub(1)?)?;
        let before = words.iter().rev().find(|(start, _)| *start <= column as usize);
        before.or_else(|| words.first()).map(|(_, span)| *span)
    }

    fn push(&mut self, line: &Directive) {
        let mut words = Vec::with_capacity(1 + line.args.len());
        let mut column = 1;
        for token in std::iter::once(&line.name).chain(&line.args) {
            if !words.is_empty() {
                self.text.push(' ');
            }
            words.push((column, token.span));
            let start = self.text.len();
            push_word(token, &mut self.text);
            column += self.text[start..].chars().count() + 1;
        }
        self.text.push('\n');
        self.words.push(words);
    }
}

/// Writes a word as in a master file: the Corefile parser has removed its quotes.
fn push_word(token: &Token, text: &mut String) {
    // Without quotes, the `\#` of RFC 3597 would start a comment in a Corefile. It must not be quoted in a
    // master file.
    let quoted = token.quoted && token.as_str() != "\\#";
    let quote = if quoted { "\"" } else { "" };
    text.push_str(quote);
    let mut rest = token.as_str();
    while let Some(letter) = rest.chars().next() {
        let (piece, after) = rest.split_at(escape_len(rest).unwrap_or_else(|| letter.len_utf8()));
        match letter {
            '"' if quoted => text.push_str("\\\""),
            // A line of the Corefile stays one line.
            '\n' if quoted => text.push_str("\\010"),
            _ => text.push_str(piece),
        }
        rest = after;
    }
    text.push_str(quote);
}

/// The length of the escape at the start of the text, if there is one (RFC 1035 section 5.1).
fn escape_len(text: &str) -> Option<usize> {
    let mut letters = text.strip_prefix('\\')?.chars();
    let first = letters.next()?;
    let is_number =
        first.is_ascii_digit() && letters.take(2).filter(char::is_ascii_digit).count() == 2;
    Some(if is_number { 4 } else { 1 + first.len_utf8() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, start: u32, quoted: bool) -> Token {
        let end = start + text.len() as u32;
        Token { text: text.to_owned(), span: Span { start, end, ..Span::default() }, quoted }
    }

    #[test]
    fn words_are_found_again() {
        let args =
            vec![token("TXT", 4, false), token("a \"b\"\nc", 10, true), token("é", 20, true)];
        let line = Directive {
            name: token("@", 0, false),
            args,
            body: None,
            span: Span::default(),
            end: Span::default(),
        };
        let mut text = Text::default();
        text.push(&line);
        text.push(&line);
        assert_eq!(text.as_str().lines().next(), Some(r#"@ TXT "a \"b\"\010c" "é""#));
        let start = |line, column| text.place(line, column).map(|span| span.start);
        assert_eq!(start(1, 1), Some(0));
        assert_eq!(start(2, 3), Some(4));
        assert_eq!(start(2, 5), Some(4));
        assert_eq!(start(2, 12), Some(10));
        assert_eq!(start(2, 23), Some(20));
        assert_eq!(start(1, 0), Some(0));
        assert_eq!(start(3, 1), None);
    }

    #[test]
    fn escapes_stay_what_they_are() {
        let word = |text: &str, quoted| {
            let mut out = String::new();
            push_word(&token(text, 0, quoted), &mut out);
            out
        };
        assert_eq!(word("a\\059\\;é", true), "\"a\\059\\;é\"");
        assert_eq!(word("a\\\"b\"", true), "\"a\\\"b\\\"\"");
        assert_eq!(word("a\\\\", true), "\"a\\\\\"");
        assert_eq!(word("\\#", true), "\\#");
    }
}
