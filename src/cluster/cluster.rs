//! All of a cluster, and when it changed.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::namespaces::Namespaces;
use crate::objects::Detail;
use crate::pods::Pods;
use crate::services::{Changed, Services};

/// A cluster.
pub struct Cluster {
    /// Its services.
    pub services: Services,
    /// The services that it imports from other clusters.
    pub imports: Services,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Its pods.
    pub pods: Pods,
    inside: AtomicU32,
    outside: AtomicU32,
    imported: AtomicU32,
    is_complete: AtomicBool,
}

impl Cluster {
    /// A cluster of which nothing is known yet.
    pub fn new(detail: Detail) -> Self {
        Self {
            services: Services::new(detail),
            imports: Services::new(Detail { zones: false, ..detail }),
            namespaces: Namespaces::default(),
            pods: Pods::new(detail.pod_labels),
            inside: AtomicU32::new(0),
            outside: AtomicU32::new(0),
            imported: AtomicU32::new(0),
            is_complete: AtomicBool::new(false),
        }
    }

    /// Whether all objects were known once.
    #[inline]
    pub fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    /// Notes that all objects are known.
    pub fn note_complete(&self) {
        self.is_complete.store(true, Ordering::Release);
    }

    /// When names in the cluster changed last, in seconds of Unix time.
    pub fn changed(&self) -> u32 {
        self.inside.load(Ordering::Relaxed)
    }

    /// When addresses outside of the cluster changed last.
    pub fn changed_outside(&self) -> u32 {
        self.outside.load(Ordering::Relaxed)
    }

    /// When imported names changed last.
    pub fn changed_imports(&self) -> u32 {
        self.imported.load(Ordering::Relaxed)
    }

    /// Notes a change of services or pods at this moment.
    pub fn note(&self, changed: Changed, now: u32) {
        if changed.inside {
            self.inside.store(now, Ordering::Relaxed);
        }
        if changed.outside {
            self.outside.store(now, Ordering::Relaxed);
        }
    }

    /// Notes a change of imported services at this moment.
    pub fn note_imports(&self, changed: Changed, now: u32) {
        if changed.inside {
            self.imported.store(now, Ordering::Relaxed);
        }
    }

    /// Octets of memory, about.
    pub fn memory(&self) -> usize {
        self.services.memory() + self.imports.memory() + self.pods.memory()
    }
}
