//! Spans in Zipkin's JSON, version 2, with the names and tags that CoreDNS gives them.

use serde_json::{Map, Value, json};
use wire::name::Text;

use super::format::{Finished, Format, NewIds, Service};

/// Zipkin's JSON, version 2.
#[derive(Debug)]
pub(super) struct Zipkin;

impl Format for Zipkin {
    fn name(&self) -> &'static str {
        "zipkin"
    }

    fn endpoint(&self) -> &'static str {
        "localhost:9411"
    }

    fn path(&self) -> &'static str {
        "/api/v2/spans"
    }

    /// 64 bits, as CoreDNS's library makes them.
    fn trace_id(&self, ids: &NewIds) -> u128 {
        ids.low.into()
    }

    fn show_id(&self, trace: u128) -> String {
        format!("{trace:016x}")
    }

    /// Tells tracing proxies on the way not to trace the request.
    fn header(&self, _: &[Finished]) -> Option<(&'static str, String)> {
        Some(("b3", "0".to_owned()))
    }

    fn body(&self, batch: &[Finished], source: &Service) -> Vec<u8> {
        body(batch, source)
    }
}

fn body(batch: &[Finished], source: &Service) -> Vec<u8> {
    let mut endpoint = Map::new();
    endpoint.insert("serviceName".into(), source.service.to_lowercase().into());
    if let Some(local) = source.local {
        let family = if local.is_ipv4() { "ipv4" } else { "ipv6" };
        endpoint.insert(family.into(), local.ip().to_string().into());
        endpoint.insert("port".into(), local.port().into());
    }
    let endpoint = Value::from(endpoint);
    let spans: Value = batch.iter().map(|finished| span(finished, &endpoint)).collect();
    spans.to_string().into_bytes()
}

fn span(finished: &Finished, endpoint: &Value) -> Value {
    let Finished { trace, span, about } = finished;
    let micros = |moment| net::clock::unix_nanos(moment) / 1000;
    let took = span.end.since(span.start).as_nanos() as u64;
    let mut value = json!({
        "traceId": format!("{trace:016x}"),
        "id": format!("{:016x}", span.id),
        "name": span.name,
        "timestamp": micros(span.start),
        // Zero would mean that it is not known.
        "duration": (took.saturating_add(500) / 1000).max(1),
        "localEndpoint": endpoint,
    });
    if span.parent != 0 {
        value["parentId"] = format!("{:016x}", span.parent).into();
    }
    let mut tags: Map<String, Value> =
        span.tags.iter().map(|(key, text)| ((*key).to_owned(), text.as_str().into())).collect();
    if let Some(about) = about {
        value["kind"] = "SERVER".into();
        let mut tag = |key: &str, text: String| tags.insert(key.to_owned(), text.into());
        tag("coredns.io/name", Text(&about.name).to_string());
        tag("coredns.io/type", about.qtype.to_string());
        tag("coredns.io/proto", about.proto.to_owned());
        tag("coredns.io/remote", about.remote.to_string());
        tag("coredns.io/rcode", about.rcode.to_string());
        if let Some(error) = &about.error {
            tag("error", "true".to_owned());
            let at = micros(span.end);
            value["annotations"] = json!([
                {"timestamp": at, "value": "event:error"},
                {"timestamp": at, "value": format!("error.object:{error}")},
            ]);
        }
    }
    if !tags.is_empty() {
        value["tags"] = tags.into();
    }
    value
}
