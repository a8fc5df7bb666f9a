//! What pools of connections have in common: options, times and the load of a connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::tls::Session;

/// How long connecting may take, the TLS handshake included, however long queries wait for it.
/// CoreDNS's bound too.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the orderly end of a connection may take.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The shortest time between two checks whether a connection is idle, however soon it expires.
pub(crate) const IDLE_CHECK: Duration = Duration::from_millis(20);

/// What connections are like.
#[derive(Clone)]
pub struct PoolOptions {
    /// How long an idle connection is kept; zero: it carries one question.
    pub expire: Duration,
    /// How many idle connections are kept; zero: no bound of its own.
    pub max_idle: usize,
    /// How long a connection gets new queries; zero: no bound.
    pub max_age: Duration,
    /// The TLS session and the expected server; `None`: plain text.
    pub session: Option<Session>,
    /// Called for each message that no query waits for.
    pub stray: Arc<dyn Fn() + Send + Sync>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        let expire = Duration::from_secs(10);
        let stray = Arc::new(|| {});
        Self { expire, max_idle: 0, max_age: Duration::ZERO, session: None, stray }
    }
}

impl PoolOptions {
    /// For one question over a connection of its own.
    pub fn once(session: Option<Session>) -> Self {
        Self { expire: Duration::ZERO, session, ..Self::default() }
    }
}

/// A connection that may be idle.
pub(crate) trait Idle {
    /// Since when, if it is.
    fn idle_since(&self) -> Option<Instant>;

    /// Takes no more queries, and closes.
    fn retire(&self);
}

/// Closes the connections that have been idle for longest, if more than `most` are; zero: no bound.
pub(crate) fn bound_idle<T: Idle>(open: &[Arc<T>], most: usize) {
    if most == 0 {
        return;
    }
    let mut idle: Vec<(Instant, &Arc<T>)> =
        open.iter().filter_map(|one| Some((one.idle_since()?, one))).collect();
    idle.sort_by_key(|(since, _)| *since);
    let surplus = idle.len().saturating_sub(most);
    for (_, one) in &idle[..surplus] {
        one.retire();
    }
}

/// The load of a connection; the least loaded first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    /// Queries wait and nothing comes: the server may work at one query at a time, and this one
    /// takes long.
    pub(crate) stalled: bool,
    pub(crate) waiting: usize,
}
