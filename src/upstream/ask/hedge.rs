//! How many queries may be hedged: the budget of `hedge`.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::Hedge;

/// The largest burst of hedges after a quiet time.
const BURST: u32 = 100;

/// The budget of hedges: each query earns a part of one. An overload, when every query is late, is
/// therefore not doubled.
pub(crate) struct Tokens {
    share: u32,
    /// Hundredths.
    left: AtomicU32,
}

impl Tokens {
    pub(crate) fn new(hedge: Hedge) -> Self {
        Self { share: u32::from(hedge.share), left: AtomicU32::new(100 * BURST) }
    }

    /// A query was sent.
    #[inline]
    pub(crate) fn earn(&self) {
        let left = self.left.load(Ordering::Relaxed);
        if left < 100 * BURST {
            self.left.store((left + self.share).min(100 * BURST), Ordering::Relaxed);
        }
    }

    /// Whether a query may be hedged.
    pub(crate) fn take(&self) -> bool {
        let less = |left: u32| left.checked_sub(100);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_ten_may_be_asked_twice() {
        let tokens = Tokens::new(Hedge::default());
        assert_eq!((0..1000).filter(|_| tokens.take()).count(), 100, "a burst");
        let twice = (0..1000).filter(|_| {
            tokens.earn();
            tokens.take()
        });
        assert_eq!(twice.count(), 100);
        (0..100_000).for_each(|_| tokens.earn());
        assert_eq!((0..1000).filter(|_| tokens.take()).count(), 100);
    }
}
