//! Applies events of the API server to the cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chain::Clock;
use cluster::objects::{Id, Slice};
use cluster::{Changed, Cluster, Listed, Mark};
use kubeapi::{Event, Kind, Object, Resource, Sink};

use super::metrics::Metrics;

/// Takes the events of one resource.
pub(super) struct Intake {
    pub(super) cluster: Arc<Cluster>,
    pub(super) resource: Resource,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    /// Whether slices of imported services are kept, too.
    pub(super) imports: bool,
    /// The list that runs: its marks among services and imports.
    pub(super) marks: [Mark; 2],
    pub(super) is_listing: bool,
    /// Whether there was a whole list before: only later changes tell how long they took.
    pub(super) was_listed: AtomicBool,
}

impl Sink for Intake {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Begins => self.begin(),
            Event::Listed(object) => self.put(&object),
            Event::Changed(object) => {
                self.put(&object);
                if let Object::Slice(slice) = &object {
                    self.note_latency(slice);
                }
            }
            Event::Gone(object) => self.remove(&object),
            Event::Ends => self.end(),
            Event::Failed(failure) => {
                self.metrics.failed(self.resource.kind);
                telemetry::warning!("plugin/kubernetes: {failure}");
            }
            Event::Recovered => {
                let plural = self.resource.kind.plural();
                telemetry::info!("plugin/kubernetes: changes of {plural} arrive again");
            }
        }
    }
}

impl Intake {
    fn now(&self) -> u32 {
        (self.clock.unix)((self.clock.now)()) as u32
    }

    fn note(&self, changed: Changed) {
        if changed.inside || changed.outside {
            self.cluster.note(changed, self.now());
        }
    }

    fn note_imports(&self, changed: Changed) {
        if changed.inside {
            self.cluster.note_imports(changed, self.now());
        }
    }

    fn begin(&mut self) {
        let cluster = &self.cluster;
        self.is_listing = true;
        match self.resource.kind {
            Kind::Services => self.marks[0] = cluster.services.begin_list(Listed::Services),
            Kind::Imports => self.marks[1] = cluster.imports.begin_list(Listed::Services),
            Kind::Slices => {
                self.marks[0] = cluster.services.begin_list(Listed::Slices);
                self.marks[1] = cluster.imports.begin_list(Listed::Slices);
            }
            Kind::Namespaces => cluster.namespaces.begin_list(),
            Kind::Pods => cluster.pods.begin_list(),
        }
    }

    fn end(&mut self) {
        let (cluster, [own, imported]) = (&self.cluster, self.marks);
        self.is_listing = false;
        match self.resource.kind {
            Kind::Services => self.note(cluster.services.end_list(Listed::Services, own)),
            Kind::Imports => {
                self.note_imports(cluster.imports.end_list(Listed::Services, imported));
            }
            Kind::Slices => {
                self.note(cluster.services.end_list(Listed::Slices, own));
                self.note_imports(cluster.imports.end_list(Listed::Slices, imported));
            }
            Kind::Namespaces => cluster.namespaces.end_list(),
            Kind::Pods => {
                let inside = cluster.pods.end_list();
                self.note(Changed { inside, outside: false });
            }
        }
        self.was_listed.store(true, Ordering::Relaxed);
        self.metrics.listed(self.resource.kind);
    }

    fn put(&self, object: &Object<'_>) {
        let cluster = &self.cluster;
        match object {
            Object::Service(service) if self.resource.kind == Kind::Imports => {
                self.note_imports(cluster.imports.put_service(service));
            }
            Object::Service(service) => self.note(cluster.services.put_service(service)),
            Object::Slice(slice) => {
                self.note(cluster.services.put_slice(&slice.service, slice));
                if self.imports {
                    let changed = cluster.imports.put_slice(&slice.imported_service, slice);
                    self.note_imports(changed);
                }
            }
            Object::Namespace(name) => cluster.namespaces.put(name, self.is_listing),
            Object::Pod(pod) => {
                let inside = cluster.pods.put(pod);
                self.note(Changed { inside, outside: false });
            }
        }
    }

    fn remove(&self, object: &Object<'_>) {
        let cluster = &self.cluster;
        match object {
            Object::Service(service) if self.resource.kind == Kind::Imports => {
                self.note_imports(cluster.imports.remove_service(&service.id));
            }
            Object::Service(service) => self.note(cluster.services.remove_service(&service.id)),
            Object::Slice(slice) => {
                self.note(cluster.services.remove_slice(&slice.id));
                if self.imports {
                    self.note_imports(cluster.imports.remove_slice(&slice.id));
                }
            }
            Object::Namespace(name) => cluster.namespaces.remove(name),
            Object::Pod(pod) => {
                let inside = cluster.pods.remove(&pod.id);
                self.note(Changed { inside, outside: false });
            }
        }
    }

    /// Notes how long it took from the cause of a change until it is answered.
    fn note_latency(&self, slice: &Slice<'_>) {
        if slice.triggered.is_empty() || !self.was_listed.load(Ordering::Relaxed) {
            return;
        }
        let Id { namespace, name } = &slice.id;
        let Some(triggered) = super::time::unix_micros(&slice.triggered) else {
            telemetry::warning!(
                "plugin/kubernetes: DnsProgrammingLatency cannot be calculated for Endpoints \
                 '{namespace}/{name}'; invalid \"endpoints.kubernetes.io/last-change-trigger-time\" \
                 annotation RFC3339 value of {:?}",
                slice.triggered
            );
            return;
        };
        let kind =
            self.cluster.services.find(namespace.as_bytes(), slice.service.as_bytes(), |entry| {
                entry.service().map(|service| service.kind)
            });
        if let Some(Some(kind)) = kind {
            // The clock counts in whole seconds since 1970, and its moments in less.
            let now = (self.clock.now)();
            let micros = (self.clock.unix)(now) * 1_000_000;
            self.metrics.programmed(kind, micros.saturating_sub(triggered));
        }
    }
}
