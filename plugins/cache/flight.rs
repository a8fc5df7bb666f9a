//! Questions under way: who asks the same thing at the same time waits for the one answer.
//!
//! One member of a flight leads and asks. If it goes away without an answer (its client closed the
//! connection, the task was dropped, a plugin panicked), the next one in line leads.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::{Class, Query, Rtype};

use super::entry::{Key, Mixed};
use super::subnet;

/// Questions that may wait for the same answer.
pub(super) const MAX_PER_FLIGHT: usize = 20_000;
/// Questions that may wait in all. Each of them has a place among the waiting queries of its worker,
/// which is the bound that is met first.
pub(super) const MAX_WAITING: usize = 50_000;
const SHARDS: usize = 32;

/// What makes two questions one: the cache's key, and what an upstream would answer differently.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ident {
    hash: u64,
    name: Box<[u8]>,
    qtype: Rtype,
    class: Class,
    bits: u8,
    /// An answer cut to a datagram is no answer for a stream.
    datagram: bool,
    /// Without RD an upstream may know nothing.
    recursion: bool,
    /// Zero, or which of a few lanes the client's network is in. An answer may be meant for one
    /// network, but a question that anybody may multiply by as many networks as there are would be
    /// forged an answer to before long.
    lane: u8,
}

/// Questions for the same name and type, from different networks, that go upstream at the same time.
const LANES: u64 = 16;

fn lane(query: &Query) -> u8 {
    subnet::source(query).map_or(0, |asked| {
        let octets = asked.source.octets().iter();
        let hash = octets.fold(0, |hash, &octet| wire::hash::mix(hash, u64::from(octet)));
        1 + (hash % LANES) as u8
    })
}

impl Hash for Ident {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Ident {
    fn of(query: &Query) -> Self {
        let key = Key::of(query);
        Self {
            hash: key.hash,
            name: key.name.into(),
            qtype: key.qtype,
            class: key.class,
            bits: key.bits,
            datagram: query.transport.is_datagram(),
            recursion: query.recursion_desired(),
            lane: lane(query),
        }
    }
}

/// One question under way, and in the end its outcome.
struct Flight<T> {
    /// One permit, held by the leader; closed when the outcome is there.
    turn: Arc<Semaphore>,
    outcome: OnceLock<T>,
}

type Shard<T> = Mutex<HashMap<Ident, (Arc<Flight<T>>, usize), BuildHasherDefault<Mixed>>>;

/// All questions under way.
pub(super) struct Flights<T> {
    shards: [Shard<T>; SHARDS],
    members: AtomicUsize,
    max_per_flight: usize,
    max_members: usize,
}

/// One who asks or waits.
pub(super) struct Member<T> {
    flights: Arc<Flights<T>>,
    flight: Arc<Flight<T>>,
    ident: Ident,
}

/// The one who asks. Dropped without an outcome, it hands over to the next in line.
pub(super) struct Leader<T> {
    member: Member<T>,
    _turn: OwnedSemaphorePermit,
}

/// What a member's wait came to.
pub(super) enum Turn<T> {
    /// Ask, and tell the others.
    Lead(Leader<T>),
    /// Somebody else asked.
    Outcome(T),
}

impl<T: Clone> Flights<T> {
    /// None under way yet, within these bounds.
    pub(super) fn new(max_per_flight: usize, max_members: usize) -> Arc<Self> {
        Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            members: AtomicUsize::new(0),
            max_per_flight,
            max_members,
        })
    }

    /// Joins those who ask the same as `query`; `None` when too many wait already.
    pub(super) fn join(self: &Arc<Self>, query: &Query) -> Option<Member<T>> {
        if self.members.fetch_add(1, Ordering::Relaxed) >= self.max_members {
            self.members.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let ident = Ident::of(query);
        let mut shard = self.shard(&ident).lock().unwrap_or_else(PoisonError::into_inner);
        let (flight, members) = shard.entry(ident.clone()).or_insert_with(|| {
            let turn = Arc::new(Semaphore::new(1));
            (Arc::new(Flight { turn, outcome: OnceLock::new() }), 0)
        });
        if *members >= self.max_per_flight {
            self.members.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        *members += 1;
        let flight = Arc::clone(flight);
        drop(shard);
        Some(Member { flights: Arc::clone(self), flight, ident })
    }
}

impl<T> Flights<T> {
    /// Whether anybody asks the same as `query`.
    pub(super) fn is_under_way(&self, query: &Query) -> bool {
        let ident = Ident::of(query);
        let shard = self.shard(&ident).lock().unwrap_or_else(PoisonError::into_inner);
        shard.contains_key(&ident)
    }

    fn shard(&self, ident: &Ident) -> &Shard<T> {
        &self.shards[(ident.hash >> 48) as usize % SHARDS]
    }

    /// Forgets the flight unless another of the same name has taken its place.
    fn leave(&self, ident: &Ident, flight: &Arc<Flight<T>>, landed: bool) {
        let mut shard = self.shard(ident).lock().unwrap_or_else(PoisonError::into_inner);
        let Some((known, members)) = shard.get_mut(ident) else {
            return;
        };
        if !Arc::ptr_eq(known, flight) {
            return;
        }
        if !landed {
            *members -= 1;
        }
        if landed || *members == 0 {
            shard.remove(ident);
        }
    }
}

impl<T: Clone> Member<T> {
    /// Waits for the outcome, or for the turn to ask.
    pub(super) async fn turn(self) -> Turn<T> {
        match Arc::clone(&self.flight.turn).acquire_owned().await {
            Ok(turn) => Turn::Lead(Leader { member: self, _turn: turn }),
            Err(_) => self.landed(),
        }
    }

    /// The turn to ask, if nobody else has it.
    pub(super) fn lead(self) -> Option<Leader<T>> {
        let turn = Arc::clone(&self.flight.turn).try_acquire_owned().ok()?;
        Some(Leader { member: self, _turn: turn })
    }

    fn landed(self) -> Turn<T> {
        match self.flight.outcome.get() {
            Some(outcome) => Turn::Outcome(outcome.clone()),
            // Closed without an outcome does not happen: `tell` sets it first.
            None => unreachable!("a flight that has landed has an outcome"),
        }
    }
}

impl<T> Drop for Member<T> {
    fn drop(&mut self) {
        self.flights.members.fetch_sub(1, Ordering::Relaxed);
        self.flights.leave(&self.ident, &self.flight, false);
    }
}

impl<T> Leader<T> {
    /// Whether anybody else waits for the outcome.
    pub(super) fn is_awaited(&self) -> bool {
        let Member { flights, ident, .. } = &self.member;
        let shard = flights.shard(ident).lock().unwrap_or_else(PoisonError::into_inner);
        shard.get(ident).is_some_and(|(_, members)| *members > 1)
    }

    /// Another member of the same flight, to learn the outcome while this one asks elsewhere.
    pub(super) fn follower(&self) -> Member<T> {
        let Member { flights, flight, ident } = &self.member;
        flights.members.fetch_add(1, Ordering::Relaxed);
        let mut shard = flights.shard(ident).lock().unwrap_or_else(PoisonError::into_inner);
        // It is there: the flight stays in the table until its leader has told.
        if let Some((_, members)) = shard.get_mut(ident) {
            *members += 1;
        }
        drop(shard);
        Member { flights: Arc::clone(flights), flight: Arc::clone(flight), ident: ident.clone() }
    }

    /// Tells all who wait; who comes later starts anew.
    pub(super) fn tell(self, outcome: T) {
        let Member { flights, flight, ident } = &self.member;
        let _ = flight.outcome.set(outcome);
        flights.leave(ident, flight, true);
        flight.turn.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Name;

    fn query(text: &str) -> Query {
        let mut query = Query::new();
        let name = Name::from_text(text).unwrap();
        query.ask_on_behalf(&Query::new(), name.as_wire(), Rtype::A, false);
        query
    }

    fn under_way<T>(flights: &Flights<T>) -> usize {
        flights.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    async fn lead(member: Member<u32>) -> Leader<u32> {
        match member.turn().await {
            Turn::Lead(leader) => leader,
            Turn::Outcome(_) => panic!("nobody asked yet"),
        }
    }

    async fn outcome(member: Member<u32>) -> u32 {
        match member.turn().await {
            Turn::Outcome(outcome) => outcome,
            Turn::Lead(_) => panic!("somebody asks already"),
        }
    }

    #[tokio::test]
    async fn one_asks_and_all_learn() {
        let flights = Flights::<u32>::new(10, 10);
        let leader = lead(flights.join(&query("a.")).unwrap()).await;
        let followers: Vec<_> =
            (0..3).map(|_| tokio::spawn(outcome(flights.join(&query("A.")).unwrap()))).collect();
        tokio::task::yield_now().await;
        assert!(leader.is_awaited());
        leader.tell(7);
        for follower in followers {
            assert_eq!(follower.await.unwrap(), 7);
        }
        assert_eq!((under_way(&flights), flights.members.load(Ordering::Relaxed)), (0, 0));
    }

    #[tokio::test]
    async fn the_next_in_line_leads_when_the_leader_goes() {
        let flights = Flights::<u32>::new(10, 10);
        let leader = lead(flights.join(&query("a.")).unwrap()).await;
        let second = flights.join(&query("a.")).unwrap();
        let third = flights.join(&query("a.")).unwrap();
        drop(leader);
        let leader = lead(second).await;
        leader.tell(8);
        assert_eq!(outcome(third).await, 8);
        assert_eq!((under_way(&flights), flights.members.load(Ordering::Relaxed)), (0, 0));
    }

    #[tokio::test]
    async fn nobody_left_leaves_nothing() {
        let flights = Flights::<u32>::new(10, 10);
        let leader = lead(flights.join(&query("a.")).unwrap()).await;
        let waits = flights.join(&query("a.")).unwrap();
        drop(waits);
        drop(leader);
        assert_eq!((under_way(&flights), flights.members.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn both_bounds_hold() {
        let flights = Flights::<u32>::new(2, 3);
        let first = flights.join(&query("a."));
        let second = flights.join(&query("a."));
        assert!(first.is_some() && second.is_some());
        assert!(flights.join(&query("a.")).is_none(), "two for each question");
        let third = flights.join(&query("b."));
        assert!(third.is_some());
        assert!(flights.join(&query("c.")).is_none(), "three in all");
        drop(first);
        assert!(flights.join(&query("c.")).is_some());
    }

    #[test]
    fn what_an_upstream_answers_differently_is_another_question() {
        let flights = Flights::<u32>::new(10, 10);
        let mut stream = query("a.");
        stream.transport = wire::Transport::Tcp;
        let _held = flights.join(&query("a.")).unwrap().lead();
        assert!(flights.join(&stream).unwrap().lead().is_some());
        assert!(flights.join(&query("a.")).unwrap().lead().is_none());
    }
}
