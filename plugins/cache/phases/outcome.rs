//! The outcome of a flight, and the state that a query carries between the hooks.

use std::borrow::Cow;
use std::sync::Arc;

use chain::{Failure, Query};
use wire::edns::ede;
use wire::{Origin, Rcode};

use crate::cache::entry::Entry;
use crate::cache::flight::Leader;

/// The outcome of a flight.
#[derive(Clone)]
pub(in crate::cache) enum Outcome {
    /// An answer, stored or not. `renews`: it may replace stale data.
    Answer { entry: Arc<Entry>, renews: bool },
    /// A failure and its cause.
    Failed {
        rcode: Rcode,
        extended: Option<(u16, Cow<'static, str>)>,
        cause: Option<Arc<str>>,
        origin: Origin,
    },
    /// No reply at all.
    Silence,
    /// A reply for the leader's client only.
    Private,
}

/// The state that a query carries from one hook to the next.
#[derive(Default)]
pub(in crate::cache) struct QueryState {
    /// The [version](crate::cache::store::Store::version) of the store before the lookup in `on_query`
    /// that missed.
    pub(super) missed_at_version: Option<u32>,
    /// The lead of a flight, for a copy of a query that continues in the background.
    pub(super) leader: Option<Leader<Outcome>>,
}

impl Outcome {
    /// Whether this client may get the outcome.
    pub(super) fn is_for(&self, query: &Query) -> bool {
        match self {
            Self::Answer { entry, .. } => entry.is_for(query),
            Self::Failed { .. } | Self::Silence => true,
            Self::Private => false,
        }
    }
}

/// The failure of a cached failure. It is not logged again.
#[cold]
pub(super) fn cached_failure() -> Failure {
    Failure::rcode(Rcode::SERVFAIL)
        .extended(ede::CACHED_ERROR, "a recent attempt to resolve this query failed")
}
