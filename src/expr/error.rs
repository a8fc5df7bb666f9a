//! Errors of an expression or its values, and their place in the text.

use std::fmt;

/// A mistake at a place of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where it starts, in bytes.
    pub offset: usize,
    /// How many bytes it is about.
    pub len: usize,
    /// What is wrong.
    pub message: String,
    /// What to do, if there is something to say.
    pub help: Option<String>,
}

impl Error {
    pub(crate) fn at(spot: Spot, message: impl Into<String>) -> Self {
        Self {
            offset: spot.at as usize,
            len: spot.len as usize,
            message: message.into(),
            help: None,
        }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.message, self.offset)
    }
}

impl std::error::Error for Error {}

/// A part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

impl Spot {
    /// From `start` to `end`, at least one byte. Texts are short enough for these numbers.
    pub(crate) fn between(start: usize, end: usize) -> Self {
        Self { at: start as u32, len: end.saturating_sub(start).max(1) as u32 }
    }
}
