//! What survives a reload: caches, zones, upstream pools whose configuration did not change.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

type Values = HashMap<(TypeId, String), Arc<dyn Any + Send + Sync>>;

/// Values by type and key. Each configuration has its own set, built from the previous one's.
#[derive(Default)]
pub struct Kept {
    now: Mutex<Values>,
    before: Mutex<Values>,
}

impl Kept {
    /// The store of the configuration that follows this one.
    pub fn successor(&self) -> Self {
        let values = self.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { now: Mutex::default(), before: Mutex::new(values) }
    }

    /// The value kept under `key`, from this configuration or the one before, or a new one.
    ///
    /// The key must contain everything whose change makes a value unfit for reuse.
    /// Errors: those of `make`.
    pub fn get<T, E>(
        &self,
        key: impl Into<String>,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E>
    where
        T: Send + Sync + 'static,
    {
        let key = (TypeId::of::<T>(), key.into());
        let known = {
            let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            now.get(&key).or_else(|| before.get(&key)).cloned()
        };
        let value = match known.and_then(|value| value.downcast::<T>().ok()) {
            Some(value) => value,
            None => Arc::new(make()?),
        };
        let kept = Arc::clone(&value);
        self.now.lock().unwrap_or_else(PoisonError::into_inner).insert(key, kept);
        Ok(value)
    }

    /// Drops the values that only the previous configuration used.
    pub fn settle(&self) {
        self.before.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lives_as_long_as_each_configuration_asks_for_it() {
        let first = Kept::default();
        let one: Arc<u32> = first.get("a", || Ok::<_, ()>(1)).unwrap();
        let second = first.successor();
        let again: Arc<u32> = second.get("a", || Ok::<_, ()>(2)).unwrap();
        assert!(Arc::ptr_eq(&one, &again));
        second.settle();
        let third = first.successor().successor();
        assert_eq!(*third.get::<u32, ()>("a", || Ok(3)).unwrap(), 3, "nobody asked in between");
        assert!(third.get::<u32, &str>("b", || Err("no")).is_err());
    }
}
