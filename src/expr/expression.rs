//! An expression, from its text to its value.

use crate::eval::run::Run;
use crate::functions::builtins::LIBRARY;
use crate::language::parser::Parser;
use crate::tree::node::Node;
use crate::{Environment, Error, Scope, Type, Value};

/// An expression whose syntax and types were checked.
#[derive(Debug)]
pub struct Expr {
    node: Node,
    kind: Type,
}

impl Expr {
    /// Reads `text`, in which the functions and variables of `scope` are known.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str, scope: &Scope) -> Result<Self, Error> {
        let made = Parser::new(text, scope, LIBRARY)?.whole()?;
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
        Run::new(env).value(&self.node)
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

impl Scope {
    /// Whether a function, of the environment or of the language, or a variable has this name.
    pub fn is_taken(&self, name: &str) -> bool {
        self.has(name) || LIBRARY.has(name)
    }
}
