//! Connections to an upstream, of whichever kind: one door for all that is not a datagram.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;

use super::error::{InvalidReply, invalid_reply};
use super::multiplexed::{CarrierPool, LastUse, Over};
use super::network::{Accept, Network, Outgoing};
use super::pooling::PoolOptions;
use super::simulated;
use super::stream::StreamPool;

/// An answer, and how it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The reply.
    pub reply: Vec<u8>,
    /// Over a connection that was not opened for the question.
    pub reused: bool,
    /// For how many seconds it lay in a cache of HTTP on the way (RFC 8484 section 5.1).
    pub age: u32,
}

/// Connections to one upstream.
pub struct Connections(Pools);

enum Pools {
    Streams(StreamPool),
    Carriers(CarrierPool),
}

impl Connections {
    /// Connections like that; the TLS of `options` is that of `over`.
    pub fn new(over: &Over, options: PoolOptions) -> Self {
        Self::with(over, options, Arc::new(LastUse::new()))
    }

    /// For one question over a connection of its own.
    pub fn once(over: &Over) -> Self {
        Self::new(over, PoolOptions::once(None))
    }

    /// The same, `count` times: none closes its last connection while others are used.
    pub fn several(over: &Over, options: &PoolOptions, count: usize) -> Box<[Self]> {
        let used = Arc::new(LastUse::new());
        (0..count).map(|_| Self::with(over, options.clone(), Arc::clone(&used))).collect()
    }

    fn with(over: &Over, options: PoolOptions, used: Arc<LastUse>) -> Self {
        let streams =
            |session| Pools::Streams(StreamPool::new(PoolOptions { session, ..options.clone() }));
        Self(match over {
            Over::Tcp => streams(None),
            Over::Tls(session) => streams(Some(session.clone())),
            Over::Https(..) | Over::Quic(_) | Over::H3(..) => {
                Pools::Carriers(CarrierPool::new(over.clone(), options, used))
            }
        })
    }

    /// Opens a connection ahead of the first question, in the runtime this is called in, if there
    /// is none.
    pub fn warm(&self, source: Option<IpAddr>, to: SocketAddr) {
        match &self.0 {
            Pools::Streams(pool) => pool.warm(source, to),
            Pools::Carriers(pool) => pool.warm(source, to),
        }
    }

    /// Sends a message and waits for a reply that `accept` accepts. If
    /// the connection dies that served others too, the message is sent once more over a fresh one.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `UnexpectedEof` if the upstream hangs up, an [`InvalidReply`] inside if
    /// it returned no valid reply, [`super::ConnectionsFull`] inside if too many wait; otherwise the
    /// error of the system or of TLS.
    pub async fn ask(
        &self,
        network: &Network,
        sent: Outgoing<'_>,
        accept: Accept<'_>,
    ) -> io::Result<Carried> {
        let pool = match &self.0 {
            Pools::Streams(pool) => {
                let (reply, reused) = pool.ask(network, sent, accept).await?;
                return Ok(Carried { reply, reused: reused.0, age: 0 });
            }
            Pools::Carriers(pool) => pool,
        };
        let (ours, framed) = framed(sent.message)?;
        let sent = Outgoing { message: &framed[2..], ..sent };
        if let Network::Simulated(world) = network {
            let mut restored = |reply: &[u8]| accept(&with_id(reply, ours));
            let reply = simulated::stream(&**world, sent, &mut restored)
                .await
                .map_err(|error| pool.tell(sent.to, &framed, error))?;
            return Ok(Carried { reply: with_id(&reply, ours), reused: false, age: 0 });
        }
        let asked = pool.ask(sent, &framed).await;
        let (answer, reused) = asked.map_err(|error| pool.tell(sent.to, &framed, error))?;
        let reply = with_id(&answer.message, ours);
        if !accept(&reply) {
            // There is one answer on a stream; no better one follows.
            return Err(invalid_reply(InvalidReply(
                "what came is no reply to the question".to_owned(),
            )));
        }
        Ok(Carried { reply, reused, age: answer.age })
    }
}

/// The id of a message, and the message behind its length with zero for it (RFC 8484 section 4.1,
/// RFC 9250 section 4.2.1).
fn framed(message: &[u8]) -> io::Result<([u8; 2], Bytes)> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let length = u16::try_from(message.len()).map_err(|_| invalid())?;
    let (&ours, rest) = message.split_first_chunk::<2>().ok_or_else(invalid)?;
    Ok((ours, [&length.to_be_bytes(), &[0, 0][..], rest].concat().into()))
}

/// A reply with the id that was asked with, if it has none.
fn with_id(reply: &[u8], ours: [u8; 2]) -> Vec<u8> {
    let mut reply = reply.to_vec();
    if let Some(id) = reply.first_chunk_mut::<2>()
        && *id == [0, 0]
    {
        *id = ours;
    }
    reply
}
