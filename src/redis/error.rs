//! Failures of a command.

use std::fmt;
use std::io;

/// A command that failed.
#[derive(Debug)]
pub enum RedisError {
    /// Redis failed a moment ago; no command is sent until it answers a probe.
    Suspended,
    /// Too many commands are pending.
    Busy,
    /// The connection failed, or the reply was late.
    Network(io::Error),
    /// Redis returned an error.
    Refused(String),
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suspended => f.write_str("not tried again yet after a failure"),
            Self::Busy => f.write_str("too many commands are waiting"),
            Self::Network(error) if error.kind() == io::ErrorKind::TimedOut => {
                f.write_str("no answer in time")
            }
            Self::Network(error) => error.fmt(f),
            Self::Refused(message) => f.write_str(message),
        }
    }
}

impl RedisError {
    pub(crate) fn refused(message: &[u8]) -> Self {
        Self::Refused(String::from_utf8_lossy(message).into_owned())
    }
}

pub(crate) fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

pub(crate) fn not_a_reply() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not a Redis reply")
}
