//! What a question came to, and what goes with a query from one step to the next.

use std::borrow::Cow;
use std::sync::Arc;

use chain::{Failure, Query};
use wire::Rcode;
use wire::edns::ede;

use crate::cache::entry::Entry;
use crate::cache::flight::Leader;

/// What a question came to, for all who wait for it.
#[derive(Clone)]
pub(in crate::cache) enum Outcome {
    /// An answer, kept or not. `renews`: it may take the place of a stale one.
    Answer { entry: Arc<Entry>, renews: bool },
    /// No answer, and why.
    Failed { rcode: Rcode, extended: Option<(u16, Cow<'static, str>)>, cause: Option<Arc<str>> },
    /// Nothing is to be said.
    Silence,
    /// Good for the one who asked only.
    Private,
}

/// What goes with a query from one step to the next.
#[derive(Default)]
pub(in crate::cache) struct QueryState {
    /// `on_query` found nothing, and the store's [`version`](crate::cache::store::Store::version) was this before it looked.
    pub(super) missed_at_version: Option<u32>,
    /// Leadership, handed to the copy of a query that goes on in the background.
    pub(super) leader: Option<Leader<Outcome>>,
}

impl Outcome {
    /// Whether it is for this client, too.
    pub(super) fn is_for(&self, query: &Query) -> bool {
        match self {
            Self::Answer { entry, .. } => entry.is_for(query),
            Self::Failed { .. } | Self::Silence => true,
            Self::Private => false,
        }
    }
}

/// A failure that was remembered; it is not logged again.
#[cold]
pub(super) fn cached_failure() -> Failure {
    Failure::rcode(Rcode::SERVFAIL)
        .extended(ede::CACHED_ERROR, "a recent attempt to resolve this query failed")
}
