//! `prometheus`: counts queries and replies, and serves all metrics over HTTP.
//!
//! [`telemetry::dns_metrics`] does the counting. This module has the endpoint, the list of enabled plugins
//! and the metrics of the process. It never changes a query or a reply.

mod config;
mod enabled;
mod process;

use chain::{Batch, ChainRef, HttpReply, Kind, Query, Reply, Roles, Sees, ServeDns, Setup};
use corefile::{Diagnostics, Directive};
use telemetry::dns_metrics::DnsMetrics;
use telemetry::metrics;

/// The `prometheus` directive.
pub static PLUGIN: Kind =
    Kind { name: "prometheus", doc: include_str!("README.md"), once: true, setup, ..Kind::DEFAULT };

/// Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let config = config::parse(uses)?;
    setup.http(&config.address, "/metrics", |_| HttpReply::new(200, TEXT_FORMAT, metrics::text()));
    // `goversion` is one of CoreDNS's labels; there is no Go here, and an empty label is no label.
    metrics::gauge(
        "coredns_build_info",
        "A metric with a constant '1' value labeled by version, revision, and goversion from \
         which CoreDNS was built.",
        &["version", "revision", "goversion"],
        &[env!("CARGO_PKG_VERSION"), "", ""],
    )
    .set(1.0);
    process::expose();
    if config.runtime_metrics {
        process::expose_runtime(setup.workers());
    }

    let enabled = enabled::Block::new(setup);
    setup.task(|| async move {
        let _listed = enabled.list();
        std::future::pending::<()>().await;
    });
    let (keys, view) = (setup.keys().iter(), setup.view());
    let mut keys = keys.map(|key| DnsMetrics::new(&key.server, &key.zone.to_string(), view));
    if let Some(first) = keys.next() {
        let (others, chain_ref) = (keys.collect(), setup.chain_ref());
        setup.link(Prometheus { first, others, chain_ref });
    }
    Ok(())
}

/// Counts the replies of one server block.
#[repr(C)]
struct Prometheus {
    /// Of the block's first key; many blocks have no other, and find theirs without a further pointer.
    first: DnsMetrics,
    /// Of its other keys in their order.
    others: Box<[DnsMetrics]>,
    chain_ref: ChainRef,
}

impl ServeDns for Prometheus {
    fn prefetch(&self, batch: Batch<'_>, _: u8) {
        for query in batch.queries() {
            if let Some(key) = self.key(query) {
                key.prefetch(query.client.worker);
            }
        }
    }

    fn roles(&self) -> Roles<'_> {
        let reads = std::mem::offset_of!(Self, first) + DnsMetrics::READS;
        Roles { reads, sees: Sees::ALL, prefetch_stages: 1, ..Roles::default() }
    }

    #[inline]
    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        if let Some(key) = self.key(query) {
            key.replied(query, reply, || self.next_plugin());
        }
    }
}

impl Prometheus {
    /// The metrics of the key that the query came in by.
    #[inline]
    fn key(&self, query: &Query) -> Option<&DnsMetrics> {
        match usize::from(query.state.key).checked_sub(1) {
            None => Some(&self.first),
            Some(other) => self.others.get(other),
        }
    }

    /// The plugin that is counted as the writer of replies: in CoreDNS always the one right behind this
    /// one, since its tracker sees only the outermost writer.
    #[cold]
    fn next_plugin(&self) -> &'static str {
        let Some(chain) = self.chain_ref.chain() else {
            return "";
        };
        let behind = chain.position(PLUGIN.name).and_then(|own| chain.names().get(own + 1));
        behind.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::setup::{BlockSetup, Key};
    use chain::{Chain, Clock, Failure, HttpHandler, Kept, Served, Services, Step};
    use std::sync::Arc;
    use wire::{Moment, Name, Rcode, Rtype};

    struct Source;
    impl ServeDns for Source {
        fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
            if query.qtype() == Rtype::TXT {
                return Err(Failure::rcode(Rcode::REFUSED));
            }
            reply.set_rcode(Rcode::NXDOMAIN);
            Ok(Step::Done)
        }
    }
    struct Pass;
    impl ServeDns for Pass {}

    #[test]
    fn replies_are_counted_under_the_plugin_behind_this_one() {
        let clock = Clock { now: || Moment(0), unix: |_| 0 };
        let services = Services::new(1, clock, Kept::default());
        let zone = Name::from_text("counted.test.").unwrap();
        let keys = [Key::new(zone.clone(), wire::Endpoint::any(wire::Scheme::Dns, 53))];
        let mut block = BlockSetup::default();
        setup(&[], &mut block.plugin("prometheus", &keys, &services)).unwrap();
        block.plugin("errors", &keys, &services).link(Pass);
        block.plugin("template", &keys, &services).link(Source);
        let chain = Arc::new(Chain::new(std::mem::take(&mut block.links), clock));
        block.chain_ref.set(&chain);
        let (mut query, mut reply) = (Query::new(), Reply::new());
        for (qtype, from) in [(Rtype::A, 0), (Rtype::A, 0), (Rtype::TXT, 0)] {
            query.make_subquery(&Query::new(), zone.as_wire(), qtype, false);
            query.client.received = Moment(from);
            reply.begin(&query);
            chain.run(&mut query, &mut reply);
        }
        assert_eq!(block.requests.endpoints[0].address.text, "localhost:9153");
        let HttpHandler::Now(handler) = &block.requests.endpoints[0].handler else {
            panic!("metrics do not wait")
        };
        let text = String::from_utf8(handler(&Default::default()).body).unwrap();
        let (server, zone) = (r#"server="dns://:53""#, r#"view="",zone="counted.test.""#);
        for line in [
            format!(
                r#"coredns_dns_responses_total{{plugin="errors",rcode="NXDOMAIN",{server},{zone}}} 2"#
            ),
            format!(
                r#"coredns_dns_responses_total{{plugin="",rcode="REFUSED",{server},{zone}}} 1"#
            ),
            format!(
                r#"coredns_dns_requests_total{{family="1",proto="udp",{server},type="TXT",{zone}}} 1"#
            ),
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
        assert!(text.contains("process_resident_memory_bytes "), "{text}");

        let enabled = format!(r#"coredns_plugin_enabled{{name="template",{server},{zone}}} 1"#);
        assert!(!text.contains(&enabled), "not before it serves");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let running = block.requests.tasks.remove(0)();
        let running = runtime.spawn(running);
        runtime.block_on(tokio::task::yield_now());
        assert!(metrics::text().contains(&enabled), "{}", metrics::text());
        running.abort();
        let _ = runtime.block_on(running);
        assert!(!metrics::text().contains(&enabled), "not when it is replaced");
    }
}
