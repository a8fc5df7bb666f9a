//! Where messages go and whence: the network, real or simulated, and what is sent there.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::workers::current_worker;

/// Decides whether a message is the expected reply.
pub type Accept<'a> = &'a mut (dyn FnMut(&[u8]) -> bool + Send);

/// Called when the wait of a query is over: what happens next; `None`: it fails.
pub type Patience<'a> = &'a mut (dyn FnMut() -> Option<More> + Send);

/// What happens to a query that has waited in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct More {
    /// The next wait.
    pub wait: Duration,
    /// Whether it is sent again first.
    pub again: bool,
}

/// A message that is sent, and until when its reply is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// From where it is sent.
    pub source: LocalEnd<'a>,
    /// To where.
    pub to: SocketAddr,
    /// The message, which begins with an id that cannot be guessed.
    pub message: &'a [u8],
    /// When to give up.
    pub deadline: Instant,
}

impl<'a> Outgoing<'a> {
    /// A message that is sent from any address, and given up after `timeout`.
    pub fn new(to: SocketAddr, message: &'a [u8], timeout: Duration) -> Self {
        Self { source: LocalEnd::default(), to, message, deadline: Instant::now() + timeout }
    }

    /// The same, sent from `source`.
    pub fn from(self, source: impl Into<LocalEnd<'a>>) -> Self {
        Self { source: source.into(), ..self }
    }

    /// The ends of the socket that it needs.
    pub(crate) fn ends(&self) -> Ends {
        Ends { source: self.source.address, to: self.to, worker: current_worker() }
    }
}

/// Simulated upstreams of a test.
pub trait Simulated: Send + Sync {
    /// The datagrams that come back for `message`, each after its delay; none: it was lost.
    fn udp(&self, to: SocketAddr, message: &[u8]) -> Vec<(Duration, Vec<u8>)>;

    /// The message that comes back over a connection; `None`: it was refused.
    fn tcp(&self, to: SocketAddr, message: &[u8]) -> Option<(Duration, Vec<u8>)>;

    /// The messages that come back over a connection one after the other, each after its delay; `None`: it
    /// was refused.
    fn tcp_messages(&self, to: SocketAddr, message: &[u8]) -> Option<Vec<(Duration, Vec<u8>)>> {
        self.tcp(to, message).map(|one| vec![one])
    }

    /// Whether the port for datagrams is closed.
    fn refuses(&self, to: SocketAddr) -> bool {
        let _ = to;
        false
    }

    /// The bytes that a server of another protocol than DNS returns for `request` over TCP; `None`: it
    /// refuses connections.
    fn raw_tcp(&self, to: SocketAddr, request: &[u8]) -> Option<(Duration, Vec<u8>)> {
        let _ = (to, request);
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

/// The source of a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalEnd<'a> {
    /// The source address; `None`: the system chooses.
    pub address: Option<IpAddr>,
    /// Receives the local address and port of the socket; it costs a system call.
    pub tell: Option<&'a OnceLock<SocketAddr>>,
}

impl From<Option<IpAddr>> for LocalEnd<'_> {
    fn from(address: Option<IpAddr>) -> Self {
        Self { address, tell: None }
    }
}

impl LocalEnd<'_> {
    pub(crate) fn tell(&self, local: impl FnOnce() -> io::Result<SocketAddr>) {
        if let Some(tell) = self.tell
            && let Ok(local) = local()
        {
            // Fails if it is set: the first one counts.
            let _ = tell.set(local);
        }
    }
}

/// The two ends of a socket. A socket for another upstream, from another address or in another runtime
/// is of no use to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) source: Option<IpAddr>,
    pub(crate) to: SocketAddr,
    /// A socket lives in the runtime that opened it.
    pub(crate) worker: Option<usize>,
}
