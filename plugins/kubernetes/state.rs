//! What is kept of a cluster while configurations come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use chain::{Clock, Setup};
use cluster::{Cluster, Detail, Mark};
use kubeapi::{Api, Kind, Resource, Status};
use telemetry::metrics;
use tokio::time::{Instant, interval, sleep_until};

use super::config::{Config, PodMode};
use super::metrics::Metrics;
use super::sink::Intake;

/// A cluster and how it is followed.
pub(super) struct State {
    pub(super) cluster: Arc<Cluster>,
    api: Api,
    watched: Vec<(Resource, Status)>,
    clock: Clock,
    /// The time to wait for a whole copy of the cluster is over.
    is_late: AtomicBool,
}

/// How often the age of what is known is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often a server that waits for its first copy says so.
const SAY: Duration = Duration::from_millis(500);

impl State {
    /// The state for this directive, from the configuration before if that has the same cluster.
    pub(super) fn of(config: &Config, setup: &Setup<'_>) -> Arc<Self> {
        let detail = Detail {
            pod_names: config.pod_names,
            zones: config.zonal,
            pod_labels: setup.has_metadata(),
        };
        let resources = resources(config);
        let key =
            format!("kubernetes {:?} {:?} {detail:?} {resources:?}", config.access, config.limits);
        let clock = setup.clock();
        let state = setup.keep(key, || Self {
            cluster: Arc::new(Cluster::new(detail)),
            api: Api::new(
                config.access.clone(),
                config.limits,
                concat!("catena/", env!("CARGO_PKG_VERSION")),
            ),
            watched: resources.into_iter().map(|it| (it, Status::default())).collect(),
            clock,
            is_late: AtomicBool::new(false),
        });
        show(&Arc::downgrade(&state), &config.primary.to_string());
        state
    }

    /// Whether all lists were complete once.
    #[inline]
    pub(super) fn is_synced(&self) -> bool {
        self.cluster.is_complete()
    }

    /// Whether a query should wait for the first copy of the cluster.
    pub(super) fn is_starting(&self) -> bool {
        !self.is_late.load(Ordering::Relaxed)
    }

    /// Waits until all lists were complete once, or the time for that is over.
    pub(super) async fn ready_or_late(&self) {
        let late = async {
            let mut look = interval(LOOK / 10);
            while self.is_starting() {
                look.tick().await;
            }
        };
        tokio::select! {
            () = self.synced() => {}
            () = late => {}
        }
    }

    /// Waits until all lists were complete once.
    pub(super) async fn synced(&self) {
        for (_, status) in &self.watched {
            status.synced().await;
        }
        self.cluster.note_complete();
    }

    /// For how long changes of some resource are not heard of.
    pub(super) fn age(&self) -> Duration {
        self.watched.iter().map(|(_, status)| status.age()).max().unwrap_or_default()
    }

    /// What is missing until the server is ready, for the operator.
    pub(super) fn missing(&self) -> String {
        let missing = self.watched.iter().filter(|(_, status)| !status.is_synced());
        let reasons: Vec<String> = missing
            .map(|(resource, status)| {
                let why = status.failure().map(|failure| failure.to_string());
                let plural = resource.kind.plural();
                format!("no list of {plural} yet: {}", why.as_deref().unwrap_or("it is being read"))
            })
            .collect();
        reasons.join("; ")
    }

    /// Requests the tasks that follow the cluster.
    pub(super) fn follow(self: &Arc<Self>, config: &Config, setup: &mut Setup<'_>) {
        for at in 0..self.watched.len() {
            let state = Arc::clone(self);
            let imports = !config.multicluster.is_empty();
            setup.task(move || async move { state.watch(at, imports).await });
        }
        let state = Arc::clone(self);
        setup.task(move || async move { state.synced().await });
        let (state, timeout) = (Arc::clone(self), config.startup_timeout);
        setup.task(move || async move { state.start(timeout).await });
    }

    async fn watch(&self, at: usize, imports: bool) {
        let (resource, status) = &self.watched[at];
        let mut intake = Intake {
            cluster: Arc::clone(&self.cluster),
            resource: resource.clone(),
            clock: self.clock,
            metrics: Metrics::new(),
            imports,
            marks: [Mark::default(); 2],
            is_listing: false,
            was_listed: AtomicBool::new(status.is_synced()),
        };
        kubeapi::follow(&self.api, resource, status, &mut intake).await;
    }

    /// Says that the first copy is awaited, as CoreDNS does, until it is there or the time is over.
    async fn start(&self, timeout: Duration) {
        if self.is_synced() || !self.is_starting() {
            return;
        }
        let until = Instant::now() + timeout;
        let mut say = interval(SAY);
        say.tick().await;
        loop {
            tokio::select! {
                () = self.synced() => break,
                () = sleep_until(until) => {
                    telemetry::warning!("plugin/kubernetes: starting server with unsynced Kubernetes API");
                    let missing = self.missing();
                    telemetry::warning!("plugin/kubernetes: {missing}");
                    break;
                }
                _ = say.tick() => {
                    telemetry::info!("plugin/kubernetes: waiting for Kubernetes API before starting server");
                }
            }
        }
        self.is_late.store(true, Ordering::Relaxed);
    }
}

/// Notes whether what is known of the cluster is older than `most`, for ever.
pub(super) async fn judge_age(state: Arc<State>, most: Duration, is_too_old: Arc<AtomicBool>) {
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        let is_old = state.is_synced() && state.age() > most;
        if is_too_old.swap(is_old, Ordering::Relaxed) != is_old {
            let shown = corefile::show_duration(most);
            if is_old {
                telemetry::error!(
                    "plugin/kubernetes: nothing is heard of the cluster for more than {shown}: \
                     queries fail until changes arrive again"
                );
            } else {
                telemetry::info!("plugin/kubernetes: queries are answered again");
            }
        }
    }
}

/// What a directive watches.
fn resources(config: &Config) -> Vec<Resource> {
    let objects = |kind| Resource { kind, labels: config.labels.clone() };
    let mut resources = vec![
        Resource { kind: Kind::Namespaces, labels: config.namespace_labels.clone() },
        objects(Kind::Services),
    ];
    if config.endpoints {
        resources.push(objects(Kind::Slices));
    }
    if config.pods == PodMode::Verified {
        resources.push(objects(Kind::Pods));
    }
    if !config.multicluster.is_empty() {
        resources.push(objects(Kind::Imports));
    }
    resources
}

/// Shows how much a cluster holds and how old it is; `server` names its API server.
fn show(state: &Weak<State>, server: &str) {
    let gauge = |name, help, read: fn(&State) -> f64| {
        let state = Weak::clone(state);
        metrics::gauge_fn(name, help, &["cluster"], &[server], move || {
            state.upgrade().map_or(0.0, |state| read(&state))
        });
    };
    gauge(
        "catena_kubernetes_data_age_seconds",
        "Time since changes of the cluster were last heard of; 0 while all watches run.",
        |state| state.age().as_secs_f64(),
    );
    gauge(
        "catena_kubernetes_services",
        "Services that are known, imported ones included.",
        |state| (state.cluster.services.len().0 + state.cluster.imports.len().0) as f64,
    );
    gauge("catena_kubernetes_endpoint_slices", "Slices that are known.", |state| {
        state.cluster.services.len().1 as f64
    });
    gauge("catena_kubernetes_pods", "Pods that are known.", |state| {
        state.cluster.pods.len() as f64
    });
    gauge("catena_kubernetes_bytes", "Memory for what is known of the cluster.", |state| {
        state.cluster.memory() as f64
    });
}
