//! The functions of the language.
//!
//! `builtins` lists those that see their arguments only; `lists`, `numbers` and `strings` have their code. `loops`
//! are those that evaluate an expression for each item of a list.

pub(crate) mod builtins;
pub(crate) mod lists;
pub(crate) mod loops;
pub(crate) mod network;
mod numbers;
mod strings;
