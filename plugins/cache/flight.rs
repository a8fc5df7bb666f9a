//! Queries in flight: equal queries that arrive at the same time share one answer.
//!
//! One member of a flight, the leader, queries the chain; the others wait for its outcome. If the
//! leader is dropped without an outcome (its client closed the connection, the task was cancelled, a
//! plugin panicked), another member becomes the leader.

mod key;

use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::BuildHasherDefault;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use exchange::Query;

use super::entry::{Key, Mixed};
use key::{FlightKey, Variant};

/// The most queries that wait for one answer.
pub(super) const MAX_PER_FLIGHT: usize = 20_000;
/// The most queries that wait in total. The bound on the waiting queries of each worker is usually
/// reached first.
pub(super) const MAX_WAITING: usize = 50_000;
const SHARDS: usize = 32;

/// One query in flight, and later its outcome.
struct Flight<T> {
    key: FlightKey,
    state: Mutex<State<T>>,
}

struct State<T> {
    members: usize,
    /// Whether a member leads.
    has_leader: bool,
    outcome: Option<T>,
    /// The wakers of waiting members. The index of a member that left is reused.
    waiting: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl<T> Flight<T> {
    fn new(hash: u64, name: &[u8], variant: Variant) -> Arc<Self> {
        let key = FlightKey { hash, name: name.into(), variant };
        let state = State {
            members: 0,
            has_leader: false,
            outcome: None,
            waiting: Vec::new(),
            free: Vec::new(),
        };
        Arc::new(Self { key, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all waiting members.
    fn wake_all(mut state: MutexGuard<'_, State<T>>) {
        let waiting: Vec<Waker> = state.waiting.iter_mut().filter_map(Option::take).collect();
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// Flights by the hash of their key. If two keys have one hash, the second flight is not shared.
type Shard<T> = Mutex<HashMap<u64, Arc<Flight<T>>, BuildHasherDefault<Mixed>>>;

/// All queries in flight.
pub(super) struct Flights<T> {
    shards: [Shard<T>; SHARDS],
    members: AtomicUsize,
    max_per_flight: usize,
    max_members: usize,
}

/// A query that leads a flight or waits for it.
pub(super) struct Member<T> {
    flights: Arc<Flights<T>>,
    flight: Arc<Flight<T>>,
    /// The index of its waker.
    waker_index: Option<usize>,
}

/// The member that queries the chain. If it is dropped without an outcome, another member leads.
pub(super) struct Leader<T> {
    member: Member<T>,
}

/// The result of a member's wait.
pub(super) enum Turn<T> {
    /// The member leads: it must query the chain and publish the outcome.
    Lead(Leader<T>),
    /// The outcome of another leader.
    Outcome(T),
}

impl<T> Flights<T> {
    /// No flights yet, within these bounds.
    pub(super) fn new(max_per_flight: usize, max_members: usize) -> Arc<Self> {
        Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            members: AtomicUsize::new(0),
            max_per_flight,
            max_members,
        })
    }

    /// Joins the flight of queries equal to `query`; `None` if too many wait already.
    pub(super) fn join(self: &Arc<Self>, query: &Query) -> Option<Member<T>> {
        if self.members.fetch_add(1, Ordering::Relaxed) >= self.max_members {
            self.members.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let key = Key::of(query);
        let variant = Variant::of(&key, query);
        let hash = variant.hash(&key);
        let mut shard = self.shard(hash).lock().unwrap_or_else(PoisonError::into_inner);
        let known = shard.entry(hash).or_insert_with(|| Flight::new(hash, key.name, variant));
        let same = known.key.matches(&key, variant);
        let flight = if same { Arc::clone(known) } else { Flight::new(hash, key.name, variant) };
        let mut state = flight.state();
        if state.members >= self.max_per_flight {
            self.members.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        state.members += 1;
        drop(state);
        drop(shard);
        Some(Member { flights: Arc::clone(self), flight, waker_index: None })
    }

    /// Whether an equal query is in flight.
    pub(super) fn is_in_flight(&self, query: &Query) -> bool {
        let key = Key::of(query);
        let variant = Variant::of(&key, query);
        let hash = variant.hash(&key);
        let shard = self.shard(hash).lock().unwrap_or_else(PoisonError::into_inner);
        shard.get(&hash).is_some_and(|known| known.key.matches(&key, variant))
    }

    fn shard(&self, hash: u64) -> &Shard<T> {
        &self.shards[(hash >> 48) as usize % SHARDS]
    }

    /// Removes the flight if `is_over`, unless another flight has replaced it.
    fn remove(&self, flight: &Arc<Flight<T>>, is_over: impl FnOnce() -> bool) {
        let hash = flight.key.hash;
        let mut shard = self.shard(hash).lock().unwrap_or_else(PoisonError::into_inner);
        if is_over() && shard.get(&hash).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            shard.remove(&hash);
        }
    }
}

impl<T: Clone> Member<T> {
    /// Waits for the outcome, or for the lead.
    pub(super) async fn turn(mut self) -> Turn<T> {
        match poll_fn(|context| self.poll_turn(context)).await {
            Some(outcome) => Turn::Outcome(outcome),
            None => Turn::Lead(Leader { member: self }),
        }
    }

    /// The outcome, or `None` for the lead.
    fn poll_turn(&mut self, context: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.flight.state();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(Some(outcome.clone()));
        }
        if !mem::replace(&mut state.has_leader, true) {
            return Poll::Ready(None);
        }
        let State { waiting, free, .. } = &mut *state;
        let waker_index = *self.waker_index.get_or_insert_with(|| {
            free.pop().unwrap_or_else(|| {
                waiting.push(None);
                waiting.len() - 1
            })
        });
        waiting[waker_index] = Some(context.waker().clone());
        Poll::Pending
    }

    /// The lead, if no other member has it.
    pub(super) fn lead(self) -> Option<Leader<T>> {
        let mut state = self.flight.state();
        let taken = state.outcome.is_some() || mem::replace(&mut state.has_leader, true);
        drop(state);
        (!taken).then_some(Leader { member: self })
    }
}

impl<T> Drop for Member<T> {
    fn drop(&mut self) {
        self.flights.members.fetch_sub(1, Ordering::Relaxed);
        let mut state = self.flight.state();
        state.members -= 1;
        if let Some(waker_index) = self.waker_index {
            state.waiting[waker_index] = None;
            state.free.push(waker_index);
        }
        // A flight with an outcome is removed already.
        let last = state.members == 0 && state.outcome.is_none();
        drop(state);
        if last {
            self.flights.remove(&self.flight, || self.flight.state().members == 0);
        }
    }
}

impl<T> Leader<T> {
    /// Whether another member waits for the outcome.
    pub(super) fn has_followers(&self) -> bool {
        self.member.flight.state().members > 1
    }

    /// Another member of the same flight, which waits for the outcome while this one moves to a task of
    /// its own.
    pub(super) fn follower(&self) -> Member<T> {
        let Member { flights, flight, .. } = &self.member;
        flights.members.fetch_add(1, Ordering::Relaxed);
        flight.state().members += 1;
        Member { flights: Arc::clone(flights), flight: Arc::clone(flight), waker_index: None }
    }

    /// Publishes the outcome to all waiting members. A later query starts a new flight.
    pub(super) fn finish(self, outcome: T) {
        let Member { flights, flight, .. } = &self.member;
        flights.remove(flight, || true);
        let mut state = flight.state();
        state.outcome = Some(outcome);
        Flight::wake_all(state);
    }
}

impl<T> Drop for Leader<T> {
    fn drop(&mut self) {
        let mut state = self.member.flight.state();
        if state.outcome.is_none() {
            state.has_leader = false;
            // All are woken and one takes the lead: a single woken member could be dropped before it is
            // polled.
            Flight::wake_all(state);
        }
    }
}

#[cfg(test)]
mod tests;
