//! DNS over gRPC: each query is a call of `coredns.dns.DnsService/Query` on an HTTP/2 connection that
//! all queries of a worker share.
//!
//! A call is a request whose body is one framed message, and a response with one framed message and
//! trailers with its status: too little for a library. Messages are bytes here.

use std::fmt;
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::{Method, Request, StatusCode, Version};
use percent_encoding::percent_decode;
use prost::Message;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::http2::{Http2, Line, ServerAddress, broken, dialling};
use crate::client::error::{Endpoints, late};
use crate::client::network::Network;
use crate::tls::Session;

const PATH: &str = "/coredns.dns.DnsService/Query";
const CONTENT: &str = "application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// The longest reply that is read: a DNS message, its field's head and the prefix.
const LONGEST: usize = u16::MAX as usize + 4 + PREFIX;
/// Questions on one connection at once; further ones wait.
const IN_FLIGHT: usize = 1000;
/// What is kept of the words of an error.
const WORDS: usize = 200;

/// The protocol's one message, both ways.
#[derive(Clone, PartialEq, Message)]
struct DnsPacket {
    #[prost(bytes = "vec", tag = "1")]
    msg: Vec<u8>,
}

/// A status of the protocol, which came instead of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcStatus {
    /// Its number.
    pub code: u32,
    /// The server's message.
    pub message: String,
}

impl GrpcStatus {
    /// What was asked for is not there.
    pub const NOT_FOUND: u32 = 5;
    /// The server, or a proxy before it, cannot work now.
    pub const UNAVAILABLE: u32 = 14;

    const UNKNOWN: u32 = 2;

    fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 17] = [
            "OK",
            "Canceled",
            "Unknown",
            "InvalidArgument",
            "DeadlineExceeded",
            "NotFound",
            "AlreadyExists",
            "PermissionDenied",
            "ResourceExhausted",
            "FailedPrecondition",
            "Aborted",
            "OutOfRange",
            "Unimplemented",
            "Internal",
            "Unavailable",
            "DataLoss",
            "Unauthenticated",
        ];
        match NAMES.get(self.code as usize) {
            Some(name) => write!(f, "rpc error: code = {name} desc = {}", self.message),
            None => write!(f, "rpc error: code = {} desc = {}", self.code, self.message),
        }
    }
}

/// Why there is no reply.
#[derive(Debug)]
pub enum GrpcError {
    /// The network's word, or that of time; or what came was no gRPC.
    Network(io::Error),
    /// The server's own word.
    Status(GrpcStatus),
}

impl From<io::Error> for GrpcError {
    fn from(error: io::Error) -> Self {
        Self::Network(error)
    }
}

/// One upstream over gRPC: a connection and the questions on it.
pub struct GrpcClient {
    connection: Http2,
    uri: String,
    places: Semaphore,
}

impl GrpcClient {
    /// A client for the server at `place`, with TLS if there is a `session`. `authority` is what it
    /// is called in requests: a host, perhaps with a port.
    pub fn new(place: ServerAddress, session: Option<Session>, authority: &str) -> Self {
        let scheme = if session.is_some() { "https" } else { "http" };
        let session = session.map(|session| session.speaking(b"h2"));
        Self {
            connection: Http2::new(place, session),
            uri: format!("{scheme}://{authority}{PATH}"),
            places: Semaphore::new(IN_FLIGHT),
        }
    }

    /// Sends `message` and waits for the reply. If a connection dies that served for a while, the
    /// message is sent once more over a fresh one.
    ///
    /// # Errors
    /// No reply came within `timeout`, or an error came instead.
    pub async fn ask(
        &self,
        network: &Network,
        message: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, GrpcError> {
        let end = Instant::now() + timeout;
        if let Network::Simulated(world) = network {
            let ServerAddress::Address(to) = *self.connection.place() else {
                return Err(GrpcError::Network(io::ErrorKind::NotFound.into()));
            };
            let Some((delay, reply)) = world.tcp(to, message) else {
                let refused = io::ErrorKind::ConnectionRefused.into();
                let refused = dialling(Endpoints::dial_error("tcp", None, to, refused));
                return Err(GrpcError::Network(refused));
            };
            let slept = timeout_at(end, tokio::time::sleep(delay)).await;
            return slept.map(|()| reply).map_err(|_| late().into());
        }
        let body = Bytes::from(frame(message));
        // Never closed, so never an error but that of time.
        let _place = timeout_at(end, self.places.acquire()).await.map_err(|_| late())?;
        let mut died: Option<Line> = None;
        loop {
            let line = timeout_at(end, self.connection.line(died.as_ref())).await;
            let line = line.map_err(|_| late())??;
            let request = self.request(body.clone(), end)?;
            match timeout_at(end, exchange(&line, request)).await {
                Ok(Err(GrpcError::Network(error)))
                    if died.is_none() && line.may_retry() && is_of_the_connection(&error) =>
                {
                    died = Some(line);
                }
                Ok(outcome) => return outcome,
                Err(_) => {
                    line.timed_out();
                    return Err(late().into());
                }
            }
        }
    }

    fn request(&self, body: Bytes, end: Instant) -> io::Result<Request<Full<Bytes>>> {
        // At most eight digits; a second more or less does not matter to it, we count ourselves.
        let left = end.saturating_duration_since(Instant::now()).as_millis().clamp(1, 99_999_999);
        Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(self.uri.as_str())
            .header(TE, HeaderValue::from_static("trailers"))
            .header(CONTENT_TYPE, HeaderValue::from_static(CONTENT))
            .header(TIMEOUT, format!("{left}m"))
            .body(Full::new(body))
            .map_err(io::Error::other)
    }
}

/// Whether the connection broke, and not only what came over it was of no use.
fn is_of_the_connection(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::InvalidData
}

/// A message as a body.
fn frame(message: &[u8]) -> Vec<u8> {
    let packet = DnsPacket { msg: message.to_vec() };
    let length = packet.encoded_len();
    let mut body = Vec::with_capacity(PREFIX + length);
    body.push(0);
    body.extend_from_slice(&(length as u32).to_be_bytes());
    body.extend_from_slice(&packet.encode_to_vec());
    body
}

/// The message in a body.
fn unframe(body: &[u8]) -> io::Result<Vec<u8>> {
    let odd = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    let Some((&[compressed, length @ ..], packet)) = body.split_first_chunk::<PREFIX>() else {
        return Err(odd("a reply without a message"));
    };
    if compressed != 0 {
        return Err(odd("a compressed reply, which was not asked for"));
    }
    if u32::from_be_bytes(length) as usize != packet.len() {
        return Err(odd("not exactly one message in a reply"));
    }
    let packet = DnsPacket::decode(packet).map_err(|_| odd("a message that is no DnsPacket"))?;
    if packet.msg.len() > usize::from(u16::MAX) {
        return Err(odd("a message longer than DNS messages are"));
    }
    Ok(packet.msg)
}

/// One call.
async fn exchange(line: &Line, request: Request<Full<Bytes>>) -> Result<Vec<u8>, GrpcError> {
    let response = line.sender().send_request(request).await.map_err(broken)?;
    line.answered();
    let (head, body) = response.into_parts();
    // A reply may consist of what else are the trailers.
    if let Some(status) = status(&head.headers) {
        return Err(GrpcError::Status(status));
    }
    if head.status != StatusCode::OK {
        let text = format!("HTTP status {}", head.status);
        return Err(GrpcError::Status(GrpcStatus::new(of_http(head.status), text)));
    }
    let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !kind.starts_with(CONTENT.as_bytes()) {
        let error = io::Error::new(io::ErrorKind::InvalidData, "a reply that is no gRPC");
        return Err(error.into());
    }
    let (bytes, trailers) = read(body).await?;
    match trailers.as_ref().map(success) {
        Some(Ok(())) => Ok(unframe(&bytes)?),
        Some(Err(status)) => Err(GrpcError::Status(status)),
        None => {
            Err(GrpcError::Status(GrpcStatus::new(GrpcStatus::UNKNOWN, "a reply without status")))
        }
    }
}

/// A body and the trailers behind it. Longer ones than any reply are not read to their end.
async fn read(mut body: Incoming) -> io::Result<(Vec<u8>, Option<HeaderMap>)> {
    let (mut bytes, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map_err(broken)?.into_data() {
            Ok(data) if bytes.len() + data.len() <= LONGEST => bytes.extend_from_slice(&data),
            Ok(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a reply that is too long"));
            }
            Err(other) => trailers = other.into_trailers().ok().or(trailers),
        }
    }
    Ok((bytes, trailers))
}

/// The status among headers, if it is one of failure.
fn status(headers: &HeaderMap) -> Option<GrpcStatus> {
    headers.get(&STATUS)?;
    success(headers).err()
}

/// Whether trailers report success.
fn success(trailers: &HeaderMap) -> Result<(), GrpcStatus> {
    let code = trailers.get(&STATUS).and_then(|code| code.to_str().ok()?.parse::<u32>().ok());
    match code {
        Some(0) => Ok(()),
        Some(code) => {
            let words = trailers.get(&MESSAGE).map_or(&b""[..], HeaderValue::as_bytes);
            Err(GrpcStatus::new(code, decoded(words)))
        }
        None => Err(GrpcStatus::new(GrpcStatus::UNKNOWN, "a reply without status")),
    }
}

/// The beginning of a message whose octets are percent-encoded where they are no printable ASCII.
fn decoded(words: &[u8]) -> String {
    let bytes: Vec<u8> = percent_decode(words).take(WORDS).collect();
    String::from_utf8_lossy(&bytes).replace(|c: char| c.is_control(), " ")
}

/// The gRPC status for an HTTP status, by the protocol's specification.
fn of_http(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => GrpcStatus::UNAVAILABLE,
        _ => GrpcStatus::UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_framed_as_the_protocol_says() {
        let body = frame(&[1, 2, 3]);
        assert_eq!(body, [0, 0, 0, 0, 5, 0x0A, 3, 1, 2, 3]);
        assert_eq!(unframe(&body).unwrap(), [1, 2, 3]);
        // A field that we do not know is passed over.
        assert_eq!(unframe(&[0, 0, 0, 0, 5, 0x10, 7, 0x0A, 1, 9]).unwrap(), [9]);
        let longest = vec![7; usize::from(u16::MAX)];
        assert_eq!(frame(&longest).len(), LONGEST);
        assert_eq!(unframe(&frame(&longest)).unwrap(), longest);
        assert!(unframe(&frame(&vec![7; usize::from(u16::MAX) + 1])).is_err());
    }

    #[test]
    fn other_bodies_are_refused() {
        for body in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 3, 0x0A, 1, 9],
            &[0, 0, 0, 0, 4, 0x0A, 1, 9],
            &[0, 0, 0, 0, 3, 0x0A, 1, 9, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 3, 0x0A, 2, 9],
        ] {
            assert!(unframe(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn statuses_are_told_as_grpc_tells_them() {
        let mut trailers = HeaderMap::new();
        assert_eq!(success(&trailers).unwrap_err().code, GrpcStatus::UNKNOWN);
        assert_eq!(status(&trailers), None);
        trailers.insert(STATUS, HeaderValue::from_static("5"));
        trailers.insert(MESSAGE, HeaderValue::from_static("no%20such%0Azone 100%"));
        let said = success(&trailers).unwrap_err();
        assert_eq!(said.to_string(), "rpc error: code = NotFound desc = no such zone 100%");
        trailers.insert(STATUS, HeaderValue::from_static("99"));
        assert!(status(&trailers).unwrap().to_string().starts_with("rpc error: code = 99"));
        trailers.insert(STATUS, HeaderValue::from_static("0"));
        assert_eq!((success(&trailers), status(&trailers)), (Ok(()), None));
        assert_eq!(of_http(StatusCode::SERVICE_UNAVAILABLE), GrpcStatus::UNAVAILABLE);
    }

    proptest! {
        #[test]
        fn messages_come_back(message in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(unframe(&frame(&message)).unwrap(), message);
        }

        #[test]
        fn no_bytes_do_harm(bytes: Vec<u8>) {
            let _ = unframe(&bytes);
            prop_assert!(decoded(&bytes).chars().count() <= WORDS);
        }
    }
}
