//! One upstream over gRPC: its connections, its health and its metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use net::client::{GrpcClient, GrpcError, GrpcStatus, Network, ServerAddress};
use net::random;
use net::tls::Session;
use telemetry::metrics::Worker;
use tokio::sync::Notify;

use super::metrics::{GrpcOwner, UpstreamMetrics};

/// How long a check may take, and the time between two.
const CHECK: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(500);

/// What makes an upstream the same one after a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) place: ServerAddress,
    /// The TLS session and the expected server name; `None`: plain text.
    pub(super) session: Option<Session>,
    /// What it is called in requests.
    pub(super) authority: String,
}

impl Identity {
    fn client(&self) -> GrpcClient {
        GrpcClient::new(self.place.clone(), self.session.clone(), &self.authority)
    }
}

/// An upstream; survives reloads.
pub(super) struct Upstream {
    identity: Identity,
    /// Where it is, for labels.
    pub(super) name: String,
    /// One for each worker.
    clients: Box<[GrpcClient]>,
    /// It did not answer a question, and nothing since.
    suspect: AtomicBool,
    /// Wakes the check.
    trouble: Notify,
    pub(super) metrics: UpstreamMetrics,
    owner: &'static GrpcOwner,
}

impl Upstream {
    /// An upstream, assumed to be healthy.
    pub(super) fn new(identity: Identity, owner: &'static GrpcOwner, workers: usize) -> Self {
        let name = identity.place.to_string();
        Self {
            clients: (0..workers.max(1)).map(|_| identity.client()).collect(),
            suspect: AtomicBool::new(false),
            trouble: Notify::new(),
            metrics: UpstreamMetrics::new(owner, &name),
            owner,
            identity,
            name,
        }
    }

    /// The connection of `worker`.
    pub(super) fn client(&self, worker: Worker) -> &GrpcClient {
        &self.clients[worker % self.clients.len()]
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    /// The upstream answered, in whatever way.
    pub(super) fn answered(&self) {
        if self.is_suspect() {
            self.suspect.store(false, Ordering::Relaxed);
        }
    }

    /// The upstream did not answer.
    #[cold]
    pub(super) fn failed(&self) {
        self.suspect.store(true, Ordering::Relaxed);
        self.trouble.notify_one();
    }
}

/// Checks `upstream` after it did not answer, until it does: any answer counts as healthy.
pub(super) async fn watch(upstream: Arc<Upstream>, network: Arc<Network>) {
    loop {
        // First, because trouble may be left over from the configuration before.
        if upstream.is_suspect() {
            // A connection of its own: an open one proves nothing about new ones.
            let client = upstream.identity.client();
            while upstream.is_suspect() {
                match check(&client, &network).await {
                    Ok(()) => upstream.answered(),
                    Err(error) => {
                        let name = &upstream.name;
                        let plugin = upstream.owner.name;
                        telemetry::debug!("plugin/{plugin}: {name} does not answer: {error:?}");
                        tokio::time::sleep(INTERVAL).await;
                    }
                }
            }
        }
        upstream.trouble.notified().await;
    }
}

/// Asks for the name servers of the root.
async fn check(client: &GrpcClient, network: &Network) -> Result<(), GrpcError> {
    let [high, low] = random::bytes::<2>()?;
    let message = [high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    match client.ask(network, &message, CHECK).await {
        Ok(_) => Ok(()),
        Err(GrpcError::Status(status)) if status.code != GrpcStatus::UNAVAILABLE => Ok(()),
        Err(error) => Err(error),
    }
}
