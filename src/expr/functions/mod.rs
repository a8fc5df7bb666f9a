//! The functions of the language that see their arguments only.
//!
//! `builtins` is their table; `lists`, `numbers` and `strings` have their code.

pub(crate) mod builtins;
pub(crate) mod lists;
mod numbers;
mod strings;
