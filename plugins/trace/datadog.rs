//! Spans in the JSON of the Datadog agent, version 0.4, with the names and tags that CoreDNS gives
//! them.

use serde_json::{Map, Value, json};
use wire::name::Text;

use super::format::{Finished, Format, NewIds, Service};

/// The Datadog agent's JSON, version 0.4.
#[derive(Debug)]
pub(super) struct Datadog;

impl Format for Datadog {
    fn name(&self) -> &'static str {
        "datadog"
    }

    fn endpoint(&self) -> &'static str {
        "localhost:8126"
    }

    fn path(&self) -> &'static str {
        "/v0.4/traces"
    }

    fn extends_urls(&self) -> bool {
        true
    }

    fn takes_analytics_rate(&self) -> bool {
        true
    }

    /// As in CoreDNS.
    fn has_plugin_spans(&self) -> bool {
        false
    }

    /// The time in the highest 32 bits, as CoreDNS's library has it.
    fn trace_id(&self, ids: &NewIds) -> u128 {
        let second = ids.second & u64::from(u32::MAX);
        u128::from(second) << 96 | u128::from(ids.low)
    }

    fn header(&self, batch: &[Finished]) -> Option<(&'static str, String)> {
        Some(("X-Datadog-Trace-Count", batch.len().to_string()))
    }

    fn body(&self, batch: &[Finished], source: &Service) -> Vec<u8> {
        body(batch, source)
    }
}

/// An array of traces, which are arrays of spans. Here each trace has one span.
fn body(batch: &[Finished], source: &Service) -> Vec<u8> {
    let traces: Value = batch.iter().map(|finished| json!([span(finished, source)])).collect();
    traces.to_string().into_bytes()
}

fn span(finished: &Finished, source: &Service) -> Value {
    let Finished { trace, span, about } = finished;
    let mut meta = Map::new();
    let mut tag = |key: &str, text: String| meta.insert(key.to_owned(), text.into());
    // The agent's numbers have 64 bits; the others go beside them.
    tag("_dd.p.tid", format!("{:016x}", trace >> 64));
    tag("dns", "true".to_owned());
    for (key, text) in &span.tags {
        tag(key, text.clone());
    }
    let mut failed = 0;
    if let Some(about) = about {
        tag("coredns.io@name", Text(&about.name).to_string());
        tag("coredns.io@type", about.qtype.to_string());
        tag("coredns.io@proto", about.proto.to_owned());
        tag("coredns.io@remote", about.remote.to_string());
        tag("coredns.io@rcode", about.rcode.to_string());
        if let Some(error) = &about.error {
            failed = 1;
            tag("error.message", error.clone());
            tag("error.type", "dns_error".to_owned());
        }
    }
    let mut metrics = json!({"_sampling_priority_v1": 1, "_dd.top_level": 1});
    if source.analytics_rate > 0.0 {
        metrics["_dd1.sr.eausr"] = source.analytics_rate.into();
    }
    json!({
        "trace_id": *trace as u64,
        "span_id": span.id,
        "parent_id": span.parent,
        "name": span.name,
        "resource": span.name,
        "service": source.service,
        "start": net::clock::unix_nanos(span.start),
        "duration": span.end.since(span.start).as_nanos() as u64,
        "error": failed,
        "meta": meta,
        "metrics": metrics,
    })
}
