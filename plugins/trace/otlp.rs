//! Spans in OpenTelemetry's protobuf: <https://github.com/open-telemetry/opentelemetry-proto>.
//!
//! The few messages needed are declared here, because the crates of the project include an SDK.

use prost::Message;
use wire::name::Text;

use super::format::{Finished, Format, NewIds, Service};

/// The body of a request. Only the fields in use are declared; their numbers are the format's.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(message, repeated, tag = "1")]
    pub(super) resource_spans: Vec<ResourceSpans>,
}

/// The spans of one process.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(super) scope_spans: Vec<ScopeSpans>,
}

/// The process.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<KeyValue>,
}

/// The spans of one part of it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub(super) spans: Vec<Span>,
}

/// The part.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Scope {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

/// A span.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(int32, tag = "6")]
    pub(super) kind: i32,
    #[prost(fixed64, tag = "7")]
    pub(super) start: u64,
    #[prost(fixed64, tag = "8")]
    pub(super) end: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    pub(super) status: Option<Status>,
}

/// Something known about a span.
#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

/// A text; the format has other kinds too.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(string, optional, tag = "1")]
    pub(super) text: Option<String>,
}

/// Whether it failed, and why.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(int32, tag = "3")]
    pub(super) code: i32,
}

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;

/// OpenTelemetry's protobuf over HTTP.
#[derive(Debug)]
pub(super) struct Otlp;

impl Format for Otlp {
    fn name(&self) -> &'static str {
        "otlp"
    }

    fn endpoint(&self) -> &'static str {
        "localhost:4318"
    }

    fn path(&self) -> &'static str {
        "/v1/traces"
    }

    fn trace_id(&self, ids: &NewIds) -> u128 {
        u128::from(ids.high) << 64 | u128::from(ids.low)
    }

    fn content_type(&self) -> &'static str {
        "application/x-protobuf"
    }

    fn body(&self, batch: &[Finished], source: &Service) -> Vec<u8> {
        body(batch, source)
    }
}

fn body(batch: &[Finished], source: &Service) -> Vec<u8> {
    let mut resource = vec![attribute("service.name", source.service.clone())];
    if let Some(local) = source.local {
        resource.push(attribute("server.address", local.to_string()));
    }
    let scope = Scope { name: "catena".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let spans = batch.iter().map(span).collect();
    let request = Request {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: resource }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
        }],
    };
    request.encode_to_vec()
}

fn attribute(key: &str, text: String) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { text: Some(text) }) }
}

fn span(finished: &Finished) -> Span {
    let Finished { trace, span, about } = finished;
    let mut attributes: Vec<KeyValue> =
        span.tags.iter().map(|(key, text)| attribute(key, text.clone())).collect();
    let mut status = None;
    // Plugins add tags to their span only if they query another server.
    let mut kind = if attributes.is_empty() { INTERNAL } else { CLIENT };
    if let Some(about) = about {
        kind = SERVER;
        attributes.extend([
            attribute("coredns.io/name", Text(&about.name).to_string()),
            attribute("coredns.io/type", about.qtype.to_string()),
            attribute("coredns.io/proto", about.proto.to_owned()),
            attribute("coredns.io/remote", about.remote.to_string()),
            attribute("coredns.io/rcode", about.rcode.to_string()),
        ]);
        status = about.error.clone().map(|message| Status { message, code: ERROR });
    }
    let parent = (span.parent != 0).then(|| span.parent.to_be_bytes().to_vec());
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: parent.unwrap_or_default(),
        name: span.name.to_owned(),
        kind,
        start: net::clock::unix_nanos(span.start),
        end: net::clock::unix_nanos(span.end),
        attributes,
        status,
    }
}
