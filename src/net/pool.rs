//! Slots that wait for their next query: one stack per thread, so that nobody takes a lock.

use std::cell::RefCell;

use crate::handler::{Fate, Slot};

/// How many slots a thread keeps; what comes back beyond that is freed.
const KEPT: usize = 512;

/// Slots on their way; boxed, so that they move between stacks and tasks by pointer.
pub(crate) type Slots = Vec<Box<Slot>>;

thread_local! {
    static POOL: RefCell<Slots> = const { RefCell::new(Vec::new()) };
}

/// A slot from the pool, or a fresh one.
pub(crate) fn take() -> Box<Slot> {
    let mut slot = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
    slot.fate = Fate::Silent;
    slot
}

/// Gives a slot back.
pub(crate) fn give(slot: Box<Slot>) {
    // The pool is gone when the thread is going: then the slot just goes too.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < KEPT {
            pool.push(slot);
        }
    });
}
