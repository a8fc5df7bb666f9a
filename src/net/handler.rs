//! What a transport and the server agree on: a slot, its fate, and the call that decides it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use wire::{Query, Reply};

use crate::workers::Worker;

/// A future on the heap that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The reply's bytes go to the client.
    Send,
    /// The client gets nothing.
    Silent,
    /// The answer is not there yet: [`Handler::resume`] goes on with it.
    Wait,
}

/// A query, the reply to it, and what becomes of them. Slots are pooled per worker: their memory is
/// used again for the next query.
pub struct Slot {
    /// The query.
    pub query: Query,
    /// The reply.
    pub reply: Reply,
    /// What becomes of them; [`Fate::Silent`] until the handler says otherwise.
    pub fate: Fate,
}

impl Slot {
    /// An empty slot.
    pub fn new() -> Self {
        Self { query: Query::new(), reply: Reply::new(), fate: Fate::Silent }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

/// Who answers.
pub trait Handler: Send + Sync + 'static {
    /// Answers what can be answered at once and sets each slot's fate.
    ///
    /// The transport has filled [`Query::buffer_mut`] with the raw message and set `peer`, `local`,
    /// `transport`, `worker` and `received`. Parsing is the handler's business.
    fn serve_batch(&self, slots: &mut [Box<Slot>]);

    /// Goes on with a query whose fate is [`Fate::Wait`]; resolves with the slot ready to send or
    /// to be silent about.
    fn resume(&self, slot: Box<Slot>) -> BoxFuture<'static, Box<Slot>>;

    /// There is no room to wait for this query: writes the refusal into its reply (and counts it)
    /// and sets its fate.
    fn refuse(&self, slot: &mut Slot);
}

/// Lets the handler serve a batch. A handler that panics costs its batch and nothing more: `false`,
/// and the slots are fresh and silent.
pub(crate) fn serve(handler: &dyn Handler, worker: &Worker, slots: &mut [Box<Slot>]) -> bool {
    let served = catch_unwind(AssertUnwindSafe(|| handler.serve_batch(slots)));
    if served.is_err() {
        worker.counters.panics.add(1);
        for slot in slots {
            **slot = Slot::new();
        }
        return false;
    }
    true
}

/// Lets the handler refuse a query that there is no room to wait for.
pub(crate) fn refuse(handler: &dyn Handler, worker: &Worker, slot: &mut Slot) {
    worker.counters.waiting_refused.add(1);
    handler.refuse(slot);
    if slot.fate == Fate::Wait {
        slot.fate = Fate::Silent;
    }
}

/// One place among the waiting queries of a worker, given back when dropped.
pub(crate) struct Permit(Arc<Worker>);

impl Permit {
    /// A place, if there is one.
    pub(crate) fn take(worker: &Arc<Worker>) -> Option<Self> {
        worker.enter_waiting().then(|| Self(Arc::clone(worker)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.leave_waiting();
    }
}

/// The rest of a waiting query's life, as a task.
pub(crate) fn resume(
    handler: &dyn Handler,
    permit: Permit,
    slot: Box<Slot>,
) -> impl Future<Output = Box<Slot>> + Send + use<> {
    let rest = handler.resume(slot);
    async move {
        let slot = rest.await;
        drop(permit);
        slot
    }
}
