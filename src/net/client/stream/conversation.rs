//! One connection for one conversation: messages go out, and any number of messages come back in order.
//!
//! A reply of many messages, such as a zone transfer, has a connection of its own. Its reader sets the pace:
//! while it is busy nothing is read, and the window of TCP closes. Nothing runs in the background, so whoever
//! drops the conversation ends it.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use socket2::Type;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{Instant, timeout_at};

use super::task::dial;
use crate::client::error::{Endpoints, GoError, Op, late};
use crate::client::network::{Ends, Network, Simulated};
use crate::client::pooling::CLOSE_TIMEOUT;
use crate::client::socket::socket;
use crate::stream::Stream;
use crate::tls::TransferSession;
use crate::workers::current_worker;

/// The first size of the read buffer: enough for a short reply.
const SMALL: usize = 4 << 10;
/// The largest size of the read buffer. It holds any message, and several of those that transfers have.
const LARGE: usize = 256 << 10;
/// Octets of a message's length.
const LENGTH: usize = 2;

const _: () = assert!(LARGE >= LENGTH + wire::MAX_MESSAGE);

/// How long the steps of a conversation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The connection, the TLS handshake included.
    pub connect: Duration,
    /// The next message, from its first octet to its last, and what precedes it.
    pub idle: Duration,
    /// Everything.
    pub total: Duration,
}

/// A connection to a server that nobody else uses.
pub struct Conversation {
    carrier: Carrier,
    endpoints: Endpoints,
    idle: Duration,
    deadline: Instant,
    buffer: Vec<u8>,
    /// Octets of the buffer that were handed out before.
    used: usize,
    /// A message was sent in part only, or the connection failed.
    broken: bool,
}

enum Carrier {
    Os(Stream),
    Simulated {
        world: Arc<dyn Simulated>,
        /// The messages that come, and when; the last one that was handed out is in the buffer.
        coming: VecDeque<(Instant, Vec<u8>)>,
    },
}

impl Conversation {
    /// Connects to `to`, from `source` if one is given, over TCP or over the TLS of `session`. The total
    /// wait begins now.
    ///
    /// # Errors
    /// `TimedOut` if it takes too long; otherwise the error of the system or of TLS.
    pub async fn open(
        network: &Network,
        source: Option<IpAddr>,
        to: SocketAddr,
        session: Option<&TransferSession>,
        waits: Waits,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let deadline = now + waits.total;
        let mut endpoints = Endpoints { proto: "tcp", local: None, remote: to };
        let carrier = match network {
            Network::Simulated(world) => {
                endpoints = Endpoints::simulated("tcp", to);
                Carrier::Simulated { world: Arc::clone(world), coming: VecDeque::new() }
            }
            Network::Os => {
                let local = OnceLock::new();
                let opened = connect(source, to, session, &local);
                let opened = timeout_at(deadline.min(now + waits.connect), opened).await;
                let late = |_| Err(Endpoints::dial_error("tcp", source, to, late()));
                let stream = opened.unwrap_or_else(late)?;
                endpoints.local = local.into_inner();
                Carrier::Os(stream)
            }
        };
        let buffer = Vec::new();
        Ok(Self { carrier, endpoints, idle: waits.idle, deadline, buffer, used: 0, broken: false })
    }

    /// Sends a message. After an error, or if it was dropped half way, the connection is useless.
    ///
    /// # Errors
    /// `TimedOut` if the other side takes nothing; otherwise the error of the system or of TLS.
    pub async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.begin()?;
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let length = u16::try_from(message.len()).map_err(invalid)?;
        let end = self.next_deadline();
        match &mut self.carrier {
            Carrier::Os(stream) => {
                let framed = [&length.to_be_bytes(), message].concat();
                let written = async {
                    stream.write_all(&framed).await?;
                    stream.flush().await
                };
                let written = timeout_at(end, written).await.unwrap_or_else(|_| Err(late()));
                written.map_err(|error| self.endpoints.tell(Op::Write, error))?;
            }
            Carrier::Simulated { world, coming } => {
                let now = Instant::now();
                let to = self.endpoints.remote;
                let Some(messages) = world.tcp_messages(to, message) else {
                    let refused = io::ErrorKind::ConnectionRefused.into();
                    return Err(Endpoints::dial_error("tcp", None, to, refused));
                };
                coming.extend(messages.into_iter().map(|(delay, bytes)| (now + delay, bytes)));
            }
        }
        self.broken = false;
        Ok(())
    }

    /// Waits for the next message. A call that was dropped lost nothing.
    ///
    /// # Errors
    /// `TimedOut` if the idle or the total wait is over, `UnexpectedEof` if the other side ended the
    /// connection; otherwise the error of the system or of TLS.
    pub async fn next(&mut self) -> io::Result<&[u8]> {
        if self.broken {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let end = self.next_deadline();
        let filled = match timeout_at(end, self.fill()).await {
            Ok(filled) => filled,
            Err(_) => Err(late()),
        };
        match filled {
            Ok(length) => {
                let start = self.used + LENGTH;
                self.used = start + length;
                Ok(&self.buffer[start..self.used])
            }
            Err(error) => {
                self.broken = true;
                Err(self.endpoints.tell(Op::Read, error))
            }
        }
    }

    /// Whether the total wait is over.
    pub fn is_overdue(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Ends the connection in order, which TLS asks for (RFC 8446 section 6.1). Dropping it is enough where
    /// nobody cares.
    pub async fn close(mut self) {
        if let Carrier::Os(stream) = &mut self.carrier {
            // Whether the other side hears it does not matter.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
        }
    }

    /// Marks the connection as broken until what begins now is done.
    fn begin(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.broken, true) {
            true => Err(io::ErrorKind::NotConnected.into()),
            false => Ok(()),
        }
    }

    fn next_deadline(&self) -> Instant {
        self.deadline.min(Instant::now() + self.idle)
    }

    /// Reads until a whole message lies at `used`; its length.
    async fn fill(&mut self) -> io::Result<usize> {
        loop {
            let rest = &self.buffer[self.used..];
            let mut wanted = LENGTH;
            if let Some((length, message)) = rest.split_first_chunk::<LENGTH>() {
                let length = usize::from(u16::from_be_bytes(*length));
                if message.len() >= length {
                    return Ok(length);
                }
                wanted += length;
            }
            let have = rest.len();
            match &mut self.carrier {
                Carrier::Os(stream) => {
                    // A buffer that was filled once is too small.
                    let was_full = self.buffer.len() == self.buffer.capacity();
                    let room = self.buffer.capacity().max(SMALL / 2);
                    let room = if was_full { (room * 2).min(LARGE) } else { room };
                    self.buffer.drain(..std::mem::take(&mut self.used));
                    self.buffer.reserve_exact(room.max(wanted) - have);
                    if stream.read_buf(&mut self.buffer).await? == 0 {
                        return Err(ended(have));
                    }
                }
                Carrier::Simulated { coming, .. } => {
                    let Some((at, message)) = coming.front() else {
                        return std::future::pending().await;
                    };
                    tokio::time::sleep_until(*at).await;
                    self.buffer.drain(..std::mem::take(&mut self.used));
                    self.buffer.extend_from_slice(&(message.len() as u16).to_be_bytes());
                    self.buffer.extend_from_slice(message);
                    coming.pop_front();
                }
            }
        }
    }
}

/// Opens a connection, and stores its local address in `local`.
async fn connect(
    source: Option<IpAddr>,
    to: SocketAddr,
    session: Option<&TransferSession>,
    local: &OnceLock<SocketAddr>,
) -> io::Result<Stream> {
    let ends = Ends { source, to, worker: current_worker() };
    let socket = TcpSocket::from_std_stream(socket(source, to, Type::STREAM)?.into());
    let stream = dial(socket, ends, local).await?;
    let Some(session) = session else { return Ok(Box::new(stream)) };
    let endpoints = Endpoints { proto: "tcp", local: local.get().copied(), remote: to };
    let greeted = session.handshake(stream).await;
    Ok(Box::new(greeted.map_err(|error| endpoints.tell(Op::Read, error))?))
}

/// The connection ended, with `have` octets of a message.
fn ended(have: usize) -> io::Error {
    match have {
        0 => io::ErrorKind::UnexpectedEof.into(),
        _ => GoError { text: "unexpected EOF".to_owned(), number: None }
            .error(io::ErrorKind::UnexpectedEof),
    }
}
