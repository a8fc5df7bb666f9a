//! DNS over HTTPS (RFC 8484) on HTTP/2, as a client.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, Connection, SendRequest};
use socket2::Type;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use super::broken::{Broken, STREAMS, useless};
use crate::client::http::{Answer, Reading, Resource};
use crate::client::network::Ends;
use crate::client::socket::socket;
use crate::client::stream::dial;
use crate::tls::Session;

pub(super) type Link = SendRequest<Bytes>;
pub(super) type Driver = Connection<TlsStream<TcpStream>, Bytes>;

/// What TLS calls HTTP/2 (RFC 7540 section 3.3).
pub(super) const ALPN: &[u8] = b"h2";

/// The longest head of a response.
const MAX_HEAD: u32 = 16 * 1024;
/// What a server may send before we have read it: the longest message on one stream, and some of
/// them on all together.
const STREAM_WINDOW: u32 = 65_535;
const WINDOW: u32 = 1 << 20;
/// Queries that gave up, and for how long what still comes for them is no mistake of the server.
const GIVEN_UP: usize = 10 * STREAMS;
const GIVEN_UP_FOR: Duration = Duration::from_secs(10);

/// Connects.
pub(super) async fn open(
    session: &Session,
    ends: Ends,
    local: &OnceLock<SocketAddr>,
) -> io::Result<(Link, Driver)> {
    let socket = TcpSocket::from_std_stream(socket(ends.source, ends.to, Type::STREAM)?.into());
    let stream = session.handshake(dial(socket, ends, local).await?).await?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(io::Error::other("the server does not speak HTTP/2"));
    }
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .max_header_list_size(MAX_HEAD)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_reset_streams(GIVEN_UP)
        .reset_stream_duration(GIVEN_UP_FOR);
    builder.handshake(stream).await.map_err(error)
}

/// Keeps the connection going to its end.
pub(super) async fn run(driver: &mut Driver) -> io::Error {
    driver.await.map_or_else(error, |()| io::ErrorKind::UnexpectedEof.into())
}

/// Asks, and reads the answer.
pub(super) async fn exchange(
    link: &Link,
    resource: &Resource,
    message: &Bytes,
) -> Result<Answer, Broken> {
    let (head, body) = resource.request(message).map_err(useless)?;
    let mut link = link.clone();
    poll_fn(|context| link.poll_ready(context)).await.map_err(broken)?;
    let (response, mut stream) = link.send_request(head, body.is_none()).map_err(broken)?;
    if let Some(body) = body {
        stream.send_data(body, true).map_err(broken)?;
    }
    // Left before the end, the stream is reset.
    let response = response.await.map_err(broken)?;
    let mut reading = Reading::begin(&response).map_err(useless)?;
    let mut body = response.into_body();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(broken)?;
        body.flow_control().release_capacity(chunk.len()).map_err(broken)?;
        reading.push(&chunk).map_err(useless)?;
    }
    Ok(reading.end())
}

/// RFC 9113 section 8.7: a stream that was refused was not processed. Of others that were reset the
/// server rejects this query.
fn broken(why: h2::Error) -> Broken {
    let refused = why.reason() == Some(Reason::REFUSED_STREAM);
    let other = why.is_reset() && !refused;
    if other { Broken::Query(error(why)) } else { Broken::Connection(error(why)) }
}

fn error(why: h2::Error) -> io::Error {
    if why.is_io() {
        return why.into_io().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
    }
    if why.is_go_away() && why.reason() == Some(Reason::NO_ERROR) {
        return io::ErrorKind::UnexpectedEof.into();
    }
    io::Error::other(format!("HTTP/2: {why}"))
}
