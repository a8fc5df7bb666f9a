//! Why something is not a name.

use std::fmt;

/// Why a text or bytes are not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Two dots in a row, or nothing at all.
    EmptyLabel,
    /// A label of more than 63 bytes.
    LongLabel,
    /// More than 255 bytes in wire form.
    LongName,
    /// A backslash that is not followed by a character or three digits up to 255.
    BadEscape,
    /// Not an uncompressed wire name.
    Malformed,
}

impl NameError {
    /// The error in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmptyLabel => "a label is empty",
            Self::LongLabel => "a label is longer than 63 bytes",
            Self::LongName => "the name is longer than 255 bytes",
            Self::BadEscape => "a `\\` must be followed by a character or three digits up to 255",
            Self::Malformed => "the bytes are not a name",
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for NameError {}
