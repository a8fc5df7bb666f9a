//! From text to a checked tree.

mod lex;
mod make;
mod parse;
mod tree;

pub(crate) use parse::{Frame, Parser};
pub(crate) use tree::{Loop, Made, Member, Node, Slice};
