//! Go's `text/template`, as far as templates of DNS records need it.
//!
//! A template is parsed once and evaluated for each query. This module must never know about DNS. Data
//! comes through [`Object`], and everything that a template can do is bounded.

mod escape;
mod eval;
mod functions;
mod lex;
mod number;
mod parse;
mod print;
mod quote;
mod tree;
mod value;

use std::collections::HashMap;

use tree::{List as Nodes, Node};

pub(super) use value::{List, Map, Member, Object, Of, Value};

/// The longest text that a body or one of its functions may make.
const MAX_OUTPUT: usize = 1 << 16;
/// How many pieces an evaluation may walk through, loops counted each time.
const MAX_STEPS: u32 = 20_000;
/// How deep bodies may invoke each other.
const MAX_DEPTH: u32 = 50;

/// What is wrong with a body, or went wrong in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Error {
    /// Offset in the body.
    pub(super) at: usize,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) hint: Option<String>,
}

impl Error {
    #[cold]
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    fn hint(self, hint: String) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

/// A parsed body.
pub(super) struct Program {
    main: Vec<Node>,
    /// The bodies that `define` and `block` made.
    defined: HashMap<String, Vec<Node>>,
}

impl Program {
    /// Parses a body. Errors: where it is not Go's syntax.
    pub(super) fn parse(body: &str) -> Result<Self, Error> {
        let parsed = parse::parse(body)?;
        Ok(Self { main: parsed.main, defined: parsed.defined })
    }

    /// The text, if no data changes it.
    pub(super) fn literal(&self) -> Option<&str> {
        match self.main.as_slice() {
            [] => Some(""),
            [Node::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Writes what the body makes of `data`. Errors: it cannot be evaluated; `out` has what was
    /// written up to there.
    pub(super) fn run<'a>(
        &'a self,
        data: &'a dyn Object<'a>,
        out: &mut String,
    ) -> Result<(), Error> {
        eval::run(self, data, out)
    }

    /// The body as Go writes it down again.
    pub(super) fn source(&self) -> String {
        Nodes(&self.main).to_string()
    }

    /// The fields of the data that are named where it is sure that data is meant: name and place.
    pub(super) fn fields(&self) -> Vec<(&str, usize)> {
        let mut found = Vec::new();
        tree::fields(&self.main, true, &mut found);
        found
    }
}

#[cfg(test)]
mod tests;
