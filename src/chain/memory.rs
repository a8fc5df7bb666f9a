//! The memory limit of the process, and the budget of its stores.
//!
//! It is a service that plugins find by type. A store with large, reproducible content, such as a cache,
//! registers itself as [`Evictable`]. The server measures the memory in use and sets the budget. This
//! file must never know a store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use telemetry::metrics::{self, Counter, SHARED};

/// A store whose entries can be evicted.
pub trait Evictable: Send + Sync {
    /// Octets held at present.
    fn held(&self) -> u64;

    /// Evicts the oldest entries until at most [`Memory::store_budget`] octets are held; returns their
    /// number.
    fn evict(&self) -> u64;
}

/// The memory limit of the process.
pub struct Memory {
    /// The limit of the system or the environment.
    given: u64,
    /// The limit in force: the given one, or the Corefile's.
    limit: AtomicU64,
    store_budget: AtomicU64,
    stores: Mutex<Vec<Weak<dyn Evictable>>>,
    evictions: Counter,
}

impl Memory {
    /// A limit of `limit` octets, unless the Corefile sets another.
    pub fn new(limit: u64) -> Self {
        let memory = Self {
            given: limit,
            limit: AtomicU64::new(0),
            store_budget: AtomicU64::new(0),
            stores: Mutex::default(),
            evictions: metrics::counter(
                "catena_memory_evictions_total",
                "Cache entries evicted because the memory limit was reached.",
                &[],
                &[],
            ),
        };
        memory.set_limit(None);
        memory
    }

    /// Sets the limit of the Corefile, or removes it.
    pub fn set_limit(&self, limit: Option<u64>) {
        let limit = limit.unwrap_or(self.given);
        if self.limit.swap(limit, Ordering::Relaxed) != limit {
            // Until the first measurement. The other half is for zones, buffers and code.
            self.set_store_budget(limit / 2);
        }
    }

    /// Octets that the process may use.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Octets that all stores together are allowed to hold.
    pub fn store_budget(&self) -> u64 {
        self.store_budget.load(Ordering::Relaxed)
    }

    /// Sets the octets that all stores together may hold.
    pub fn set_store_budget(&self, octets: u64) {
        self.store_budget.store(octets, Ordering::Relaxed);
    }

    /// Registers a store, for as long as it lives.
    pub fn register(&self, store: Weak<dyn Evictable>) {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|store| store.strong_count() > 0);
        stores.push(store);
    }

    fn stores(&self) -> Vec<Arc<dyn Evictable>> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.iter().filter_map(Weak::upgrade).collect()
    }

    /// Octets that stores hold.
    pub fn held(&self) -> u64 {
        self.stores().iter().map(|store| store.held()).sum()
    }

    /// Makes the stores evict down to the budget.
    pub fn evict(&self) {
        for store in self.stores() {
            self.count_evictions(store.evict());
        }
    }

    /// Counts entries that were evicted because the memory limit was reached.
    pub fn count_evictions(&self, entries: u64) {
        if entries > 0 {
            self.evictions.add(SHARED, entries);
        }
    }
}

/// A size in `GOMEMLIMIT`'s notation: octets, with a unit or without, or `off`.
///
/// # Errors
/// The text is not such a size.
pub fn parse_limit(text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() || text == "off" {
        return Ok(None);
    }
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        unit => return Err(format!("`{unit}` is not a unit: use B, KiB, MiB, GiB or TiB")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{digits}` is not a number"))?;
    number.checked_mul(1 << shift).map(Some).ok_or_else(|| format!("`{text}` is too large"))
}

/// Octets in a readable unit.
pub fn shown(octets: u64) -> String {
    match octets {
        0..1_048_576 => format!("{} KiB", octets >> 10),
        _ => format!("{} MiB", octets >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_go_reads_them() {
        assert_eq!(parse_limit("off"), Ok(None));
        assert_eq!(parse_limit("178257920"), Ok(Some(170 << 20)));
        assert_eq!(parse_limit("170MiB"), Ok(Some(170 << 20)));
        assert_eq!(parse_limit("2GiB"), Ok(Some(2 << 30)));
        for wrong in ["170M", "MiB", "1.5GiB", "-1", "99999999TiB"] {
            assert!(parse_limit(wrong).is_err(), "{wrong}");
        }
    }

    struct Full(AtomicU64);

    impl Evictable for Full {
        fn held(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
        fn evict(&self) -> u64 {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    #[test]
    fn stores_are_asked_while_they_live() {
        let memory = Memory::new(200);
        assert_eq!((memory.limit(), memory.store_budget(), memory.held()), (200, 100, 0));
        let store = Arc::new(Full(AtomicU64::new(7)));
        memory.register(Arc::downgrade(&store) as Weak<dyn Evictable>);
        assert_eq!(memory.held(), 7);
        let before = memory.evictions.get();
        memory.evict();
        assert_eq!((memory.held(), memory.evictions.get() - before), (0, 7));
        drop(store);
        assert!(memory.stores().is_empty());
    }

    #[test]
    fn the_corefile_decides_while_it_says_something() {
        let memory = Memory::new(200);
        memory.set_limit(Some(1000));
        assert_eq!((memory.limit(), memory.store_budget()), (1000, 500));
        memory.set_store_budget(300);
        memory.set_limit(Some(1000));
        assert_eq!(memory.store_budget(), 300, "nothing has changed");
        memory.set_limit(None);
        assert_eq!((memory.limit(), memory.store_budget()), (200, 100));
    }
}
