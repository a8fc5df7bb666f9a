//! Sockets bound side by side, so that the kernel spreads clients over the workers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};

/// Octets of each UDP socket's buffers; the system may permit less.
const UDP_BUFFER: usize = 4 << 20;
/// Octets that the system takes from a connection beyond those that it can send (TCP_NOTSENT_LOWAT).
/// More would only delay the answers behind them.
#[cfg(target_os = "linux")]
const TCP_UNSENT: u32 = 64 << 10;
/// Connections in the accept queue.
const BACKLOG: i32 = 1024;
/// Attempts to find a port that is free for both UDP and TCP.
const PORT_TRIES: usize = 32;

/// The sockets of one worker.
pub(crate) struct Pair {
    pub(crate) udp: Option<UdpSocket>,
    pub(crate) tcp: TcpListener,
}

/// All sockets of one address.
pub(crate) struct Bound {
    pub(crate) local: SocketAddr,
    pub(crate) pairs: Vec<Pair>,
}

/// Binds `count` pairs to `addr`, or TCP sockets only.
pub(crate) fn bind(addr: SocketAddr, count: usize, datagrams: bool) -> io::Result<Bound> {
    match bind_port(addr, count, datagrams) {
        // A host without IPv6 can serve all of its IPv4 addresses.
        Err(error) if addr.is_ipv6() && is_wildcard(addr) && lacks_ipv6(&error) => {
            let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), addr.port());
            bind_port(any, count, datagrams)
        }
        other => other,
    }
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

fn bind_port(addr: SocketAddr, count: usize, datagrams: bool) -> io::Result<Bound> {
    let mut tries = if addr.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        match bind_all(addr, count, datagrams) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            other => return other,
        }
    }
}

fn bind_all(mut addr: SocketAddr, count: usize, datagrams: bool) -> io::Result<Bound> {
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let udp = if datagrams { Some(bind_udp(addr)?) } else { None };
        if let Some(udp) = &udp {
            addr = udp.local_addr()?;
        }
        let tcp = bind_tcp(addr)?;
        addr = tcp.local_addr()?;
        pairs.push(Pair { udp, tcp });
    }
    Ok(Bound { local: addr, pairs })
}

fn socket(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind.nonblocking(), Some(protocol))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!is_wildcard(addr))?;
    }
    socket.set_reuse_port(true)?;
    Ok(socket)
}

fn bind_udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(addr, Type::DGRAM, Protocol::UDP)?;
    sys::set_buffers(socket.as_fd(), UDP_BUFFER);
    if is_wildcard(addr) {
        sys::request_destination(socket.as_fd(), addr.is_ipv6())?;
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn bind_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(addr, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    // Accepted connections inherit these options.
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(TCP_UNSENT)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether an address is the wildcard of its family.
pub(crate) fn is_wildcard(addr: SocketAddr) -> bool {
    addr.ip().is_unspecified()
}
