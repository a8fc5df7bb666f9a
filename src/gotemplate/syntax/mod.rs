//! From text to tree, and back to the text that Go prints.

mod lex;
mod parse;
mod tree;

pub(crate) use parse::parse;
pub(crate) use tree::{Branch, Command, List, Node, Operand, Parsed, Pipe, Term, fields};
