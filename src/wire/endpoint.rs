//! Where a server listens, and what it speaks there.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What is spoken on an endpoint, as the scheme of a server block's key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain DNS, over UDP and TCP on the same port.
    Dns,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over QUIC (RFC 9250).
    Quic,
    /// CoreDNS's gRPC service.
    Grpc,
    /// DNS over HTTPS (RFC 8484).
    Https,
    /// DNS over HTTP/3.
    Https3,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Dns, Self::Tls, Self::Quic, Self::Grpc, Self::Https, Self::Https3];

    /// Its name, which stands before `://`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Grpc => "grpc",
            Self::Https => "https",
            Self::Https3 => "https3",
        }
    }

    /// The scheme of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }

    /// The port where none is given: CoreDNS's.
    pub const fn port(self) -> u16 {
        match self {
            Self::Dns => 53,
            Self::Tls | Self::Quic => 853,
            Self::Grpc | Self::Https | Self::Https3 => 443,
        }
    }
}

/// An address and what is spoken there: the identity of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// What is spoken.
    pub scheme: Scheme,
    /// The address; `[::]` stands for IPv4 too.
    pub address: SocketAddr,
}

impl Endpoint {
    /// Plain DNS on `address`.
    pub const fn dns(address: SocketAddr) -> Self {
        Self { scheme: Scheme::Dns, address }
    }

    /// The endpoint on all addresses.
    pub const fn any(scheme: Scheme, port: u16) -> Self {
        Self { scheme, address: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port) }
    }
}

/// As CoreDNS labels a server in metrics: `dns://:53`, `tls://192.0.2.1:853`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, address } = self;
        match address.ip() {
            ip if ip.is_unspecified() => write!(f, "{}://:{}", scheme.name(), address.port()),
            _ => write!(f, "{}://{address}", scheme.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_look_like_coredns_s_servers() {
        assert_eq!(Endpoint::any(Scheme::Dns, 53).to_string(), "dns://:53");
        assert_eq!(Endpoint::any(Scheme::Https3, 443).to_string(), "https3://:443");
        let on = Endpoint { scheme: Scheme::Tls, address: "[2001:db8::1]:853".parse().unwrap() };
        assert_eq!(on.to_string(), "tls://[2001:db8::1]:853");
        for scheme in Scheme::ALL {
            assert_eq!(Scheme::from_name(scheme.name()), Some(scheme));
        }
        assert_eq!(Scheme::from_name("htps"), None);
    }
}
