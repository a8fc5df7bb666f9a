//! Which of a cluster's namespaces are to be seen.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::cluster::Cluster;

/// A cluster, of which some namespaces are to be seen.
pub struct Exposed {
    cluster: Arc<Cluster>,
    only: Option<HashSet<Box<[u8]>>>,
    is_selected: bool,
    own: Box<[IpAddr]>,
}

impl Exposed {
    /// All namespaces of the cluster, or only these. `is_selected`: the cluster does not know of some. `own` are
    /// the addresses that this server is reached at.
    pub fn new(
        cluster: Arc<Cluster>,
        only: &[String],
        is_selected: bool,
        own: Box<[IpAddr]>,
    ) -> Self {
        let set = || only.iter().map(|name| name.as_bytes().into()).collect();
        Self { cluster, only: (!only.is_empty()).then(set), is_selected, own }
    }

    /// The cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The addresses that this server is reached at.
    pub fn own(&self) -> &[IpAddr] {
        &self.own
    }

    /// Whether the namespace with this name, in lower case, exists and is to be seen.
    #[inline]
    pub fn has(&self, namespace: &[u8]) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(namespace))
            && self.cluster.namespaces.has(namespace)
    }

    /// Whether reverse names may lead into the namespace: into all, unless some are chosen.
    pub fn may_name(&self, namespace: &[u8]) -> bool {
        (self.only.is_none() && !self.is_selected) || self.has(namespace)
    }
}
