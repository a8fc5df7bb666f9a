//! The expression language of `view` and `template`: that of expr-lang.org, as CoreDNS configures it.
//!
//! An expression is parsed and its types are checked once ([`Expr::parse`]). Its evaluation for a query
//! ([`Expr::eval`]) takes the remaining values from an [`Environment`]. Constants (regular
//! expressions, networks, lists) are prepared when the text is parsed, so that the usual conditions
//! do not allocate. It must never know: plugins, sockets, clocks (the time is the environment's).

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

mod arguments;
mod error;
mod eval;
mod functions;
mod loops;
mod network;
mod ops;
mod query;
mod scope;
mod syntax;
mod types;
mod value;

pub use arguments::from_args;
pub use error::Error;
pub use query::QueryEnvironment;
pub use scope::{Environment, Function, Scope};
pub use types::Type;
pub use value::{Held, Key, Map, Value};

/// A text that was understood.
#[derive(Debug)]
pub struct Expr {
    node: syntax::Node,
    kind: Type,
}

impl Expr {
    /// Reads `text`, in which the functions and variables of `scope` are known.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str, scope: &Scope) -> Result<Self, Error> {
        let made = syntax::Parser::new(text, scope)?.whole()?;
        Ok(Self { node: made.node, kind: made.kind })
    }

    /// The type of every result, as far as the text tells.
    pub fn kind(&self) -> &Type {
        &self.kind
    }

    /// The value for this environment, of the same scope as the text was read for.
    ///
    /// # Errors
    /// What cannot be computed: values of wrong types, an index out of range, too much work.
    pub fn eval<'v>(&'v self, env: &'v dyn Environment) -> Result<Value<'v>, Error> {
        eval::Run::new(env).value(&self.node)
    }

    /// Whether the value is `true`.
    ///
    /// # Errors
    /// As [`Expr::eval`].
    #[inline]
    pub fn is_true(&self, env: &dyn Environment) -> Result<bool, Error> {
        self.eval(env).map(|value| matches!(value, Value::Bool(true)))
    }
}

#[cfg(test)]
mod tests;
