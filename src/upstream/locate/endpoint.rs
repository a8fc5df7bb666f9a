//! One upstream that was found: its address, and how it is asked.

use std::net::SocketAddr;

use crate::config::Scheme;

/// One address of an upstream, and how it is queried.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    /// The protocol.
    pub(crate) scheme: Scheme,
    /// `Some`: over TLS, with the name that was written behind `%`.
    pub(crate) tls: Option<Option<String>>,
    /// The host name that it was resolved from.
    pub(crate) host: Option<String>,
}

impl Endpoint {
    /// Whether both are the same upstream. Plain DNS or TLS does not count, as in CoreDNS: an
    /// address has one, the first.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let stream = |scheme: &Scheme| matches!(scheme, Scheme::Dns | Scheme::Tls);
        self.address == other.address
            && (self.scheme == other.scheme || stream(&self.scheme) && stream(&other.scheme))
    }
}
