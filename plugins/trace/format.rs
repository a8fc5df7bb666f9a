//! The format of a collector: the trait that each implements, and the spans that it encodes.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};

use exchange::Span;
use wire::{Rcode, Rtype};

/// A collector's format and where its agent listens by default.
pub(super) trait Format: Debug + Sync {
    /// The word in the Corefile.
    fn name(&self) -> &'static str;

    /// The default endpoint, `HOST:PORT`.
    fn endpoint(&self) -> &'static str;

    /// The path on the endpoint.
    fn path(&self) -> &'static str;

    /// Whether a URL in the Corefile gets [`Format::path`] appended, as `HOST:PORT` does.
    fn extends_urls(&self) -> bool {
        false
    }

    /// Whether the collector accepts `datadog_analytics_rate`.
    fn takes_analytics_rate(&self) -> bool {
        false
    }

    /// Whether plugins get spans of their own.
    fn has_plugin_spans(&self) -> bool {
        true
    }

    /// The id of a new trace. Its lower half must be `low`, which is the id of its first span, too.
    fn trace_id(&self, ids: &NewIds) -> u128;

    /// The id as the metadata label `trace/traceid` shows it.
    fn show_id(&self, trace: u128) -> String {
        format!("{trace:032x}")
    }

    /// The type of the bodies.
    fn content_type(&self) -> &'static str {
        "application/json"
    }

    /// A header that the collector wants besides.
    fn header(&self, batch: &[Finished]) -> Option<(&'static str, String)> {
        let _ = batch;
        None
    }

    /// The body of a request.
    fn body(&self, batch: &[Finished], source: &Service) -> Vec<u8>;
}

/// The material for the id of a trace.
pub(super) struct NewIds {
    /// Random.
    pub(super) low: u64,
    /// Random, independent of `low`.
    pub(super) high: u64,
    /// Unix time, in seconds.
    pub(super) second: u64,
}

/// A span that waits to be sent.
pub(super) struct Finished {
    pub(super) trace: u128,
    pub(super) span: Span,
    /// Only with the first span of a client's query.
    pub(super) about: Option<About>,
}

/// The query of a trace and its outcome.
pub(super) struct About {
    pub(super) name: Box<[u8]>,
    pub(super) qtype: Rtype,
    pub(super) proto: &'static str,
    pub(super) remote: IpAddr,
    pub(super) rcode: Rcode,
    pub(super) error: Option<String>,
}

/// The component that sends spans.
pub(super) struct Service {
    pub(super) service: String,
    pub(super) local: Option<SocketAddr>,
    pub(super) analytics_rate: f64,
}
