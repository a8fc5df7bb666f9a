//! How a message is carried, and the family of addresses it comes from.

use std::net::IpAddr;

/// How a query came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Transport {
    /// Plain UDP.
    Udp,
    /// Plain TCP.
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484).
    Https,
    /// DNS over HTTP/3.
    Https3,
    /// DNS over QUIC (RFC 9250).
    Quic,
    /// CoreDNS's gRPC service.
    Grpc,
}

impl Transport {
    /// `udp` or `tcp`, as CoreDNS labels it in metrics and logs.
    pub const fn proto(self) -> &'static str {
        match self {
            Self::Udp | Self::Quic | Self::Https3 => "udp",
            Self::Tcp | Self::Tls | Self::Https | Self::Grpc => "tcp",
        }
    }

    /// Whether the edns-tcp-keepalive option has a meaning (RFC 7828): over QUIC it is an error of the
    /// protocol (RFC 9250 section 5.5.2), and HTTP keeps its connections by itself.
    pub const fn carries_keepalive(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// Whether replies are padded for clients that ask for it: where nobody else sees their octets, their
    /// length still says much (RFC 8467).
    pub const fn pads(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Https3 | Self::Quic)
    }

    /// Whether a reply is bounded by the client's UDP payload size.
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::Udp)
    }
}

/// The family of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// IPv4.
    V4 = 1,
    /// IPv6.
    V6 = 2,
}

impl Family {
    /// The family of `ip`; IPv4 inside IPv6 counts as IPv4.
    pub const fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}
