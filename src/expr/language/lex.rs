//! Splits an expression into lexemes.

use crate::error::{Error, Spot};

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lexeme {
    pub(crate) kind: TokenKind,
    pub(crate) spot: Spot,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TokenKind {
    /// A name.
    Name(String),
    /// A number, as written.
    Number(String),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An operator or a bracket.
    Sign(&'static str),
    /// Nothing is left.
    End,
}

/// Names that are operators.
const WORDS: [&str; 11] = [
    "not",
    "in",
    "or",
    "and",
    "matches",
    "contains",
    "startsWith",
    "endsWith",
    "let",
    "if",
    "else",
];

/// Signs, those first that begin with another.
const SIGNS: [&str; 37] = [
    "?.", "??", "?", "||", "|", "::", ":", "..", ".", "**", "*", "&&", "==", "=", "!=", "!", "<=",
    "<", ">=", ">", "(", ")", "[", "]", "{", "}", ",", ";", "%", "+", "-", "^", "/", "#", "&", "$",
    "@",
];

/// All words of `text`.
pub(crate) fn lexemes(text: &str) -> Result<Vec<Lexeme>, Error> {
    let mut lexer = Lexer { text, at: 0 };
    let mut found = Vec::new();
    loop {
        lexer.skip()?;
        let start = lexer.at;
        let kind = lexer.next()?;
        let spot = Spot::between(start, lexer.at);
        let last = kind == TokenKind::End;
        found.push(Lexeme { kind, spot });
        if last {
            return Ok(found);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Consumes all letters that fit, and returns them.
    fn run(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|letter| !fits(letter)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn accept(&mut self, letters: &str) -> bool {
        let found = self.peek().filter(|letter| letters.contains(*letter));
        self.at += found.map_or(0, char::len_utf8);
        found.is_some()
    }

    fn fail<T>(&self, start: usize, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::at(Spot::between(start, self.at), message))
    }

    /// Blanks and comments.
    fn skip(&mut self) -> Result<(), Error> {
        loop {
            self.run(char::is_whitespace);
            if self.rest().starts_with("//") {
                self.run(|letter| letter != '\n');
            } else if self.rest().starts_with("/*") {
                match self.rest().find("*/") {
                    Some(end) => self.at += end + 2,
                    None => return self.fail(self.at, "unterminated comment"),
                }
            } else {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<TokenKind, Error> {
        let Some(letter) = self.peek() else { return Ok(TokenKind::End) };
        let second = self.rest().chars().nth(1);
        match letter {
            '"' | '\'' => self.quoted(letter, false).map(TokenKind::Text),
            '`' => self.raw().map(TokenKind::Text),
            'b' | 'B' if matches!(second, Some('"' | '\'')) => {
                self.at += 1;
                self.bytes(second.unwrap_or('"')).map(TokenKind::Bytes)
            }
            '0'..='9' => self.number(),
            '.' if second.is_some_and(|letter| letter.is_ascii_digit()) => self.number(),
            _ if is_name(letter) => {
                let name = self.run(is_name);
                Ok(WORDS
                    .into_iter()
                    .find(|word| *word == name)
                    .map_or_else(|| TokenKind::Name(name.to_owned()), TokenKind::Sign))
            }
            _ => {
                let rest = self.rest();
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                let Some(sign) = sign.filter(|sign| !matches!(*sign, "&" | "$" | "@")) else {
                    return self.fail(self.at, format!("unexpected character `{letter}`"));
                };
                self.at += sign.len();
                Ok(TokenKind::Sign(sign))
            }
        }
    }

    fn number(&mut self) -> Result<TokenKind, Error> {
        let start = self.at;
        let mut digits: fn(char) -> bool = |letter| letter.is_ascii_digit() || letter == '_';
        if self.accept("0") {
            if self.accept("xX") {
                digits = |letter| letter.is_ascii_hexdigit() || letter == '_';
            } else if self.accept("oO") {
                digits = |letter| matches!(letter, '0'..='7' | '_');
            } else if self.accept("bB") {
                digits = |letter| matches!(letter, '0' | '1' | '_');
            }
        }
        self.run(digits);
        // `1..5` is a range.
        if self.rest().starts_with('.') && !self.rest().starts_with("..") {
            self.at += 1;
            self.run(digits);
        }
        if !self.rest().starts_with("..") && self.accept("eE") {
            self.accept("+-");
            self.run(digits);
        }
        if self.peek().is_some_and(is_name) {
            self.run(is_name);
            let text = &self.text[start..self.at];
            return self.fail(start, format!("`{text}` is not a number"));
        }
        Ok(TokenKind::Number(self.text[start..self.at].to_owned()))
    }

    /// A text between quotes.
    fn quoted(&mut self, quote: char, bytes: bool) -> Result<String, Error> {
        let start = self.at;
        let found = self.bytes_of(quote, bytes)?;
        match String::from_utf8(found) {
            Ok(text) => Ok(text),
            Err(_) => self.fail(start, "this string is not valid UTF-8"),
        }
    }

    fn bytes(&mut self, quote: char) -> Result<Vec<u8>, Error> {
        self.bytes_of(quote, true)
    }

    /// The text between quotes, with its escapes resolved.
    fn bytes_of(&mut self, quote: char, bytes: bool) -> Result<Vec<u8>, Error> {
        let start = self.at;
        self.at += 1;
        let mut found = Vec::new();
        loop {
            let Some(letter) = self.peek().filter(|letter| *letter != '\n') else {
                return self.fail(start, "unterminated string");
            };
            self.at += letter.len_utf8();
            match letter {
                '\\' => self.escape(quote, bytes, &mut found)?,
                _ if letter == quote => return Ok(found),
                '\r' => {
                    self.accept("\n");
                    found.push(b'\n');
                }
                _ => found.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
    }

    fn escape(&mut self, quote: char, bytes: bool, found: &mut Vec<u8>) -> Result<(), Error> {
        let start = self.at - 1;
        let letter = self.peek();
        self.at += letter.map_or(0, char::len_utf8);
        match letter {
            Some('a') => found.push(7),
            Some('b') => found.push(8),
            Some('f') => found.push(12),
            Some('n') => found.push(b'\n'),
            Some('r') => found.push(b'\r'),
            Some('t') => found.push(b'\t'),
            Some('v') => found.push(11),
            Some('\\') => found.push(b'\\'),
            Some(letter) if letter == quote => found.push(letter as u8),
            Some('0'..='7') => {
                self.at -= 1;
                let value = self.digits(3, 8).filter(|value| *value <= 255);
                found.push(value.map_or_else(|| self.bad_escape(start), |value| Ok(value as u8))?);
            }
            Some('x') => {
                let value = self.digits(2, 16);
                found.push(value.map_or_else(|| self.bad_escape(start), |value| Ok(value as u8))?);
            }
            Some('u') if !bytes && self.accept("{") => {
                let digits = self.run(|letter| letter.is_ascii_hexdigit()).len();
                self.at -= digits;
                let value = self.digits(digits, 16).filter(|_| (1..=6).contains(&digits));
                let closed = self.accept("}");
                let letter = value.filter(|_| closed).and_then(char::from_u32);
                self.letter(start, letter, found)?;
            }
            Some(size @ ('u' | 'U')) if !bytes => {
                let value = self.digits(if size == 'u' { 4 } else { 8 }, 16);
                self.letter(start, value.and_then(char::from_u32), found)?;
            }
            _ => return self.bad_escape(start),
        }
        Ok(())
    }

    fn letter(&self, start: usize, letter: Option<char>, found: &mut Vec<u8>) -> Result<(), Error> {
        let Some(letter) = letter else { return self.bad_escape(start) };
        found.extend(letter.encode_utf8(&mut [0; 4]).bytes());
        Ok(())
    }

    fn bad_escape<T>(&self, start: usize) -> Result<T, Error> {
        let text = &self.text[start..self.at];
        Err(Error::at(
            Spot::between(start, self.at),
            format!("`{text}` is not a valid escape sequence"),
        )
        .help("write a backslash in a string as `\\\\`"))
    }

    /// Exactly `count` digits of this base.
    fn digits(&mut self, count: usize, base: u32) -> Option<u32> {
        let text = self.rest().get(..count)?;
        if !text.chars().all(|letter| letter.is_digit(base)) {
            return None;
        }
        self.at += count;
        u32::from_str_radix(text, base).ok()
    }

    /// A text between backticks, in which two stand for one.
    fn raw(&mut self) -> Result<String, Error> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            text.push_str(self.run(|letter| letter != '`'));
            if !self.accept("`") {
                return self.fail(start, "unterminated string");
            }
            if !self.accept("`") {
                return Ok(text);
            }
            text.push('`');
        }
    }
}

fn is_name(letter: char) -> bool {
    letter == '_' || letter == '$' || letter.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        let mut kinds: Vec<TokenKind> =
            lexemes(text).unwrap().into_iter().map(|lexeme| lexeme.kind).collect();
        assert_eq!(kinds.pop(), Some(TokenKind::End));
        kinds
    }

    fn texts(text: &str) -> Vec<String> {
        let text_of = |kind| match kind {
            TokenKind::Text(text) => text,
            TokenKind::Number(number) => number,
            other => format!("{other:?}"),
        };
        kinds(text).into_iter().map(text_of).collect()
    }

    #[test]
    fn numbers_and_ranges() {
        let all = ".5 0.025 1 02 1e3 0xFF 0b0101 0o600 1.2e-4 1_000_000";
        assert_eq!(texts(all), all.split(' ').collect::<Vec<_>>());
        let number = |text: &str| TokenKind::Number(text.to_owned());
        assert_eq!(kinds("1..5"), [number("1"), TokenKind::Sign(".."), number("5")]);
        assert!(lexemes("12x").is_err());
    }

    #[test]
    fn strings_of_every_kind() {
        assert_eq!(
            texts(r#""double" 'single' "abc \n\t\"\\" '"\'' "'\"""#),
            ["double", "single", "abc \n\t\"\\", "\"'", "'\""]
        );
        assert_eq!(texts(r#""\xC3\xBF\u263A\U000003A8\u{61}" 'a\101'"#), ["\u{ff}☺Ψa", "aA"]);
        assert_eq!(texts("`a``b` `` `\\n`"), ["a`b", "", "\\n"]);
        assert_eq!(
            kinds(r#"b"\x00\xff" B'ÿ'"#),
            [TokenKind::Bytes(vec![0, 255]), TokenKind::Bytes(vec![195, 191])]
        );
        for wrong in ["'open", "'\\q'", "'\\xg'", "'\\ud800'", "b'\\u0061'", "`open", "'\\xff'"] {
            assert!(lexemes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn operators_comments_and_names() {
        let name = |text: &str| TokenKind::Name(text.to_owned());
        assert_eq!(
            kinds("a and orb().val #."),
            [
                name("a"),
                TokenKind::Sign("and"),
                name("orb"),
                TokenKind::Sign("("),
                TokenKind::Sign(")"),
                TokenKind::Sign("."),
                name("val"),
                TokenKind::Sign("#"),
                TokenKind::Sign("."),
            ]
        );
        assert_eq!(
            kinds("a /* b */ ?. $env // c\n?? ** früh"),
            [
                name("a"),
                TokenKind::Sign("?."),
                name("$env"),
                TokenKind::Sign("??"),
                TokenKind::Sign("**"),
                name("früh"),
            ]
        );
        assert!(lexemes("a & b").is_err() && lexemes("/* open").is_err());
    }
}
