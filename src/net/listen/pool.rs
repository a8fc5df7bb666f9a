//! The pool of exchanges: one stack for each thread, without a lock.

use std::cell::RefCell;

use exchange::{Exchange, Outcome};

/// Exchanges that a thread pools; more are freed.
const POOLED: usize = 512;

/// Octets of the buffers of a pooled exchange. Large messages are rare, but in time each exchange would
/// have had one.
const LARGEST: usize = 16 << 10;

/// Exchanges, boxed so that they move between stacks and tasks by pointer.
pub(crate) type Exchanges = Vec<Box<Exchange>>;

thread_local! {
    static POOL: RefCell<Exchanges> = const { RefCell::new(Vec::new()) };
}

/// Takes an exchange from the pool, or makes one.
pub(crate) fn take() -> Box<Exchange> {
    let mut exchange = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
    exchange.outcome = Outcome::Silent;
    exchange.channel = None;
    exchange
}

/// Returns an exchange to the pool.
pub(crate) fn give(exchange: Box<Exchange>) {
    if exchange.query.room() + exchange.reply.room() > LARGEST {
        return;
    }
    // While the thread ends, its pool no longer exists, and the exchange is freed.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < POOLED {
            pool.push(exchange);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_that_had_a_large_message_is_not_pooled() {
        let mut exchange = take();
        exchange.query.buffer_mut().extend_from_slice(&[0; 300]);
        let at = std::ptr::from_ref(&*exchange);
        give(exchange);
        let mut exchange = take();
        assert!(std::ptr::eq(at, &*exchange));
        exchange.query.buffer_mut().extend_from_slice(&[0; LARGEST]);
        give(exchange);
        assert!(take().query.room() < LARGEST);
    }
}
