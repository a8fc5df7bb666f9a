//! From text to server blocks: words, their braces, imports and variables.

mod braces;
mod import;
mod lex;
mod nesting;
mod parser;
mod secret;
mod variables;

pub use parser::{parse, parse_behind};
