//! From text to a tree whose types are checked.
//!
//! The lexer (`lex`) reads tokens, the `parser` reads expressions by their precedence, `build` makes the
//! nodes of the tree and checks their types, and `loops` does so for the functions that run over an array.

mod build;
mod lex;
mod loops;
pub(crate) mod parser;
