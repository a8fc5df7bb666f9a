//! One part of the shared store: a table of entries, and the order in which they have to go.
//!
//! The order is much like that of S3-FIFO (Yang and others, SOSP 2023). Once the room is taken, what is
//! new waits on probation, in a tenth of it; what is asked for there a second time moves to the rest,
//! and what is not goes first. So a scan of names that are asked for once runs through that tenth and
//! leaves the others alone. What had to go is remembered for a while; if it comes again and the oldest
//! of the rest is not in use, it goes there at once. `benches/stores` compares this with others.
//!
//! An entry stands in two lines of the same order: that of its space, which has a number of places,
//! and that of all spaces, whose octets are bounded. It must never know what a question is.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use super::super::entry::{Entry, Key, Mixed};
use super::ghosts::Ghosts;
use super::shared::Tally;
use super::table::{NONE, Table};

/// A part of the store.
pub(super) struct Shard {
    table: Table,
    /// Entries by place. A hit reads these and no others, so they lie close together.
    entries: Vec<Option<Arc<Entry>>>,
    places: Vec<Place>,
    free: Vec<u32>,
    lines: Lines,
    spaces: HashMap<u32, Space, BuildHasherDefault<Mixed>>,
    ghosts: Ghosts,
}

/// What of an entry only insertions and evictions look at.
#[derive(Clone, Copy)]
struct Place {
    hash: u64,
    space: u32,
    queue: Queue,
    /// Neighbours in the line of all, and in that of the space.
    all: Links,
    own: Links,
}

#[derive(Clone, Copy)]
struct Links {
    newer: u32,
    older: u32,
}

const ALONE: Links = Links { newer: NONE, older: NONE };

/// Where in its life an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queue {
    /// New, and not asked for since.
    Probation = 0,
    /// Asked for again.
    Resident = 1,
}

/// A line from its newest to its oldest member.
#[derive(Clone, Copy)]
struct Line {
    newest: u32,
    oldest: u32,
    len: usize,
}

type Lines = [Line; 2];

const EMPTY: Lines = [Line { newest: NONE, oldest: NONE, len: 0 }; 2];

/// One half of one block's cache, as far as it lies here.
struct Space {
    lines: Lines,
    tally: Arc<Tally>,
}

/// Whose oldest entry has to go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    All,
    Space(u32),
}

/// What a change of the shard made of its octets.
#[derive(Default)]
pub(super) struct Change {
    /// Octets more, or less.
    pub(super) octets: i64,
    /// Entries that had to go for it.
    pub(super) evicted: u64,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            table: Table::new(),
            entries: Vec::new(),
            places: Vec::new(),
            free: Vec::new(),
            lines: EMPTY,
            spaces: HashMap::default(),
            ghosts: Ghosts::default(),
        }
    }

    /// The entry under `key` in `space`.
    #[inline]
    pub(super) fn get(&self, hash: u64, key: &Key<'_>, space: u32) -> Option<&Arc<Entry>> {
        let at = self.find(hash, key, space)?;
        self.entries[at as usize].as_ref()
    }

    #[inline]
    fn find(&self, hash: u64, key: &Key<'_>, space: u32) -> Option<u32> {
        self.table.find(hash, |at| {
            self.entries[at as usize].as_ref().is_some_and(|entry| entry.is(key, space))
        })
    }

    /// Keeps an entry, in the place of the one with its key if there is one. Of its space there are at
    /// most `quota` entries here afterwards. While there is room, and the store is `roomy`, nobody
    /// waits on probation.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        entry: Arc<Entry>,
        tally: &Arc<Tally>,
        quota: usize,
        roomy: bool,
    ) -> Change {
        let space = entry.space();
        let mut change = Change { octets: entry.octets() as i64, evicted: 0 };
        if let Some(at) = self.find(hash, &entry.key(), space) {
            let old = self.entries[at as usize].replace(Arc::clone(&entry));
            if let Some(old) = old {
                entry.inherit_use(&old);
                change.octets -= old.octets() as i64;
            }
            return change;
        }
        let known = self.ghosts.recall(hash);
        let residents = self.spaces.get(&space).map_or(EMPTY[1], |own| own.lines[1]);
        let room = roomy && residents.len < quota - quota / 10;
        let queue = if room || known && self.is_idle(residents.oldest) {
            Queue::Resident
        } else {
            Queue::Probation
        };
        let at = self.place(hash, space, entry, tally);
        self.enter(at, queue);
        tally.grow();
        let places = &self.places;
        self.table.insert(hash, at, |at| places[at as usize].hash);
        while self.spaces.get(&space).is_some_and(|own| count(&own.lines) > quota) {
            let Some(octets) = self.evict(Whose::Space(space)) else { break };
            change.octets -= octets as i64;
            change.evicted += 1;
        }
        change
    }

    /// Whether nobody asked for a resident for a while. If somebody did, it moves to the front.
    fn is_idle(&mut self, at: u32) -> bool {
        let resident = self.entries.get(at as usize).and_then(Option::as_ref);
        if !resident.is_some_and(|entry| entry.take_turn()) {
            return true;
        }
        self.leave(at);
        self.enter(at, Queue::Resident);
        false
    }

    /// A place for a new entry, in no line yet.
    fn place(&mut self, hash: u64, space: u32, entry: Arc<Entry>, tally: &Arc<Tally>) -> u32 {
        self.spaces
            .entry(space)
            .or_insert_with(|| Space { lines: EMPTY, tally: Arc::clone(tally) });
        let place = Place { hash, space, queue: Queue::Probation, all: ALONE, own: ALONE };
        if let Some(at) = self.free.pop() {
            self.entries[at as usize] = Some(entry);
            self.places[at as usize] = place;
            return at;
        }
        self.entries.push(Some(entry));
        self.places.push(place);
        self.places.len() as u32 - 1
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        count(&self.lines)
    }

    /// Lets the entry go that is needed least; the octets that it had.
    pub(super) fn evict_any(&mut self) -> Option<u64> {
        self.evict(Whose::All)
    }

    fn evict(&mut self, whose: Whose) -> Option<u64> {
        loop {
            let at = self.oldest(whose)?;
            let queue = self.places[at as usize].queue;
            let entry = self.entries[at as usize].as_ref()?;
            // What was used moves to the front, a few times at most.
            let stays = match queue {
                Queue::Probation => entry.take_turns(),
                Queue::Resident => entry.take_turn(),
            };
            if stays {
                self.leave(at);
                self.enter(at, Queue::Resident);
                continue;
            }
            if queue == Queue::Probation {
                let hash = self.places[at as usize].hash;
                let entries = self.len();
                self.ghosts.remember(hash, entries);
            }
            return self.remove_at(at).map(|entry| entry.octets());
        }
    }

    /// Who is next to go: the oldest on probation, unless less than a tenth are.
    fn oldest(&self, whose: Whose) -> Option<u32> {
        let lines = match whose {
            Whose::All => &self.lines,
            Whose::Space(space) => &self.spaces.get(&space)?.lines,
        };
        let [probation, resident] = lines;
        let on_probation = probation.len * 10 > count(lines) || resident.len == 0;
        let line = if on_probation { probation } else { resident };
        (line.oldest != NONE).then_some(line.oldest)
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, hash: u64, key: &Key<'_>, space: u32) -> Option<Arc<Entry>> {
        let at = self.find(hash, key, space)?;
        self.remove_at(at)
    }

    fn remove_at(&mut self, at: u32) -> Option<Arc<Entry>> {
        let Place { hash, space, .. } = self.places[at as usize];
        self.leave(at);
        let places = &self.places;
        self.table.remove(hash, at, |at| places[at as usize].hash);
        self.free.push(at);
        if let Some(own) = self.spaces.get(&space) {
            own.tally.shrink();
            if count(&own.lines) == 0 {
                self.spaces.remove(&space);
            }
        }
        self.entries[at as usize].take()
    }

    /// All entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter().flatten()
    }

    /// Takes those out that `goes` says yes to.
    pub(super) fn remove_where(&mut self, goes: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let goes = |at: &u32| self.entries[*at as usize].as_ref().is_some_and(|entry| goes(entry));
        let gone: Vec<u32> = (0..self.entries.len() as u32).filter(goes).collect();
        gone.into_iter().filter_map(|at| self.remove_at(at)).collect()
    }

    /// Takes all entries of a space out; the octets they had.
    pub(super) fn clear(&mut self, space: u32) -> u64 {
        let mut octets = 0;
        while let Some(own) = self.spaces.get(&space) {
            let at = own.lines.iter().map(|line| line.oldest).find(|&at| at != NONE);
            let Some(entry) = at.and_then(|at| self.remove_at(at)) else { break };
            octets += entry.octets();
        }
        octets
    }

    /// Puts an entry at the front of both its lines.
    fn enter(&mut self, at: u32, queue: Queue) {
        let space = self.places[at as usize].space;
        self.places[at as usize].queue = queue;
        push(&mut self.lines[queue as usize], &mut self.places, at, |place| &mut place.all);
        if let Some(own) = self.spaces.get_mut(&space) {
            push(&mut own.lines[queue as usize], &mut self.places, at, |place| &mut place.own);
        }
    }

    /// Takes an entry out of both its lines.
    fn leave(&mut self, at: u32) {
        let Place { space, queue, .. } = self.places[at as usize];
        unlink(&mut self.lines[queue as usize], &mut self.places, at, |place| &mut place.all);
        if let Some(own) = self.spaces.get_mut(&space) {
            unlink(&mut own.lines[queue as usize], &mut self.places, at, |place| &mut place.own);
        }
    }
}

fn count(lines: &Lines) -> usize {
    lines[0].len + lines[1].len
}

fn push(line: &mut Line, places: &mut [Place], at: u32, links: fn(&mut Place) -> &mut Links) {
    *links(&mut places[at as usize]) = Links { newer: NONE, older: line.newest };
    match line.newest {
        NONE => line.oldest = at,
        second => links(&mut places[second as usize]).newer = at,
    }
    line.newest = at;
    line.len += 1;
}

fn unlink(line: &mut Line, places: &mut [Place], at: u32, links: fn(&mut Place) -> &mut Links) {
    let Links { newer, older } = *links(&mut places[at as usize]);
    match newer {
        NONE => line.newest = older,
        newer => links(&mut places[newer as usize]).older = older,
    }
    match older {
        NONE => line.oldest = newer,
        older => links(&mut places[older as usize]).newer = newer,
    }
    line.len -= 1;
}
