//! `coredns_plugin_enabled`: the plugins of the server blocks that are in service.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, Once, PoisonError};

use chain::{ChainRef, Setup};
use telemetry::metrics::{self, Sample, Type, Value};

/// A server block whose plugins are to be listed.
#[derive(Clone)]
pub(super) struct Block(Arc<Inner>);

struct Inner {
    /// Server and zone of each key.
    keys: Vec<(String, String)>,
    chain_ref: ChainRef,
    view: String,
    /// `metadata` is a plugin to CoreDNS; here it is a setting and has no link.
    metadata: bool,
}

/// The blocks that serve now.
static SERVING: Mutex<Vec<Arc<Inner>>> = Mutex::new(Vec::new());

impl Block {
    /// The block that is being set up.
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let keys = setup.keys().iter();
        Self(Arc::new(Inner {
            keys: keys.map(|key| (key.server.to_string(), key.zone.to_string())).collect(),
            chain_ref: setup.chain_ref(),
            view: setup.view().to_owned(),
            metadata: setup.has_metadata(),
        }))
    }

    /// Lists the block until the result is dropped.
    pub(super) fn list(self) -> Listed {
        static SOURCE: Once = Once::new();
        SOURCE.call_once(|| {
            metrics::source(
                "coredns_plugin_enabled",
                "A metric that indicates whether a plugin is enabled on per server and zone basis.",
                &["server", "zone", "view", "name"],
                Type::Gauge,
                samples,
            );
        });
        let mut serving = SERVING.lock().unwrap_or_else(PoisonError::into_inner);
        serving.push(Arc::clone(&self.0));
        Listed(self.0)
    }
}

/// Keeps a block in the list.
pub(super) struct Listed(Arc<Inner>);

impl Drop for Listed {
    fn drop(&mut self) {
        let mut serving = SERVING.lock().unwrap_or_else(PoisonError::into_inner);
        serving.retain(|block| !Arc::ptr_eq(block, &self.0));
    }
}

fn samples(out: &mut Vec<Sample>) {
    // While a configuration replaces another both may be listed: each series once.
    let mut seen = BTreeSet::new();
    let serving = SERVING.lock().unwrap_or_else(PoisonError::into_inner);
    for block in serving.iter() {
        let Some(chain) = block.chain_ref.chain() else {
            continue;
        };
        let metadata = block.metadata.then_some("metadata");
        for name in metadata.into_iter().chain(chain.names().iter().copied()) {
            for (server, zone) in &block.keys {
                seen.insert([server.clone(), zone.clone(), block.view.clone(), name.to_owned()]);
            }
        }
    }
    let samples = seen.into_iter();
    out.extend(samples.map(|labels| Sample { labels: labels.into(), value: Value::Gauge(1.0) }));
}
