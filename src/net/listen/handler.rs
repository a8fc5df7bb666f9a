//! The call by which transports have queries answered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use exchange::{Exchange, Pending};

use crate::workers::Worker;

/// The server, as a transport sees it.
pub trait Handler: Send + Sync + 'static {
    /// Answers what can be answered at once and sets the outcome of each exchange.
    ///
    /// The transport has filled [`Request::buffer_mut`](wire::Request::buffer_mut) with the raw message
    /// and set `peer`, `local`, `transport`, `worker` and `received` of the client. Parsing is the
    /// handler's business.
    fn serve_batch(&self, exchanges: &mut [Box<Exchange>]);

    /// Hears of the status of each response over HTTP.
    fn answered(&self, status: u16, worker: usize) {
        let _ = (status, worker);
    }
}

/// Has a batch served. A handler that panics costs its batch and nothing more: `false`, and the
/// exchanges are fresh and silent.
pub(crate) fn serve(handler: &dyn Handler, worker: &Worker, batch: &mut [Box<Exchange>]) -> bool {
    let served = catch_unwind(AssertUnwindSafe(|| handler.serve_batch(batch)));
    if served.is_err() {
        worker.counters.panics.add(1);
        for exchange in batch {
            **exchange = Exchange::new();
        }
        return false;
    }
    true
}

/// Refuses a query for which there is no room to wait.
pub(crate) fn refuse(pending: Pending, worker: &Worker, exchange: &mut Exchange) {
    worker.counters.waiting_refused.add(1);
    pending.refuse(exchange);
}

/// Counts one waiting query of a worker while it lives.
pub(crate) struct Permit(Arc<Worker>);

impl Permit {
    /// A permit, if the limit allows one more.
    pub(crate) fn take(worker: &Arc<Worker>) -> Option<Self> {
        worker.enter_waiting().then(|| Self(Arc::clone(worker)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.leave_waiting();
    }
}
