//! Words of a Corefile, and the types that they can stand for.

use crate::{Diagnostic, Span};

/// A word, with its variables replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The text.
    pub text: String,
    /// Its position; of a variable, the position of its name.
    pub span: Span,
    /// Whether it was quoted.
    pub quoted: bool,
}

impl Token {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Parses the text as a `T`, which the message calls `what`.
    ///
    /// # Errors
    /// What was expected, at the token.
    pub fn parse<T: FromToken>(&self, what: &str) -> Result<T, Diagnostic> {
        T::from_token(self).map_err(|expected| {
            Diagnostic::error(self.span, format!("invalid value `{}` for {what}", self.text))
                .label(expected.clone())
                .help(format!("give {what} as {}", expected.trim_start_matches("expected ")))
        })
    }
}

/// A type that a word can stand for.
pub trait FromToken: Sized {
    /// Understands the word.
    ///
    /// # Errors
    /// What was expected, starting with that word: `expected a number`.
    fn from_token(token: &Token) -> Result<Self, String>;
}
