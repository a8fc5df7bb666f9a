//! One upstream over gRPC: its connections, its health and its metrics.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use net::client::{GrpcClient, GrpcError, GrpcStatus, Network, Place};
use net::random;
use net::tls::Session;
use telemetry::metrics::{self, Counter, Histogram, TIME_BUCKETS, Worker};
use tokio::sync::Notify;
use wire::Rcode;

/// Rcodes whose counter is found without a lock; others come from no known server.
const COMMON_RCODES: usize = 24;
/// How long a check may take, and the time between two.
const CHECK: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(500);

/// What makes an upstream the same one after a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) place: Place,
    /// With TLS, and whom to expect there.
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
    pub(super) numbers: Numbers,
}

impl Upstream {
    /// An upstream, assumed to be healthy.
    pub(super) fn new(identity: Identity, workers: usize) -> Self {
        let name = identity.place.to_string();
        Self {
            clients: (0..workers.max(1)).map(|_| identity.client()).collect(),
            suspect: AtomicBool::new(false),
            trouble: Notify::new(),
            numbers: Numbers::new(&name),
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
            // A connection of its own: one that is kept says nothing about new ones.
            let client = upstream.identity.client();
            while upstream.is_suspect() {
                match check(&client, &network).await {
                    Ok(()) => upstream.answered(),
                    Err(error) => {
                        let name = &upstream.name;
                        telemetry::debug!("plugin/grpc: {name} does not answer: {error:?}");
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

/// An upstream's metrics.
pub(super) struct Numbers {
    to: String,
    requests: Counter,
    durations: Histogram,
    responses: [OnceLock<Counter>; COMMON_RCODES],
    dropped: Counter,
    strange: Counter,
}

impl Numbers {
    fn new(to: &str) -> Self {
        Self {
            to: to.to_owned(),
            requests: metrics::counter(
                "coredns_grpc_requests_total",
                "Counter of requests made per upstream.",
                &["to"],
                &[to],
            ),
            durations: metrics::histogram(
                "coredns_grpc_request_duration_seconds",
                "Histogram of the time each request took.",
                &["to"],
                &[to],
                TIME_BUCKETS,
                1e-9,
            ),
            responses: [const { OnceLock::new() }; COMMON_RCODES],
            dropped: metrics::counter(
                "catena_grpc_replies_dropped_total",
                "Messages from an upstream that were not the expected reply.",
                &["to"],
                &[to],
            ),
            strange: metrics::counter(
                "catena_grpc_records_dropped_total",
                "Records dropped from upstream replies because they were unrelated to the question.",
                &["to"],
                &[to],
            ),
        }
    }

    /// A reply after `took`. CoreDNS counts a request when its reply came.
    pub(super) fn replied(&self, worker: Worker, rcode: Rcode, took: Duration) {
        self.requests.inc(worker);
        self.durations.observe(worker, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        match self.responses.get(usize::from(rcode.0)) {
            Some(known) => known.get_or_init(|| self.responses(rcode)).inc(worker),
            None => self.responses(rcode).inc(worker),
        }
    }

    #[cold]
    fn responses(&self, rcode: Rcode) -> Counter {
        // An rcode without a name is a number here, as in CoreDNS.
        let number = rcode.0.to_string();
        metrics::counter(
            "coredns_grpc_responses_total",
            "Counter of requests made per upstream.",
            &["rcode", "to"],
            &[rcode.mnemonic().unwrap_or(&number), &self.to],
        )
    }

    /// A message arrived that was not the reply.
    #[cold]
    pub(super) fn dropped(&self, worker: Worker) {
        self.dropped.inc(worker);
    }

    /// This many records of a reply did not belong to the question.
    #[cold]
    pub(super) fn strange(&self, worker: Worker, records: usize) {
        self.strange.add(worker, records as u64);
    }
}
