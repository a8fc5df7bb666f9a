//! Slots that are free for the next query: one stack per thread, so that no lock is needed.

use std::cell::RefCell;

use exchange::{Exchange, Outcome};

/// How many slots a thread keeps; what comes back beyond that is freed.
const KEPT: usize = 512;

/// Memory of a slot that is kept. A few messages are as large as messages may be, and in time each slot
/// would have had one.
const LARGEST: usize = 16 << 10;

/// Slots on their way; boxed, so that they move between stacks and tasks by pointer.
pub(crate) type Slots = Vec<Box<Exchange>>;

thread_local! {
    static POOL: RefCell<Slots> = const { RefCell::new(Vec::new()) };
}

/// A slot from the pool, or a fresh one.
pub(crate) fn take() -> Box<Exchange> {
    let mut slot = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
    slot.outcome = Outcome::Silent;
    slot.channel = None;
    slot
}

/// Gives a slot back.
pub(crate) fn give(slot: Box<Exchange>) {
    if slot.query.room() + slot.reply.room() > LARGEST {
        return;
    }
    // The pool is gone when the thread is going: then the slot just goes too.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < KEPT {
            pool.push(slot);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_had_a_large_message_is_not_kept() {
        let mut slot = take();
        slot.query.buffer_mut().extend_from_slice(&[0; 300]);
        let at = std::ptr::from_ref(&*slot);
        give(slot);
        let mut slot = take();
        assert!(std::ptr::eq(at, &*slot));
        slot.query.buffer_mut().extend_from_slice(&[0; LARGEST]);
        give(slot);
        assert!(take().query.room() < LARGEST);
    }
}
