//! The parts of a Corefile: blocks, directives and arguments, and how plugins read them.

use serde_json::{Value, json};

use crate::{Diagnostic, FromToken, Sources, Span, Token, nearest};

/// One line with its sub-block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// The first word.
    pub name: Token,
    /// The other words.
    pub args: Vec<Token>,
    /// The lines between the braces, if there are braces.
    pub body: Option<Vec<Self>>,
    /// The head line.
    pub span: Span,
    /// The closing brace, or the last word.
    pub end: Span,
}

/// A server block: its keys and its directives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerBlock {
    /// The keys, at least one.
    pub keys: Vec<Token>,
    /// The lines of the block.
    pub directives: Vec<Directive>,
    /// The keys as written.
    pub span: Span,
    /// Whether the block has braces.
    pub braces: bool,
}

/// A whole Corefile, with its imports and snippets inserted.
#[derive(Clone, Debug, Default)]
pub struct Corefile {
    /// The server blocks, in order.
    pub blocks: Vec<ServerBlock>,
    /// The files it was read from.
    pub sources: Sources,
    /// Whether lines were left out, because their block is unknown. There is an error in that case.
    pub incomplete: bool,
}

impl Corefile {
    /// The blocks as JSON without positions: white space and comments do not change it.
    pub fn fingerprint_json(&self) -> String {
        let words = |tokens: &[Token]| -> Value {
            tokens.iter().map(|token| token.text.as_str()).collect()
        };
        let blocks: Vec<Value> = self
            .blocks
            .iter()
            .map(
                |block| json!({"keys": words(&block.keys), "directives": lines(&block.directives)}),
            )
            .collect();
        return Value::from(blocks).to_string();

        fn lines(directives: &[Directive]) -> Value {
            directives
                .iter()
                .map(|directive| {
                    let line: Vec<&str> = std::iter::once(&directive.name)
                        .chain(&directive.args)
                        .map(|token| token.text.as_str())
                        .collect();
                    match &directive.body {
                        Some(body) => json!({"line": line, "body": lines(body)}),
                        None => json!({"line": line}),
                    }
                })
                .collect()
        }
    }
}

impl Directive {
    /// Reads the arguments one by one.
    pub fn args(&self) -> Args<'_> {
        Args { directive: self, at: 0 }
    }

    /// The lines of the sub-block; none without one.
    pub fn options(&self) -> &[Self] {
        self.body.as_deref().unwrap_or_default()
    }

    /// Checks that there is no sub-block.
    ///
    /// # Errors
    /// There is one.
    pub fn no_body(&self) -> Result<(), Diagnostic> {
        match &self.body {
            None => Ok(()),
            Some(_) => Err(Diagnostic::error(
                self.span,
                format!("`{}` does not take a block", self.name.text),
            )
            .label("a `{` follows this line")
            .help("remove the braces and the lines between them")),
        }
    }

    /// The error for an option that is none of `known`.
    pub fn unknown_option(&self, option: &Self, known: &[&str]) -> Diagnostic {
        let word = option.name.as_str();
        let plugin = self.name.as_str();
        let mut problem = Diagnostic::error(
            option.name.span,
            format!("unknown option `{word}` of plugin `{plugin}`"),
        );
        problem = match nearest(word, known.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => problem.help(format!("`{plugin}` has no options")),
            None => problem.help("remove the line, or use one of the options below"),
        };
        if !known.is_empty() {
            let options = known.join(", ");
            problem = problem.note(format!("options: {options} (see `catena help {plugin}`)"));
        }
        problem
    }
}

/// The arguments of a directive, read from the left.
pub struct Args<'a> {
    directive: &'a Directive,
    at: usize,
}

impl<'a> Args<'a> {
    /// The next argument.
    #[expect(clippy::should_implement_trait, reason = "reading on is more than iterating")]
    pub fn next(&mut self) -> Option<&'a Token> {
        let token = self.directive.args.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    /// The next argument, without consuming it.
    pub fn peek(&self) -> Option<&'a Token> {
        self.directive.args.get(self.at)
    }

    /// The arguments that remain.
    pub fn remaining(&self) -> &'a [Token] {
        &self.directive.args[self.at..]
    }

    /// The next argument, which the message calls `what`.
    ///
    /// # Errors
    /// There is none.
    pub fn required(&mut self, what: &str) -> Result<&'a Token, Diagnostic> {
        let directive = self.directive;
        self.next().ok_or_else(|| {
            let last = directive.args.last().unwrap_or(&directive.name);
            Diagnostic::error(last.span, format!("`{}` needs {what}", directive.name.text))
                .label(format!("{what} is missing after this"))
                .help(format!("add {what} at the end of the line"))
        })
    }

    /// The next argument, parsed as a `T`.
    ///
    /// # Errors
    /// It is missing, or not a `T`.
    pub fn value<T: FromToken>(&mut self, what: &str) -> Result<T, Diagnostic> {
        self.required(what)?.parse(what)
    }

    /// The next argument, if there is one.
    ///
    /// # Errors
    /// It is not a `T`.
    pub fn optional<T: FromToken>(&mut self, what: &str) -> Result<Option<T>, Diagnostic> {
        self.next().map(|token| token.parse(what)).transpose()
    }

    /// Checks that no argument remains.
    ///
    /// # Errors
    /// Arguments remain; the position is that of the first.
    pub fn end(&mut self) -> Result<(), Diagnostic> {
        let Some(surplus) = self.next() else { return Ok(()) };
        let name = &self.directive.name.text;
        Err(Diagnostic::error(
            surplus.span,
            format!("`{name}` does not take the argument `{}`", surplus.text),
        )
        .label("one argument too many")
        .help("remove it; an option goes on a line of its own"))
    }
}
