//! What a plugin keeps for a query between the way in and the way out, without allocating per query.
//!
//! Each value is boxed the first time a pooled query needs it and reset, not freed, afterwards.

use std::any::Any;
use std::marker::PhantomData;

/// The key to one plugin's value of type `T` in every query of its chain.
#[derive(Debug)]
pub struct StateKey<T> {
    index: usize,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for StateKey<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for StateKey<T> {}

impl<T> StateKey<T> {
    /// The key with number `index`. Each number must have one type only.
    pub const fn new(index: usize) -> Self {
        Self { index, kind: PhantomData }
    }
}

/// The values of one query.
#[derive(Default)]
pub(crate) struct PluginStates {
    turn: u64,
    values: Vec<Option<(u64, Box<dyn Any + Send>)>>,
}

impl PluginStates {
    /// Every value is its type's default again.
    pub(crate) fn reset(&mut self) {
        self.turn += 1;
    }

    pub(crate) fn get<T: Default + Send + 'static>(&mut self, key: StateKey<T>) -> &mut T {
        if self.values.len() <= key.index {
            self.values.resize_with(key.index + 1, || None);
        }
        let turn = self.turn;
        let entry = &mut self.values[key.index];
        let fits = entry.as_ref().is_some_and(|(_, value)| value.is::<T>());
        if !fits {
            *entry = None;
        }
        let (written, value) = entry.get_or_insert_with(|| (turn, Box::new(T::default())));
        let Some(value) = value.downcast_mut::<T>() else {
            unreachable!("a value of another type was dropped above");
        };
        if *written != turn {
            *written = turn;
            *value = T::default();
        }
        value
    }
}
