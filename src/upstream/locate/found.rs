//! One upstream that was found: its address, and how it is asked.

use std::net::SocketAddr;

use crate::config::Scheme;

/// Whom to ask, and how.
pub(crate) struct Found {
    pub(crate) address: SocketAddr,
    /// What is spoken.
    pub(crate) scheme: Scheme,
    /// Over TLS; and the name that was written behind `%`.
    pub(crate) tls: Option<Option<String>>,
    /// The name it was found by.
    pub(crate) host: Option<String>,
}

impl Found {
    /// Whether both are the same upstream. Plain DNS or TLS does not count, as in CoreDNS: an
    /// address has one, the first.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let stream = |scheme: &Scheme| matches!(scheme, Scheme::Dns | Scheme::Tls);
        self.address == other.address
            && (self.scheme == other.scheme || stream(&self.scheme) && stream(&other.scheme))
    }
}
