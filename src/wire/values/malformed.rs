//! The error of bytes that are not what they should be.

use std::fmt;

/// The bytes do not hold what they promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed DNS message")
    }
}

impl std::error::Error for Malformed {}
