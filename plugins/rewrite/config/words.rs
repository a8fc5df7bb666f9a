//! The words of one rule, read from left to right, on the directive's line or in its block.

use corefile::{Diagnostic, Directive, Token};

/// The words that are left.
pub(super) struct Words<'a> {
    directive: &'a Directive,
    tokens: Vec<&'a Token>,
    at: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(directive: &'a Directive, tokens: Vec<&'a Token>) -> Self {
        Self { directive, tokens, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.tokens.len() - self.at
    }

    /// The last word if it is `word`; it is no longer there then.
    pub(super) fn take_last(&mut self, word: &str) -> bool {
        let there = self.left() > 0 && self.tokens.last().is_some_and(|last| last.text == word);
        if there {
            self.tokens.pop();
        }
        there
    }

    /// The next word, which the message calls `what`.
    pub(super) fn required(&mut self, what: &str) -> Result<&'a Token, Diagnostic> {
        let last = self.tokens.last().map_or(self.directive.name.span, |token| token.span);
        self.next().ok_or_else(|| {
            Diagnostic::error(last, format!("the rule needs {what}"))
                .label(format!("{what} is missing after this"))
                .help("`catena help rewrite` shows the form of each rule")
        })
    }

    /// The next word, understood by `read`.
    pub(super) fn one_of<T>(
        &mut self,
        what: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Diagnostic> {
        let word = self.required(what)?;
        read(word.as_str()).ok_or_else(|| {
            Diagnostic::error(word.span, format!("`{}` is not {what}", word.as_str()))
                .label(format!("expected {what}"))
                .help(format!("write the name of {what}; `catena help rewrite` has examples"))
        })
    }

    /// Says that nothing may follow.
    pub(super) fn end(&mut self) -> Result<(), Diagnostic> {
        let Some(surplus) = self.next() else { return Ok(()) };
        Err(Diagnostic::error(
            surplus.span,
            format!("unexpected `{}` at the end of the rule", surplus.as_str()),
        )
        .label("the rule is complete before this")
        .help("remove it; write each rule as a `rewrite` of its own"))
    }

    /// The error for a word that is none of `known`.
    pub(super) fn unknown(&self, word: &Token, what: &str, known: &[&str]) -> Diagnostic {
        let text = word.as_str();
        let problem = Diagnostic::error(word.span, format!("unknown {what} `{text}`"))
            .label(format!("expected {}", known.join(", ")));
        match corefile::nearest(text, known.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("`catena help rewrite` shows the form of each rule"),
        }
    }
}
