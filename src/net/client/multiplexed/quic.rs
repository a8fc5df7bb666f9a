//! DNS over QUIC (RFC 9250) as a client, and the QUIC below HTTP/3.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, ConnectionError, Endpoint, EndpointConfig, ReadError, ReadToEndError, RecvStream,
    TokioRuntime, TransportConfig, VarInt, WriteError,
};
use socket2::Type;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::broken::Broken;
use crate::client::error::{InvalidReply, invalid_reply};
use crate::client::http::Answer;
use crate::client::network::Ends;
use crate::client::socket::{any_source, socket};
use crate::tls::Session;

/// What TLS calls DNS over QUIC (RFC 9250 section 7.1).
const ALPN: &[u8] = b"doq";

/// RFC 9250 section 4.3.
pub(super) const NO_ERROR: VarInt = VarInt::from_u32(0);
/// The same in HTTP/3 (RFC 9114 section 8.1).
pub(super) const H3_NO_ERROR: VarInt = VarInt::from_u32(0x100);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);

/// The longest message with its length.
const MAX_FRAME: usize = 2 + 65_535;
/// What a server may send before we have read it, on one stream and on all together.
const STREAM_WINDOW: VarInt = VarInt::from_u32(128 * 1024);
const WINDOW: VarInt = VarInt::from_u32(1 << 20);
/// The idle timeout. Queries that wait for an answer notice a dead connection sooner.
const MAX_IDLE: VarInt = VarInt::from_u32(30_000);
/// In half of the time in which something must come back that long: at least this.
const MIN_PATIENCE: Duration = Duration::from_millis(250);

/// The expected server, and the protocol.
#[derive(Clone)]
pub struct QuicSession {
    session: Session,
    config: ClientConfig,
}

impl QuicSession {
    /// For DNS over QUIC.
    pub(super) fn dns(session: &Session) -> Result<Self, String> {
        let mut transport = transport();
        // RFC 9250 section 5.4: padding hides the length of queries. A server opens no streams.
        transport.pad_to_mtu(true).max_concurrent_uni_streams(0_u8.into());
        Self::new(session, ALPN, transport)
    }

    /// For what TLS calls `protocol`.
    pub(super) fn new(
        session: &Session,
        protocol: &'static [u8],
        transport: TransportConfig,
    ) -> Result<Self, String> {
        let session = session.speaking(protocol);
        let crypto = QuicClientConfig::try_from(Arc::clone(session.config()));
        let crypto = crypto.map_err(|why| why.to_string())?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        Ok(Self { session, config })
    }
}

impl PartialEq for QuicSession {
    fn eq(&self, other: &Self) -> bool {
        self.session == other.session
    }
}

impl Eq for QuicSession {}

impl fmt::Debug for QuicSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.fmt(f)
    }
}

pub(super) fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(0_u8.into())
        .datagram_receive_buffer_size(None)
        .stream_receive_window(STREAM_WINDOW)
        .receive_window(WINDOW)
        .max_idle_timeout(Some(MAX_IDLE.into()));
    transport
}

/// A connection, on a socket of its own.
#[derive(Clone)]
pub(super) struct Line {
    endpoint: Endpoint,
    pub(super) connection: quinn::Connection,
}

/// How much went to and fro.
pub(super) struct Traffic {
    /// Frames that the other side has to acknowledge.
    pub(super) asked: u64,
    /// Frames that came. Datagrams do not count, because anyone may have sent them: a restarted server
    /// answers what it does not know with a reset, which to us is noise (RFC 9000 section 10.3).
    pub(super) heard: u64,
}

/// Connects.
pub(super) async fn open(
    session: &QuicSession,
    ends: Ends,
    local: &OnceLock<SocketAddr>,
) -> io::Result<Line> {
    let source = ends.source.unwrap_or_else(|| any_source(ends.to));
    let socket = socket(Some(source), ends.to, Type::DGRAM)?;
    // A closed port is reported, and packets from other addresses are dropped.
    socket.connect(&ends.to.into())?;
    let socket = UdpSocket::from(socket);
    if let Ok(address) = socket.local_addr() {
        // A connection is dialled once.
        let _ = local.set(address);
    }
    let watched = sys::register(socket.try_clone()?, Interest::ERROR)?;
    let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?;
    let connecting = endpoint
        .connect_with(session.config.clone(), ends.to, &session.session.name())
        .map_err(io::Error::other)?;
    // Only while connecting: later an ICMP error could be forged.
    let connection = tokio::select! {
        connected = connecting => connected.map_err(|why| error(&why))?,
        trouble = trouble(&watched) => return Err(trouble),
    };
    Ok(Line { endpoint, connection })
}

impl Line {
    /// Waits until it has ended; returns the error.
    pub(super) async fn ended(&self) -> io::Error {
        error(&self.connection.closed().await)
    }

    /// Ends it.
    pub(super) async fn close(self, code: VarInt) {
        self.connection.close(code, b"");
        self.endpoint.wait_idle().await;
    }

    /// The traffic so far. A live server acknowledges every packet.
    pub(super) fn traffic(&self) -> Traffic {
        let stats = self.connection.stats();
        let (asked, heard) = (&stats.frame_tx, &stats.frame_rx);
        Traffic {
            asked: asked.stream + asked.ping + asked.immediate_ack + asked.crypto,
            heard: heard.acks + heard.stream + heard.ping,
        }
    }

    /// What is sent once is sent again within this time if nothing comes back.
    pub(super) fn patience(&self) -> Duration {
        MIN_PATIENCE.max(2 * self.connection.rtt())
    }

    /// The other side broke the rules: that ends it (RFC 9250 section 4.3.3).
    fn violated(&self, what: &str) -> Broken {
        self.connection.close(PROTOCOL_ERROR, what.as_bytes());
        Broken::Query(invalid_reply(InvalidReply(format!(
            "against the rules of DNS over QUIC: {what}"
        ))))
    }
}

/// The connection died.
pub(super) fn lost(why: &ConnectionError) -> Broken {
    Broken::Connection(error(why))
}

/// Asks, and reads the answer. `framed` is a message of id zero behind its length (RFC 9250 section
/// 4.2.1).
pub(super) async fn exchange(line: &Line, framed: &Bytes) -> Result<Answer, Broken> {
    let (mut send, receive) = line.connection.open_bi().await.map_err(|why| lost(&why))?;
    let mut receive = Receive { stream: receive, ended: false };
    match send.write_all(framed).await {
        // A server that wants no more of the query has its answer ready.
        Ok(()) | Err(WriteError::Stopped(_)) => {}
        Err(WriteError::ConnectionLost(why)) => return Err(lost(&why)),
        Err(why) => return Err(Broken::Query(io::Error::other(why))),
    }
    // Fails if the server stopped it, which was looked at above.
    let _ = send.finish();
    let frame = receive.all(line).await?;
    let Some((length, message)) = frame.split_first_chunk::<2>() else {
        return Err(line.violated("the stream ended before the message"));
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if message.len() < length {
        return Err(line.violated("the stream ended within the message"));
    }
    if message.len() > length {
        return Err(line.violated("more than one message for a query"));
    }
    if message.first_chunk::<2>().is_some_and(|id| *id != [0, 0]) {
        return Err(line.violated("a message with an id"));
    }
    Ok(Answer { message: message.to_vec(), age: 0 })
}

/// The receiving side of a stream. Dropped early, it sends STOP_SENDING.
struct Receive {
    stream: RecvStream,
    ended: bool,
}

impl Receive {
    async fn all(&mut self, line: &Line) -> Result<Vec<u8>, Broken> {
        let read = self.stream.read_to_end(MAX_FRAME).await;
        self.ended = !matches!(read, Err(ReadToEndError::TooLong));
        read.map_err(|why| match why {
            ReadToEndError::TooLong => line.violated("more than one message for a query"),
            ReadToEndError::Read(ReadError::ConnectionLost(why)) => lost(&why),
            ReadToEndError::Read(ReadError::Reset(code)) => Broken::Query(invalid_reply(
                InvalidReply(format!("{} from the server", error_name(code))),
            )),
            ReadToEndError::Read(why) => Broken::Query(io::Error::other(why)),
        })
    }
}

impl Drop for Receive {
    fn drop(&mut self) {
        if !self.ended {
            // Fails if the stream ended meanwhile.
            let _ = self.stream.stop(REQUEST_CANCELLED);
        }
    }
}

/// RFC 9250 section 8.4.
fn error_name(code: VarInt) -> String {
    const NAMES: [&str; 6] = [
        "DOQ_NO_ERROR",
        "DOQ_INTERNAL_ERROR",
        "DOQ_PROTOCOL_ERROR",
        "DOQ_REQUEST_CANCELLED",
        "DOQ_EXCESSIVE_LOAD",
        "DOQ_UNSPECIFIED_ERROR",
    ];
    let known = usize::try_from(code.into_inner()).ok().and_then(|code| NAMES.get(code));
    known.map_or_else(|| format!("error {code}"), |name| (*name).to_owned())
}

/// Why a connection ended, in the words of the other transports.
fn error(why: &ConnectionError) -> io::Error {
    match why {
        ConnectionError::TimedOut => io::ErrorKind::TimedOut.into(),
        ConnectionError::Reset => io::ErrorKind::ConnectionReset.into(),
        ConnectionError::LocallyClosed => io::ErrorKind::ConnectionAborted.into(),
        ConnectionError::ApplicationClosed(close)
            if [NO_ERROR, H3_NO_ERROR].contains(&close.error_code) =>
        {
            io::ErrorKind::UnexpectedEof.into()
        }
        // RFC 9001 section 4.8: what TLS does not like. Ours has said why.
        ConnectionError::TransportError(error)
            if (0x100..0x200).contains(&u64::from(error.code)) =>
        {
            io::Error::new(io::ErrorKind::InvalidData, error.reason.clone())
        }
        other => io::Error::other(format!("QUIC: {other}")),
    }
}

/// Waits for an error of the socket, mostly that the port is closed. Other readers and writers of the
/// socket may get the error instead, but they ignore it.
async fn trouble(socket: &AsyncFd<UdpSocket>) -> io::Error {
    loop {
        let mut ready = match socket.ready(Interest::ERROR).await {
            Ok(ready) => ready,
            Err(error) => return error,
        };
        match socket.get_ref().take_error() {
            Ok(Some(error)) | Err(error) => return error,
            Ok(None) => ready.clear_ready(),
        }
    }
}
