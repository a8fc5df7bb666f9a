//! Go's `text/template`, to the extent that templates of DNS records use it.
//!
//! A template is parsed once ([`Template::parse`]) and evaluated for each query
//! ([`Template::run`]). Data comes through [`Object`]. Everything that a template can do is
//! bounded: its output, its steps, and how deep it nests. It must never know: DNS, plugins, sockets,
//! clocks.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

mod error;
mod eval;
mod functions;
mod syntax;
mod text;
mod value;

pub use error::{Error, MAX_OUTPUT};
pub use value::{List, Map, Member, Object, Of, Value};

/// A parsed template.
pub struct Template {
    parsed: syntax::Parsed,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// The first place that is not Go's syntax.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self { parsed: syntax::parse(text)? })
    }

    /// The output, if it does not depend on data.
    pub fn literal(&self) -> Option<&str> {
        match self.parsed.main.as_slice() {
            [] => Some(""),
            [syntax::Node::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the output for `data` to `out`.
    ///
    /// # Errors
    /// The template cannot be evaluated; `out` has the output up to there.
    pub fn run<'a>(&'a self, data: &'a dyn Object<'a>, out: &mut String) -> Result<(), Error> {
        eval::run(&self.parsed, data, out)
    }

    /// The template as Go prints it. Comments and the templates that it defines are left out.
    pub fn source(&self) -> String {
        syntax::List(&self.parsed.main).to_string()
    }

    /// The fields of the data that the template certainly reads: name and offset.
    pub fn fields(&self) -> Vec<(&str, usize)> {
        let mut found = Vec::new();
        syntax::fields(&self.parsed.main, true, &mut found);
        found
    }
}

#[cfg(test)]
mod tests;
