//! `trace`: reports the processing of one in every so many queries to a collector, with its duration.
//!
//! It decides which queries to trace, and queues their spans when they end. `chain::spans` records the
//! spans around plugins, `export` sends them, and each collector's format has a file.

mod config;
mod datadog;
mod export;
mod format;
mod otlp;
mod zipkin;

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use chain::{Clock, Kind, Query, Reply, Roles, Sees, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use exchange::{SpanContext, Spans};
use telemetry::metrics::{self, Counter};
use tokio::sync::mpsc::{self, Sender};
use wire::Rcode;

use export::{Exporter, Record};
use format::{About, Format, NewIds};

/// The `trace` directive.
pub static PLUGIN: Kind =
    Kind { name: "trace", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

/// The span of the whole query, in CoreDNS's word.
const WHOLE: &str = "servedns";
/// Its place: no chain has as many plugins.
const ROOT: usize = usize::MAX - 1;
/// Records in the queue to the exporter, at most.
const QUEUE: usize = 1024;

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let (config, warnings) = config::parse(uses)?;
    setup.warn_all(warnings);
    let (queue, finished) = mpsc::channel(QUEUE);
    let counter = |name, help| metrics::counter(name, help, &[], &[]);
    let dropped = counter(
        "catena_trace_spans_dropped_total",
        "Spans dropped because the backlog was full or the collector refused them.",
    );
    let sent = counter("catena_trace_spans_sent_total", "Spans that a collector accepted.");
    let (every, format) = (config.every, config.format);
    let exporter = Exporter::new(config, local(setup), sent, dropped.clone());
    setup.finishing_task(move || exporter.run(finished));
    setup.link(Trace {
        every,
        format,
        counts: (0..setup.workers().max(1)).map(|_| Count::default()).collect(),
        random: RandomState::new(),
        clock: setup.clock(),
        queue,
        dropped,
    });
    if format.has_plugin_spans() {
        setup.record_spans();
    }
    Ok(())
}

/// The address of the block's first listener, if `bind` gives it one.
fn local(setup: &Setup<'_>) -> Option<SocketAddr> {
    let (_, address) = setup.keys().first()?.server.split_once("://")?;
    address.parse().ok()
}

/// Traces the queries of one server block.
struct Trace {
    every: u64,
    format: &'static dyn Format,
    /// Queries that each worker has received.
    counts: Box<[Count]>,
    random: RandomState,
    clock: Clock,
    queue: Sender<Record>,
    dropped: Counter,
}

/// A counter in a cache line of its own: one worker writes it with each query.
#[derive(Default)]
#[repr(align(64))]
struct Count(AtomicU64);

impl Trace {
    /// Counts the query: its number at this worker, and whether it is one to be traced.
    #[inline]
    fn count(&self, worker: usize) -> (u64, bool) {
        let count = &self.counts[worker % self.counts.len()].0;
        // This worker is the only writer, so load and store need not be one operation.
        let number = count.load(Ordering::Relaxed).wrapping_add(1);
        count.store(number, Ordering::Relaxed);
        (number, self.every > 0 && number.is_multiple_of(self.every))
    }

    #[cold]
    fn begin(&self, query: &mut Query, number: u64) {
        let now = (self.clock.now)();
        let random = |what: u8| self.random.hash_one((what, query.client.worker, number)).max(1);
        if let Some(within) = query.state.within {
            // A lookup of our own for a traced query belongs to that trace and has no root span.
            query.trace(Spans::new(within, random(0)));
            return;
        }
        let low = random(1);
        let second = (self.clock.unix)(now);
        let trace = self.format.trace_id(&NewIds { low, high: random(2), second });
        let mut spans = Spans::new(SpanContext { trace, span: 0 }, random(0));
        spans.begin_root(low, ROOT, WHOLE, now);
        query.trace(spans);
        let format = self.format;
        query.set_metadata("trace/traceid", || format.show_id(trace));
    }

    #[cold]
    fn finish(&self, query: &mut Query, reply: &Reply) {
        let Some(spans) = query.take_spans() else { return };
        let (trace, spans) = spans.finish((self.clock.now)());
        let about = query.state.within.is_none().then(|| About {
            name: query.name().into(),
            qtype: query.qtype(),
            proto: query.client.transport.proto(),
            remote: query.client.peer.ip(),
            rcode: if reply.is_silent() { Rcode::NOERROR } else { reply.rcode() },
            error: reply
                .failure()
                .and_then(|failure| failure.cause.as_ref())
                .map(ToString::to_string),
        });
        let count = spans.len() as u64;
        if self.queue.try_send(Record { trace, spans, about }).is_err() {
            self.dropped.add(query.client.worker, count);
        }
    }
}

impl ServeDns for Trace {
    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::ALL, ..Roles::default() }
    }

    #[inline]
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        let (number, sampled) = self.count(query.client.worker);
        // A lookup for a traced query is traced whatever its number, as in CoreDNS.
        if sampled || query.state.within.is_some() {
            self.begin(query, number);
        }
        Ok(Step::Next)
    }

    #[inline]
    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        if query.is_traced() {
            self.finish(query, reply);
        }
    }
}

#[cfg(test)]
mod tests;
