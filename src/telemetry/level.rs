//! The levels of log lines and their words.

/// The level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Only with the `debug` directive.
    Debug,
    /// Normal events.
    Info,
    /// Events that deserve attention.
    Warning,
    /// Failures.
    Error,
    /// The reason why the process ends.
    Fatal,
}

impl Level {
    /// The word in JSON, as Go's `slog` has it.
    pub const fn json(self) -> &'static str {
        match self {
            Self::Warning => "WARN",
            other => other.word(),
        }
    }

    /// The word in brackets, as CoreDNS prints it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}
