//! Health checks: of upstreams that failed a query, and only of those.
//!
//! Anything that looks like a reply is good health: a server that says SERVFAIL is there.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use net::client::{Connections, Network, Over};
use wire::{HEADER, Rtype};

use super::upstream::Upstream;
use net::random;

/// How long a check may take.
const TIMEOUT: Duration = Duration::from_secs(1);
/// `health_check 0s` does not mean a busy loop.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Checks `upstream` whenever it is in trouble, until it is well again.
pub(crate) async fn watch(upstream: Arc<Upstream>, network: Arc<Network>, interval: Duration) {
    loop {
        // First, because trouble may be left over from the configuration before.
        while upstream.is_unwell() {
            match check(&upstream, &network).await {
                Ok(()) => upstream.answered(),
                Err(error) => {
                    upstream.check_failed();
                    chain::debug!(
                        "plugin/forward: health check of {} failed: {error}",
                        upstream.name
                    );
                    tokio::time::sleep(interval.max(MIN_INTERVAL)).await;
                }
            }
        }
        upstream.trouble.notified().await;
    }
}

async fn check(upstream: &Upstream, network: &Network) -> io::Result<()> {
    let options = &upstream.options;
    let [high, low] = random::bytes::<2>()?;
    let recursion = u8::from(options.check_recursion);
    let mut message = vec![high, low, recursion, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(options.check_domain.as_wire());
    message.extend_from_slice(&Rtype::NS.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    let mut into = Vec::new();
    let mut accept =
        |reply: &[u8]| reply.len() >= HEADER && reply[..2] == [high, low] && reply[2] & 0x80 != 0;
    let (source, to) = (options.source, upstream.address);
    if options.check_tcp || options.over != Over::Tcp {
        // A connection of its own: one that is kept says nothing about new ones.
        let once = Connections::once(&options.over);
        once.ask(network, source, to, &message, TIMEOUT, &mut into, &mut accept).await.map(drop)
    } else {
        network.ask_udp(source, to, &message, TIMEOUT, &mut into, &mut accept).await
    }
}
