//! The client side: sends queries to upstreams, over the system's network or over a test's.

mod carrier;
mod carriers;
mod connection;
mod connections;
mod datagrams;
mod grpc;
mod h3;
mod http2;
mod https;
mod pool;
mod port;
mod quic;
mod redis;
pub mod resp;
mod template;
mod told;
mod web;

use std::cmp::Reverse;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

pub use connections::{Carried, Connections, Over};
pub use datagrams::{DatagramPool, Watch};
pub use grpc::{GrpcClient, GrpcError, GrpcStatus};
pub use http2::Place;
pub use pool::{PoolOptions, Reused, StreamPool};
pub use quic::QuicSession;
pub use redis::{Lost, RedisClient, RedisError, RedisOptions, Tell};
pub use template::Template;
pub use told::{number, words};
pub use web::{Method, Resource};

use told::{Between, Op};

/// What a socket that waits for a reply is watched for. Not for writing: the datagram that leaves
/// would wake us.
const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);

/// Says whether a message is the reply waited for.
pub type Accept<'a> = &'a mut (dyn FnMut(&[u8]) -> bool + Send);

/// Asked when a query has waited for as long as it was to: what more is done; `None`: nothing.
pub type Patience<'a> = &'a mut (dyn FnMut() -> Option<More> + Send);

/// What is done for a query that has waited in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct More {
    /// It waits for so long.
    pub wait: Duration,
    /// It is sent once more before.
    pub again: bool,
}

/// Upstreams that a test made up.
pub trait Simulated: Send + Sync {
    /// The datagrams that come back for `message`, each after its delay; none: it was lost.
    fn udp(&self, to: SocketAddr, message: &[u8]) -> Vec<(Duration, Vec<u8>)>;

    /// The message that comes back over a connection; `None`: it was refused.
    fn tcp(&self, to: SocketAddr, message: &[u8]) -> Option<(Duration, Vec<u8>)>;

    /// Whether nobody listens there for datagrams.
    fn refuses(&self, to: SocketAddr) -> bool {
        let _ = to;
        false
    }

    /// What a Redis says to a command; `None`: there is none.
    fn redis(&self, to: SocketAddr, command: &[u8]) -> Option<(Duration, Vec<u8>)> {
        let _ = (to, command);
        None
    }
}

/// Where upstreams are.
#[derive(Clone)]
pub enum Network {
    /// Behind the system's sockets.
    Os,
    /// In a test's imagination.
    Simulated(Arc<dyn Simulated>),
}

/// Where to ask from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Source<'a> {
    /// This address; none: what the system chooses.
    pub address: Option<IpAddr>,
    /// Whoever wants to know gets the address and port it was in the end; it costs a system call.
    pub tell: Option<&'a OnceLock<SocketAddr>>,
}

impl From<Option<IpAddr>> for Source<'_> {
    fn from(address: Option<IpAddr>) -> Self {
        Self { address, tell: None }
    }
}

impl Source<'_> {
    fn tell(&self, local: impl FnOnce() -> io::Result<SocketAddr>) {
        if let Some(tell) = self.tell
            && let Ok(local) = local()
        {
            // Fails if it was told before: the first one counts.
            let _ = tell.set(local);
        }
    }
}

/// Between whom a socket is; one for another upstream, from another address or in another runtime
/// is of no use to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    source: Option<IpAddr>,
    to: SocketAddr,
    /// A socket lives in the runtime that opened it.
    worker: Option<usize>,
}

impl Network {
    /// Sends `message` from a fresh port and waits for a reply that `accept` says yes to; whatever
    /// else comes (forged, late) is ignored.
    ///
    /// # Errors
    /// `TimedOut` after `timeout`; else what the system says, `ConnectionRefused` among it.
    pub async fn ask_udp(
        &self,
        source: impl Into<Source<'_>>,
        to: SocketAddr,
        message: &[u8],
        timeout: Duration,
        into: &mut Vec<u8>,
        accept: Accept<'_>,
    ) -> io::Result<()> {
        let end = Instant::now() + timeout;
        match self {
            Self::Os => {
                let source = source.into();
                let socket = connected(source.address, to)?;
                source.tell(|| socket.get_ref().local_addr());
                let local = socket.get_ref().local_addr().ok();
                let between = Between { proto: "udp", local, remote: to };
                let tell = |error| between.tell(Op::Read, error);
                socket.get_ref().send(message).map_err(tell)?;
                tokio::time::timeout_at(end, receive(&socket, into, accept))
                    .await
                    .unwrap_or_else(|_| Err(late()))
                    .map_err(tell)
            }
            Self::Simulated(world) => {
                simulated(&**world, to, message, timeout, &mut || None, into, accept).await
            }
        }
    }
}

/// Asks an upstream that a test made up.
async fn simulated(
    world: &dyn Simulated,
    to: SocketAddr,
    message: &[u8],
    wait: Duration,
    patience: Patience<'_>,
    into: &mut Vec<u8>,
    accept: Accept<'_>,
) -> io::Result<()> {
    let start = Instant::now();
    let mut end = start + wait;
    let tell = |error| Between::simulated("udp", to).tell(Op::Read, error);
    let ask = |passed: Duration| {
        let datagrams = world.udp(to, message);
        datagrams.into_iter().map(move |(delay, datagram)| (passed + delay, datagram))
    };
    // The next one last.
    let mut datagrams: Vec<_> = ask(Duration::ZERO).collect();
    if world.refuses(to) {
        return Err(tell(io::ErrorKind::ConnectionRefused.into()));
    }
    datagrams.sort_by_key(|(delay, _)| Reverse(*delay));
    loop {
        match datagrams.pop_if(|(delay, _)| start + *delay <= end) {
            Some((delay, datagram)) => {
                tokio::time::sleep_until(start + delay).await;
                if accept(&datagram) {
                    *into = datagram;
                    return Ok(());
                }
            }
            None => {
                tokio::time::sleep_until(end).await;
                let more = patience().ok_or_else(|| tell(late()))?;
                if more.again {
                    datagrams.extend(ask(end - start));
                    datagrams.sort_by_key(|(delay, _)| Reverse(*delay));
                }
                end += more.wait;
            }
        }
    }
}

/// Receives until `accept` says yes.
async fn receive(
    socket: &AsyncFd<UdpSocket>,
    into: &mut Vec<u8>,
    accept: Accept<'_>,
) -> io::Result<()> {
    loop {
        // An ICMP error makes the socket neither readable nor writable.
        let mut ready = socket.ready(INTEREST).await?;
        match sys::receive_into(socket.get_ref().as_fd(), into) {
            Ok(()) if accept(into) => return Ok(()),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// An upstream is there, but what it gave is no reply. Found inside an [`io::Error`].
#[derive(Debug)]
pub struct Unfit(pub String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

fn unfit(why: Unfit) -> io::Error {
    io::Error::other(why)
}

/// All connections to an upstream are full, and too many wait for a place. Found inside an
/// [`io::Error`].
#[derive(Debug)]
pub struct Crowded;

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many queries wait for a place on a connection")
    }
}

impl std::error::Error for Crowded {}

/// Asks over a connection to an upstream that a test made up.
async fn simulated_stream(
    world: &dyn Simulated,
    to: SocketAddr,
    message: &[u8],
    end: Instant,
    into: &mut Vec<u8>,
    accept: Accept<'_>,
) -> io::Result<()> {
    let Some((delay, reply)) = world.tcp(to, message) else {
        let refused = io::ErrorKind::ConnectionRefused.into();
        return Err(Between::dialled("tcp", None, to, refused));
    };
    let comes = Instant::now() + delay;
    tokio::time::sleep_until(comes.min(end)).await;
    if comes <= end && accept(&reply) {
        *into = reply;
        return Ok(());
    }
    tokio::time::sleep_until(end).await;
    Err(Between::simulated("tcp", to).tell(Op::Read, late()))
}

/// A fresh socket of `kind` for `to`, bound to `source` if one is asked for. The system chooses
/// the port at random.
fn socket(source: Option<IpAddr>, to: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::DGRAM { Protocol::UDP } else { Protocol::TCP };
    let open = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(to), kind.nonblocking(), Some(protocol))?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        Ok(socket)
    };
    let proto = if kind == Type::DGRAM { "udp" } else { "tcp" };
    open().map_err(|error| Between::dialled(proto, source, to, error))
}

fn connected(source: Option<IpAddr>, to: SocketAddr) -> io::Result<AsyncFd<UdpSocket>> {
    let socket = socket(source, to, Type::DGRAM)?;
    let dialled = socket.connect(&to.into());
    dialled.map_err(|error| Between::dialled("udp", source, to, error))?;
    sys::register(socket.into(), INTEREST)
}

/// The address that stands for no particular one, of the same family as `to`.
pub fn any_source(to: SocketAddr) -> IpAddr {
    if to.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) }
}
