//! The expression language of `view` and `template`: that of expr-lang.org, as CoreDNS configures it.
//!
//! An expression is parsed and its types are checked once ([`Expr::parse`]). Its evaluation for a query
//! ([`Expr::eval`]) takes the remaining values from an [`Environment`]. Constants (regular
//! expressions, networks, lists) are prepared when the text is parsed, so that the usual conditions
//! do not allocate. It must never know: plugins, sockets, clocks (the time is the environment's).

mod error;
mod eval;
mod functions;
mod language;
mod ops;
mod query;
mod scope;
mod types;
mod value;

pub use error::{Error, from_args};
pub use query::QueryEnvironment;
pub use scope::{Environment, Function, Scope};
pub use types::Type;
pub use value::{Held, Key, Map, Value};

/// An expression whose syntax and types were checked.
#[derive(Debug)]
pub struct Expr {
    node: language::tree::Node,
    kind: Type,
}

impl Expr {
    /// Reads `text`, in which the functions and variables of `scope` are known.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str, scope: &Scope) -> Result<Self, Error> {
        let made = language::parser::Parser::new(text, scope)?.whole()?;
        Ok(Self { node: made.node, kind: made.kind })
    }

    /// The type of every result, as far as it is known without an environment.
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
