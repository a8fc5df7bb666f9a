//! From text to a tree whose types are checked.
//!
//! The lexer (`lex`) reads tokens, the `parser` reads expressions by their precedence, and `build` makes the
//! nodes of the `tree` and checks their types.

mod build;
pub(crate) mod lex;
pub(crate) mod parser;
pub(crate) mod tree;
