//! The budget of file descriptors: who has how many of them, in the log and in metrics.

use std::sync::{Arc, Mutex, PoisonError};

use net::descriptors::{self, Limit, Shares};
use net::{LimitControl, Stats, StatsSnapshot};
use telemetry::metrics::{self, Sample, Type, Value};

/// The budget of the process.
pub(crate) struct Descriptors {
    limit: Limit,
    workers: usize,
    room: LimitControl,
    shares: Arc<Mutex<Shares>>,
}

impl Descriptors {
    /// Shares out `limit` descriptors, and shows what becomes of them.
    pub(crate) fn new(limit: Limit, workers: usize, stats: Stats, room: LimitControl) -> Self {
        let shares = descriptors::share_out(limit.now, workers, 0);
        let budget = Self { limit, workers, room, shares: Arc::new(Mutex::new(shares)) };
        budget.show();
        show(&stats);
        budget
    }

    /// Shares them out anew for a configuration that listens on so many sockets.
    pub(crate) fn share_out(&self, listeners: usize) -> Shares {
        let shares = descriptors::share_out(self.limit.now, self.workers, listeners);
        self.room.give_descriptors(shares.clients);
        *self.shares.lock().unwrap_or_else(PoisonError::into_inner) = shares;
        shares
    }

    /// Says once how many there are and for whom.
    pub(crate) fn announce(&self) {
        let Limit { before, now } = self.limit;
        let raised = if now > before { format!(" (raised from {before})") } else { String::new() };
        let Shares { clients, upstreams, .. } =
            *self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        telemetry::info!(
            "The limit on file descriptors is {now}{raised}: TCP clients may use {clients} of them, \
             sockets to upstreams {upstreams}"
        );
    }

    fn show(&self) {
        let limit = self.limit.now as f64;
        metrics::gauge_fn(
            "catena_descriptors_limit",
            "File descriptors that the process may have.",
            &[],
            &[],
            move || limit,
        );
        type Read = fn(&Shares) -> usize;
        let owners: [(&str, Read); 3] = [
            ("clients", |shares| shares.clients),
            ("upstreams", |shares| shares.upstreams),
            ("admin", |shares| shares.admin),
        ];
        for (owner, read) in owners {
            let shares = Arc::clone(&self.shares);
            metrics::gauge_fn(
                "catena_descriptors_share",
                "File descriptors that each owner may have of these.",
                &["owner"],
                &[owner],
                move || read(&shares.lock().unwrap_or_else(PoisonError::into_inner)) as f64,
            );
        }
    }
}

/// What connections of TCP clients met with.
fn show(stats: &Stats) {
    let open = stats.clone();
    metrics::gauge_fn(
        "catena_tcp_connections",
        "Connections of TCP clients that are open.",
        &[],
        &[],
        move || open.snapshot().tcp_open as f64,
    );
    let count = |name, help, read: fn(&StatsSnapshot) -> u64| {
        let stats = stats.clone();
        metrics::source(name, help, &[], Type::Counter, move |samples| {
            let value = Value::Counter(read(&stats.snapshot()) as f64);
            samples.push(Sample { labels: Vec::new(), value });
        });
    };
    count(
        "catena_tcp_connections_refused_total",
        "Connections closed at once because as many were open as may be.",
        |stats| stats.tcp_refused,
    );
    count(
        "catena_tcp_connections_evicted_total",
        "Idle connections closed to make room for new ones.",
        |stats| stats.tcp_evicted,
    );
    let sessions = stats.clone();
    metrics::source(
        "catena_tls_handshakes_total",
        "Handshakes of TLS clients by their result.",
        &["result"],
        Type::Counter,
        move |samples| {
            let now = sessions.snapshot();
            let results = [
                ("full", now.tls_full),
                ("resumed", now.tls_resumed),
                ("failed", now.tls_failed),
                ("timeout", now.tls_timed_out),
                ("evicted", now.tls_evicted),
            ];
            samples.extend(results.map(|(result, count)| Sample {
                labels: vec![result.to_owned()],
                value: Value::Counter(count as f64),
            }));
        },
    );
    count(
        "catena_https_connections_refused_total",
        "Connections for DNS over HTTPS closed at once because their listener has as many as it may have.",
        |stats| stats.https_refused,
    );
    count(
        "catena_https_replies_dropped_total",
        "Replies over HTTPS dropped because the client takes none of those before.",
        |stats| stats.https_dropped,
    );
    count(
        "catena_tcp_accept_failures_total",
        "Times that no connection could be accepted for want of descriptors or memory.",
        |stats| stats.tcp_accept_failed,
    );
}
