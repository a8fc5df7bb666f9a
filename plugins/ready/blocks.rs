//! The server blocks whose plugins report readiness, over all configurations of the process.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chain::ChainRef;

/// All blocks that have `ready`.
#[derive(Default)]
pub(super) struct Blocks {
    list: Arc<Mutex<Vec<Arc<Inner>>>>,
    shutting_down: AtomicBool,
}

struct Inner {
    chain_ref: ChainRef,
    /// Whether a plugin that was ready once is checked again.
    again: bool,
    /// Whether the configuration of the block serves.
    serves: AtomicBool,
    /// Links that were ready.
    were_ready: Mutex<HashSet<usize>>,
}

/// Keeps a block in the list while its configuration is being built or serves.
pub(super) struct Block {
    inner: Arc<Inner>,
    list: Arc<Mutex<Vec<Arc<Inner>>>>,
}

/// The answer of the endpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every plugin is ready.
    Ready,
    /// These plugins are not, in alphabetical order.
    Waiting(Vec<&'static str>),
    /// The server received a stop signal.
    ShuttingDown,
}

impl Blocks {
    /// Adds a block that is being set up.
    pub(super) fn add(&self, chain_ref: ChainRef, again: bool) -> Block {
        let inner = Arc::new(Inner {
            chain_ref,
            again,
            serves: AtomicBool::new(false),
            were_ready: Mutex::default(),
        });
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&inner));
        Block { inner, list: Arc::clone(&self.list) }
    }

    /// Reports every plugin as not ready from now on.
    pub(super) fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::Relaxed);
    }

    /// Checks the plugins.
    pub(super) fn verdict(&self) -> Verdict {
        if self.shutting_down.load(Ordering::Relaxed) {
            return Verdict::ShuttingDown;
        }
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // While a new configuration is built, only the blocks of the serving one count. Before the
        // first configuration serves, the blocks that are being built count.
        let serves = |block: &Arc<Inner>| block.serves.load(Ordering::Relaxed);
        let any_serves = list.iter().any(serves);
        let mut waiting = BTreeSet::new();
        for block in list.iter().filter(|block| !any_serves || serves(block)) {
            block.ask(&mut waiting);
        }
        if waiting.is_empty() {
            Verdict::Ready
        } else {
            Verdict::Waiting(waiting.into_iter().collect())
        }
    }
}

impl Inner {
    fn ask(&self, waiting: &mut BTreeSet<&'static str>) {
        let Some(chain) = self.chain_ref.chain() else {
            return;
        };
        let mut were_ready = self.were_ready.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, plugin) in chain.plugins().iter().enumerate() {
            let Some(role) = plugin.roles().ready else {
                continue;
            };
            if !self.again && were_ready.contains(&index) {
                continue;
            }
            match role.ready() {
                Ok(()) => {
                    were_ready.insert(index);
                }
                Err(why) => {
                    let name = chain.names()[index];
                    telemetry::debug!("plugin/ready: {name} is not ready: {why}");
                    waiting.insert(name);
                }
            }
        }
    }
}

impl Block {
    /// The configuration of the block serves from now on.
    pub(super) fn serve(&self) {
        self.inner.serves.store(true, Ordering::Relaxed);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|block| !Arc::ptr_eq(block, &self.inner));
    }
}
