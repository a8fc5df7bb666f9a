//! Why an update is not made.

use std::fmt;

use wire::Rcode;

/// Why an update is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rcode for the client (RFC 2136 section 2.2).
    pub rcode: Rcode,
    /// The reason, for the operator.
    pub why: String,
}

impl Refusal {
    /// A refusal with this rcode.
    pub fn new(rcode: Rcode, why: impl Into<String>) -> Self {
        Self { rcode, why: why.into() }
    }

    pub(crate) fn formerr(why: impl Into<String>) -> Self {
        Self::new(Rcode::FORMERR, why)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rcode, self.why)
    }
}
