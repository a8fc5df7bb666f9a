//! DNS over HTTPS (RFC 8484) on HTTP/3, as a client.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;

use bytes::{Buf, Bytes};
use h3::client::{Connection, SendRequest};
use h3::error::{Code, StreamError};
use h3_quinn::OpenStreams;

use super::broken::{Broken, useless};
use super::quic::{self, H3_NO_ERROR, Line, QuicSession};
use crate::client::error::{InvalidReply, invalid_reply};
use crate::client::http::{Answer, Reading, Resource};
use crate::client::network::Ends;
use crate::tls::Session;

/// What TLS calls HTTP/3 (RFC 9114 section 3.1).
const ALPN: &[u8] = b"h3";
/// The longest head of a response.
const MAX_HEAD: u64 = 16 * 1024;
/// Streams that a server opens: control, and two for compression (RFC 9114 section 6.2), with some
/// to spare for what we do not know and ignore.
const SERVER_STREAMS: u8 = 8;

/// What queries send and receive on.
#[derive(Clone)]
pub(super) struct Link {
    sender: SendRequest<OpenStreams, Bytes>,
    pub(super) line: Line,
}

/// What keeps a connection going.
pub(super) struct Driver {
    connection: Connection<h3_quinn::Connection, Bytes>,
    line: Line,
}

/// A session with the expected server.
pub(super) fn session(session: &Session) -> Result<QuicSession, String> {
    let mut transport = quic::transport();
    transport.max_concurrent_uni_streams(SERVER_STREAMS.into());
    QuicSession::new(session, ALPN, transport)
}

/// Connects.
pub(super) async fn open(
    session: &QuicSession,
    ends: Ends,
    local: &OnceLock<SocketAddr>,
) -> io::Result<(Link, Driver)> {
    let line = quic::open(session, ends, local).await?;
    let mut builder = h3::client::builder();
    builder.max_field_section_size(MAX_HEAD).send_grease(false);
    let connection = h3_quinn::Connection::new(line.connection.clone());
    let built = builder.build(connection).await;
    let (connection, sender) = built.map_err(|why| io::Error::other(format!("HTTP/3: {why}")))?;
    Ok((Link { sender, line: line.clone() }, Driver { connection, line }))
}

/// Keeps the connection going to its end.
pub(super) async fn run(driver: &mut Driver) -> io::Error {
    let Driver { connection, line } = driver;
    let why = poll_fn(|context| connection.poll_close(context)).await;
    if line.connection.close_reason().is_some() {
        return line.ended().await;
    }
    if why.is_h3_no_error() {
        return io::ErrorKind::UnexpectedEof.into();
    }
    io::Error::other(format!("HTTP/3: {why}"))
}

/// Ends it.
pub(super) async fn close(driver: Driver) {
    driver.line.close(H3_NO_ERROR).await;
}

/// Asks, and reads the answer.
pub(super) async fn exchange(
    link: &Link,
    resource: &Resource,
    message: &Bytes,
) -> Result<Answer, Broken> {
    let broken = |why: StreamError| link.broken(&why);
    let (head, body) = resource.request(message).map_err(useless)?;
    let mut sender = link.sender.clone();
    // Left before the end, the stream is stopped.
    let mut stream = sender.send_request(head).await.map_err(broken)?;
    if let Some(body) = body {
        match stream.send_data(body).await {
            // RFC 9114 section 4.1: the server has its answer ready and wants no more.
            Err(StreamError::RemoteTerminate { code: Code::H3_NO_ERROR, .. }) => {}
            sent => sent.map_err(broken)?,
        }
    }
    // If it fails, the response or its absence shows why.
    let _ = stream.finish().await;
    let response = stream.recv_response().await.map_err(broken)?;
    let mut reading = Reading::begin(&response).map_err(useless)?;
    while let Some(mut data) = stream.recv_data().await.map_err(broken)? {
        while data.has_remaining() {
            let chunk = data.chunk();
            reading.push(chunk).map_err(useless)?;
            data.advance(chunk.len());
        }
    }
    Ok(reading.end())
}

impl Link {
    fn broken(&self, why: &StreamError) -> Broken {
        if let Some(why) = self.line.connection.close_reason() {
            return quic::lost(&why);
        }
        match why {
            // RFC 9114 section 8.1: it was not processed.
            StreamError::RemoteTerminate { code, .. } if *code == Code::H3_REQUEST_REJECTED => {
                Broken::Connection(io::ErrorKind::ConnectionReset.into())
            }
            StreamError::RemoteClosing { .. } | StreamError::ConnectionError { .. } => {
                Broken::Connection(io::ErrorKind::UnexpectedEof.into())
            }
            other => Broken::Query(invalid_reply(InvalidReply(format!("HTTP/3: {other}")))),
        }
    }
}
