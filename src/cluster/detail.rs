//! What of the objects is kept.

/// What of the objects is kept beside that which every cluster needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Detail {
    /// The name of a pod stands for a missing hostname of its endpoint.
    pub pod_names: bool,
    /// The topology zones of endpoints.
    pub zones: bool,
    /// The labels of pods.
    pub pod_labels: bool,
}
