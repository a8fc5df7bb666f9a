//! Dnstap messages in protobuf: <https://github.com/dnstap/dnstap.pb>.
//!
//! Each message is written field by field into one buffer, because this happens in the query path. A
//! test decodes them with types that are derived from the schema.

use std::net::{IpAddr, SocketAddr};

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use wire::Transport;

/// The event that a message reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum MessageType {
    /// A query from a client.
    ClientQuery = 5,
    /// A reply to a client.
    ClientResponse = 6,
    /// A query to an upstream.
    ForwarderQuery = 7,
    /// A reply from an upstream.
    ForwarderResponse = 8,
}

/// `Dnstap.Type`: there is no other.
const MESSAGE: u64 = 1;

/// The content of a message, without the identity of the server. Times are nanoseconds since 1970.
pub(super) struct Event<'a> {
    pub(super) kind: MessageType,
    /// The transport of the DNS message.
    pub(super) transport: Transport,
    /// The address and port that the query comes from.
    pub(super) querier: Option<SocketAddr>,
    /// The address and port that the query goes to.
    pub(super) responder: Option<SocketAddr>,
    pub(super) asked: u64,
    pub(super) answered: Option<u64>,
    /// The DNS message, if it is to be included.
    pub(super) message: Option<&'a [u8]>,
}

/// The identity of the server.
pub(super) struct Sender<'a> {
    pub(super) identity: &'a [u8],
    pub(super) version: &'a [u8],
    pub(super) extra: Option<&'a [u8]>,
}

/// Writes the message. `inner` is a buffer for its inner part.
pub(super) fn write(
    out: &mut Vec<u8>,
    inner: &mut Vec<u8>,
    sender: &Sender<'_>,
    event: &Event<'_>,
) {
    inner.clear();
    body(inner, event);
    bytes(out, 1, sender.identity);
    bytes(out, 2, sender.version);
    if let Some(extra) = sender.extra {
        bytes(out, 3, extra);
    }
    bytes(out, 14, inner);
    number(out, 15, MESSAGE);
}

fn body(out: &mut Vec<u8>, event: &Event<'_>) {
    number(out, 1, event.kind as u64);
    let ends = [event.querier, event.responder]
        .map(|end| end.map(|address| SocketAddr::new(address.ip().to_canonical(), address.port())));
    if let Some(end) = ends[0].or(ends[1]) {
        number(out, 2, if end.is_ipv4() { 1 } else { 2 });
    }
    number(out, 3, protocol(event.transport));
    for (tag, end) in [(4, ends[0]), (5, ends[1])] {
        match end.map(|end| end.ip()) {
            Some(IpAddr::V4(ip)) => bytes(out, tag, &ip.octets()),
            Some(IpAddr::V6(ip)) => bytes(out, tag, &ip.octets()),
            None => {}
        }
    }
    for (tag, end) in [(6, ends[0]), (7, ends[1])] {
        if let Some(end) = end {
            number(out, tag, u64::from(end.port()));
        }
    }
    time(out, 8, event.asked);
    let is_query = matches!(event.kind, MessageType::ClientQuery | MessageType::ForwarderQuery);
    if let Some(message) = event.message.filter(|_| is_query) {
        bytes(out, 10, message);
    }
    if let Some(answered) = event.answered {
        time(out, 12, answered);
    }
    if let Some(message) = event.message.filter(|_| !is_query) {
        bytes(out, 14, message);
    }
}

/// `SocketProtocol`.
fn protocol(transport: Transport) -> u64 {
    match transport {
        Transport::Udp => 1,
        // It has no number for gRPC.
        Transport::Tcp | Transport::Grpc => 2,
        Transport::Tls => 3,
        Transport::Https | Transport::Https3 => 4,
        Transport::Quic => 7,
    }
}

fn number(out: &mut Vec<u8>, tag: u32, value: u64) {
    encode_key(tag, WireType::Varint, out);
    encode_varint(value, out);
}

fn bytes(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    let len = value.len() as u64;
    out.reserve(encoded_len_varint(len) + 2 + value.len());
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(len, out);
    out.extend_from_slice(value);
}

/// Seconds, and in the next field the nanoseconds.
fn time(out: &mut Vec<u8>, tag: u32, nanos: u64) {
    number(out, tag, nanos / 1_000_000_000);
    encode_key(tag + 1, WireType::ThirtyTwoBit, out);
    out.extend_from_slice(&((nanos % 1_000_000_000) as u32).to_le_bytes());
}

#[cfg(test)]
pub(super) mod schema {
    use prost::Message;

    /// `dnstap.Dnstap`.
    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Dnstap {
        #[prost(bytes = "vec", optional, tag = "1")]
        pub(crate) identity: Option<Vec<u8>>,
        #[prost(bytes = "vec", optional, tag = "2")]
        pub(crate) version: Option<Vec<u8>>,
        #[prost(bytes = "vec", optional, tag = "3")]
        pub(crate) extra: Option<Vec<u8>>,
        #[prost(message, optional, tag = "14")]
        pub(crate) message: Option<Inner>,
        #[prost(int32, required, tag = "15")]
        pub(crate) kind: i32,
    }

    /// `dnstap.Message`.
    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Inner {
        #[prost(int32, required, tag = "1")]
        pub(crate) kind: i32,
        #[prost(int32, optional, tag = "2")]
        pub(crate) socket_family: Option<i32>,
        #[prost(int32, optional, tag = "3")]
        pub(crate) socket_protocol: Option<i32>,
        #[prost(bytes = "vec", optional, tag = "4")]
        pub(crate) query_address: Option<Vec<u8>>,
        #[prost(bytes = "vec", optional, tag = "5")]
        pub(crate) response_address: Option<Vec<u8>>,
        #[prost(uint32, optional, tag = "6")]
        pub(crate) query_port: Option<u32>,
        #[prost(uint32, optional, tag = "7")]
        pub(crate) response_port: Option<u32>,
        #[prost(uint64, optional, tag = "8")]
        pub(crate) query_time_sec: Option<u64>,
        #[prost(fixed32, optional, tag = "9")]
        pub(crate) query_time_nsec: Option<u32>,
        #[prost(bytes = "vec", optional, tag = "10")]
        pub(crate) query_message: Option<Vec<u8>>,
        #[prost(uint64, optional, tag = "12")]
        pub(crate) response_time_sec: Option<u64>,
        #[prost(fixed32, optional, tag = "13")]
        pub(crate) response_time_nsec: Option<u32>,
        #[prost(bytes = "vec", optional, tag = "14")]
        pub(crate) response_message: Option<Vec<u8>>,
    }
}

#[cfg(test)]
mod tests {
    use super::schema::{Dnstap, Inner};
    use super::*;
    use proptest::prelude::*;
    use prost::Message;

    /// UDP, TCP, DOT, DOH twice, DOQ; gRPC is TCP.
    const SOCKET_PROTOCOLS: [i32; 7] = [1, 2, 3, 4, 4, 7, 2];

    proptest! {
        #[test]
        fn what_is_written_is_read_by_the_schema(
            identity: Vec<u8>,
            extra: Option<Vec<u8>>,
            querier: Option<SocketAddr>,
            responder: Option<SocketAddr>,
            kind in prop::sample::select(vec![
                MessageType::ClientQuery, MessageType::ClientResponse, MessageType::ForwarderQuery, MessageType::ForwarderResponse,
            ]),
            transport in prop::sample::select(vec![
                Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https,
                Transport::Https3, Transport::Quic, Transport::Grpc,
            ]),
            asked: u64,
            answered: Option<u64>,
            message: Option<Vec<u8>>,
        ) {
            let event = Event {
                kind, transport, querier, responder, asked, answered, message: message.as_deref(),
            };
            let sender = Sender { identity: &identity, version: b"v", extra: extra.as_deref() };
            let mut out = Vec::new();
            write(&mut out, &mut vec![1, 2], &sender, &event);
            let octets = |end: SocketAddr| match end.ip().to_canonical() {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            let is_query = matches!(kind, MessageType::ClientQuery | MessageType::ForwarderQuery);
            let inner = Inner {
                kind: kind as i32,
                socket_family: querier.or(responder).map(|end| match octets(end).len() {
                    4 => 1,
                    _ => 2,
                }),
                socket_protocol: Some(SOCKET_PROTOCOLS[transport as usize]),
                query_address: querier.map(octets),
                response_address: responder.map(octets),
                query_port: querier.map(|end| u32::from(end.port())),
                response_port: responder.map(|end| u32::from(end.port())),
                query_time_sec: Some(asked / 1_000_000_000),
                query_time_nsec: Some((asked % 1_000_000_000) as u32),
                query_message: message.clone().filter(|_| is_query),
                response_time_sec: answered.map(|at| at / 1_000_000_000),
                response_time_nsec: answered.map(|at| (at % 1_000_000_000) as u32),
                response_message: message.clone().filter(|_| !is_query),
            };
            let expected = Dnstap {
                identity: Some(identity.clone()),
                version: Some(b"v".to_vec()),
                extra: extra.clone(),
                message: Some(inner),
                kind: 1,
            };
            prop_assert_eq!(Dnstap::decode(&out[..]).unwrap(), expected);
        }
    }
}
