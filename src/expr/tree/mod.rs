//! The tree of a checked expression, and what its nodes name.
//!
//! A `node` names operators (`operator`), functions (`signature`), functions that run over an array
//! (`loops`) and address ranges (`network`). It must never know: the parser that makes it, the code of the
//! functions, the evaluator that walks it.

pub(crate) mod loops;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod operator;
pub(crate) mod signature;
