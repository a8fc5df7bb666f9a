//! Sockets to upstreams, bound and connected.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::Endpoints;

/// The events that a socket with queries in flight waits for. Not writability: the datagram that leaves
/// would wake the task.
pub(crate) const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);

/// A fresh socket of `kind` for `to`, bound to `source` if one is asked for. The system chooses
/// the port at random.
pub(crate) fn socket(source: Option<IpAddr>, to: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::DGRAM { Protocol::UDP } else { Protocol::TCP };
    let open = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(to), kind.nonblocking(), Some(protocol))?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        Ok(socket)
    };
    let proto = if kind == Type::DGRAM { "udp" } else { "tcp" };
    open().map_err(|error| Endpoints::dial_error(proto, source, to, error))
}

/// A fresh UDP socket that is connected to `to`.
pub(crate) fn connected(source: Option<IpAddr>, to: SocketAddr) -> io::Result<AsyncFd<UdpSocket>> {
    let socket = socket(source, to, Type::DGRAM)?;
    let dialled = socket.connect(&to.into());
    dialled.map_err(|error| Endpoints::dial_error("udp", source, to, error))?;
    sys::register(socket.into(), INTEREST)
}

/// The unspecified address of the same family as `to`.
pub fn any_source(to: SocketAddr) -> IpAddr {
    if to.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) }
}
