//! Values as text, as Go's `strconv`, `fmt` and escapes read and write them.

pub(crate) mod escape;
pub(crate) mod number;
pub(crate) mod print;
pub(crate) mod quote;
