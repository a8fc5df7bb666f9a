//! The expression language of `view` and `template`: that of expr-lang.org, as CoreDNS configures it.
//!
//! An expression is parsed and its types are checked once ([`Expr::parse`]). Its evaluation for a query
//! ([`Expr::eval`]) takes the remaining values from an [`Environment`]. Constants (regular
//! expressions, networks, lists) are prepared when the text is parsed, so that the usual conditions
//! do not allocate. It must never know: plugins, sockets, clocks (the time is the environment's).

mod arguments;
mod error;
mod eval;
mod expression;
mod functions;
mod language;
mod ops;
mod query;
mod scope;
mod tree;
mod types;
mod value;

pub use arguments::from_args;
pub use error::Error;
pub use expression::Expr;
pub use query::QueryEnvironment;
pub use scope::{Environment, Function, Scope};
pub use types::Type;
pub use value::{Held, Key, Map, Value};

#[cfg(test)]
mod tests;
