//! The error field of TSIG records (RFC 8945 section 3). It shares numbers with rcodes, but 16 is another.

use std::fmt;

/// The error of a TSIG record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TsigError(pub u16);

impl TsigError {
    /// The signature is good.
    pub const NONE: Self = Self(0);
    /// The MAC is another.
    pub const BADSIG: Self = Self(16);
    /// The key, or its algorithm, is unknown.
    pub const BADKEY: Self = Self(17);
    /// The time of the signature is too far from the server's.
    pub const BADTIME: Self = Self(18);
    /// The MAC is truncated more than the key allows.
    pub const BADTRUNC: Self = Self(22);
}

impl fmt::Display for TsigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.pad("NOERROR"),
            Self::BADSIG => f.pad("BADSIG"),
            Self::BADKEY => f.pad("BADKEY"),
            Self::BADTIME => f.pad("BADTIME"),
            Self::BADTRUNC => f.pad("BADTRUNC"),
            Self(other) => write!(f, "error {other}"),
        }
    }
}
