//! Tests with primaries that this code makes up, good ones and hostile ones.

mod asking;
mod assembling;
mod hostile;
mod kit;
mod properties;
