//! Splits a template into words: plain text, and the tokens between `{{` and `}}`.

use crate::error::Error;

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Between actions.
    Text,
    LeftDelim,
    RightDelim,
    Space,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    /// Any other ASCII character.
    Char,
    /// `'x'`
    Rune,
    Number,
    /// In double quotes.
    Quoted,
    /// In backquotes.
    Raw,
    Bool,
    /// A function's name.
    Identifier,
    /// `.Name`
    Field,
    /// `$name` or `$`
    Variable,
    Dot,
    Nil,
    Keyword(Keyword),
    End,
}

/// The words that make control actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// A word and where it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'t> {
    pub(crate) kind: TokenKind,
    pub(crate) at: usize,
    pub(crate) text: &'t str,
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// All words of `text`; the last is [`TokenKind::End`].
pub(crate) fn words(text: &str) -> Result<Vec<Word<'_>>, Error> {
    let mut lexer = Lexer { text, at: 0, words: Vec::new() };
    while lexer.at < text.len() {
        lexer.text()?;
    }
    lexer.push(TokenKind::End, text.len());
    Ok(lexer.words)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    words: Vec<Word<'t>>,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Adds the word from `start` to the present place.
    fn push(&mut self, kind: TokenKind, start: usize) {
        self.words.push(Word { kind, at: start, text: &self.text[start..self.at] });
    }

    fn wrong<T>(at: usize, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::new(at, message))
    }

    /// Text up to the next action, and that action.
    fn text(&mut self) -> Result<(), Error> {
        let start = self.at;
        let Some(len) = self.rest().find("{{") else {
            self.at = self.text.len();
            self.push(TokenKind::Text, start);
            return Ok(());
        };
        let open = start + len;
        let inside = &self.text[open + 2..];
        let trims = trims_left(inside);
        let text = &self.text[start..open];
        let kept = if trims { text.trim_end_matches(BLANKS).len() } else { text.len() };
        self.at = start + kept;
        if kept > 0 {
            self.push(TokenKind::Text, start);
        }
        self.at = open + 2;
        // The blank behind the trim marker is not skipped twice: it may be the one before `-}}`.
        let marker = if trims { 2 } else { 0 };
        if inside[marker..].starts_with("/*") {
            self.at += marker;
            return self.comment(open);
        }
        self.push(TokenKind::LeftDelim, open);
        self.at += marker;
        self.action(open)
    }

    fn comment(&mut self, open: usize) -> Result<(), Error> {
        let Some(len) = self.rest()[2..].find("*/") else {
            return Self::wrong(open, "this comment is never closed with `*/`");
        };
        self.at += 2 + len + 2;
        if !self.right_delim(false) {
            return Self::wrong(self.at, "a comment must end with `*/}}`");
        }
        Ok(())
    }

    /// Reads `}}` or ` -}}` if it is here.
    fn right_delim(&mut self, emit: bool) -> bool {
        let rest = self.rest();
        let trims = rest.starts_with(BLANKS) && rest[1..].starts_with("-}}");
        if !trims && !rest.starts_with("}}") {
            return false;
        }
        if trims {
            self.at += 2;
        }
        let start = self.at;
        self.at += 2;
        if emit {
            self.push(TokenKind::RightDelim, start);
        }
        if trims {
            self.at += self.rest().len() - self.rest().trim_start_matches(BLANKS).len();
        }
        true
    }

    fn action(&mut self, open: usize) -> Result<(), Error> {
        let mut parens: Vec<usize> = Vec::new();
        loop {
            if self.right_delim(true) {
                return match parens.last() {
                    Some(&paren) => Self::wrong(paren, "this `(` is never closed"),
                    None => Ok(()),
                };
            }
            let start = self.at;
            let Some(next) = self.peek() else {
                return Self::wrong(open, "this `{{` is never closed with `}}`");
            };
            self.at += next.len_utf8();
            match next {
                ' ' | '\t' | '\r' | '\n' => self.space(start),
                '=' => self.push(TokenKind::Assign, start),
                ':' => {
                    if self.peek() != Some('=') {
                        return Self::wrong(start, "expected `:=`");
                    }
                    self.at += 1;
                    self.push(TokenKind::Declare, start);
                }
                '|' => self.push(TokenKind::Pipe, start),
                '"' => self.quoted(start, '"', TokenKind::Quoted, "this string is never closed")?,
                '\'' => {
                    self.quoted(start, '\'', TokenKind::Rune, "this character is never closed")?
                }
                '`' => {
                    let Some(len) = self.rest().find('`') else {
                        return Self::wrong(start, "this string is never closed with a backquote");
                    };
                    self.at += len + 1;
                    self.push(TokenKind::Raw, start);
                }
                '$' => self.name(start, TokenKind::Variable)?,
                '.' if !self.peek().is_some_and(|next| next.is_ascii_digit()) => {
                    self.name(start, TokenKind::Field)?;
                }
                '.' | '+' | '-' | '0'..='9' => self.number(start)?,
                '(' => {
                    parens.push(start);
                    self.push(TokenKind::LeftParen, start);
                }
                ')' => {
                    if parens.pop().is_none() {
                        return Self::wrong(start, "this `)` has no matching `(`");
                    }
                    self.push(TokenKind::RightParen, start);
                }
                _ if is_word(next) => self.name(start, TokenKind::Identifier)?,
                ' '..='~' => self.push(TokenKind::Char, start),
                _ => {
                    return Self::wrong(
                        start,
                        format!("unexpected character {next:?} in an action"),
                    );
                }
            }
        }
    }

    fn space(&mut self, start: usize) {
        let rest = &self.text[start..];
        let len = rest.len() - rest.trim_start_matches(BLANKS).len();
        self.at = start + len;
        // The last blank may belong to ` -}}`.
        if self.rest().starts_with("-}}") {
            self.at -= 1;
        }
        if self.at > start {
            self.push(TokenKind::Space, start);
        }
    }

    /// The rest of a name whose first character, at `start`, is read.
    fn name(&mut self, start: usize, kind: TokenKind) -> Result<(), Error> {
        let rest = self.rest();
        self.at += rest.find(|next| !is_word(next)).unwrap_or(rest.len());
        let ends = match self.peek() {
            None => true,
            Some(next) => {
                BLANKS.contains(&next) || ".,|:)(".contains(next) || self.rest().starts_with("}}")
            }
        };
        if !ends {
            let next = self.peek().unwrap_or_default();
            return Self::wrong(self.at, format!("{next:?} cannot follow a name directly"));
        }
        let word = &self.text[start..self.at];
        let kind = match (kind, word) {
            (TokenKind::Field, ".") => TokenKind::Dot,
            (TokenKind::Identifier, "true" | "false") => TokenKind::Bool,
            (TokenKind::Identifier, "nil") => TokenKind::Nil,
            (TokenKind::Identifier, word) => {
                keyword(word).map_or(TokenKind::Identifier, TokenKind::Keyword)
            }
            (kind, _) => kind,
        };
        self.push(kind, start);
        Ok(())
    }

    fn quoted(
        &mut self,
        start: usize,
        quote: char,
        kind: TokenKind,
        open: &str,
    ) -> Result<(), Error> {
        let mut escaped = false;
        for next in self.rest().chars() {
            if next == '\n' {
                break;
            }
            self.at += next.len_utf8();
            match next {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if next == quote => {
                    self.push(kind, start);
                    return Ok(());
                }
                _ => {}
            }
        }
        Self::wrong(start, open)
    }

    /// Anything that starts like a number; whether it is one, its value tells.
    fn number(&mut self, start: usize) -> Result<(), Error> {
        let text = &self.text[start..];
        let mut len = usize::from(text.starts_with(['+', '-']));
        let body = &text[len..];
        let hex = body.starts_with("0x") || body.starts_with("0X");
        let mut before = '\0';
        for next in body.chars() {
            let exponent =
                if hex { matches!(before, 'p' | 'P') } else { matches!(before, 'e' | 'E') };
            if !(is_word(next) || next == '.' || (exponent && matches!(next, '+' | '-'))) {
                break;
            }
            before = next;
            len += next.len_utf8();
        }
        self.at = start + len;
        self.push(TokenKind::Number, start);
        Ok(())
    }
}

/// Whether an action that goes on like this cuts off the blanks before it.
fn trims_left(inside: &str) -> bool {
    inside.starts_with('-') && inside[1..].starts_with(BLANKS)
}

fn is_word(next: char) -> bool {
    next == '_' || next.is_alphanumeric()
}

fn keyword(word: &str) -> Option<Keyword> {
    Some(match word {
        "block" => Keyword::Block,
        "break" => Keyword::Break,
        "continue" => Keyword::Continue,
        "define" => Keyword::Define,
        "else" => Keyword::Else,
        "end" => Keyword::End,
        "if" => Keyword::If,
        "range" => Keyword::Range,
        "template" => Keyword::Template,
        "with" => Keyword::With,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<&str> {
        words(text).unwrap().iter().map(|word| word.text).collect()
    }

    #[test]
    fn text_and_actions_alternate() {
        assert_eq!(shown("a {{.B}} c"), ["a ", "{{", ".B", "}}", " c", ""]);
        assert_eq!(shown("a {{- .B -}} c"), ["a", "{{", ".B", "}}", "c", ""]);
        assert_eq!(shown("a {{- /* x */ -}} c"), ["a", "c", ""]);
        assert_eq!(shown("{{-3}}"), ["{{", "-3", "}}", ""]);
        assert_eq!(
            shown("{{f 1.5e+3 .X.Y}}"),
            ["{{", "f", " ", "1.5e+3", " ", ".X", ".Y", "}}", ""]
        );
        assert_eq!(shown("{{$x := `}}`}}"), ["{{", "$x", " ", ":=", " ", "`}}`", "}}", ""]);
    }

    #[test]
    fn mistakes_have_their_place() {
        let at = |text: &str| words(text).unwrap_err().at;
        assert_eq!(at("ab {{ .X"), 3);
        assert_eq!(at("{{ \"x }}"), 3);
        assert_eq!(at("{{ (1 }}"), 3);
        assert_eq!(at("{{ 1) }}"), 4);
        assert_eq!(at("{{ .X+1 }}"), 5);
        assert_eq!(at("{{/* x */ }}"), 9);
        assert_eq!(at("{{/* x }}"), 0);
        assert_eq!(at("{{ \u{7f} }}"), 3);
    }
}
