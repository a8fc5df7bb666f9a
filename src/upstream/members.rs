//! The upstreams of a group, and how this group asks each of them.

use std::sync::Arc;
use std::time::Duration;

use super::upstream::Upstream;

/// One upstream as one group asks it; what is known of the upstream may be shared with others.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) upstream: Arc<Upstream>,
    /// How many queries it gets, compared with others.
    pub(crate) weight: u32,
    /// How long it may take.
    pub(crate) read_timeout: Duration,
    /// Over TCP, however the client asked.
    pub(crate) force_tcp: bool,
    /// Over UDP, however the client asked.
    pub(crate) prefer_udp: bool,
}
