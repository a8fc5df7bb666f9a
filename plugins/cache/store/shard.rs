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

use super::super::entry::{Entry, Key, Mixed, TenantId};
use super::ghosts::Ghosts;
use super::queue::{self, EMPTY, Node, Queue, QueueEnds, Queues, UNLINKED, count, push, unlink};
use super::quota::Quota;
use super::table::{Cell, NONE, Table};

/// A part of the store.
#[repr(C)]
pub(super) struct Shard {
    // First, since a look that finds nothing reads no more of it.
    table: Table,
    /// Entries by place. A hit reads these and no others, so they lie close together.
    entries: Vec<Option<Arc<Entry>>>,
    nodes: Vec<Node>,
    free: Vec<u32>,
    queues: Queues,
    tenants: TenantList,
    ghosts: Ghosts,
}

/// What of an entry only insertions and evictions look at.
/// One half of one block's cache, as far as it lies here.
struct TenantQueues {
    number: TenantId,
    queues: Queues,
    quota_used: Arc<Quota>,
}

/// The spaces that have entries here.
#[derive(Default)]
struct TenantList {
    list: Vec<TenantQueues>,
    /// Indexes of those that have none any more.
    free: Vec<u32>,
    by_number: HashMap<TenantId, u32, BuildHasherDefault<Mixed>>,
}

impl TenantList {
    fn find(&self, number: TenantId) -> Option<u32> {
        self.by_number.get(&number).copied()
    }

    fn get(&self, index: u32) -> &TenantQueues {
        &self.list[index as usize]
    }

    fn get_mut(&mut self, index: u32) -> &mut TenantQueues {
        &mut self.list[index as usize]
    }

    /// The index of the space, which is about to have entries.
    fn index_of(&mut self, number: TenantId, quota_used: &Arc<Quota>) -> u32 {
        *self.by_number.entry(number).or_insert_with(|| {
            let tenant = TenantQueues { number, queues: EMPTY, quota_used: Arc::clone(quota_used) };
            if let Some(index) = self.free.pop() {
                self.list[index as usize] = tenant;
                return index;
            }
            self.list.push(tenant);
            self.list.len() as u32 - 1
        })
    }

    /// It has no entries any more.
    fn release(&mut self, index: u32) {
        let number = self.get(index).number;
        self.by_number.remove(&number);
        self.free.push(index);
    }
}

/// Whose oldest entry has to go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EvictFrom {
    All,
    /// Of the space with this index.
    Tenant(u32),
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
            nodes: Vec::new(),
            free: Vec::new(),
            queues: EMPTY,
            tenants: TenantList::default(),
            ghosts: Ghosts::default(),
        }
    }

    /// The entry under `key` in `space`.
    #[inline]
    pub(super) fn get(&self, hash: u64, key: &Key<'_>, tenant: TenantId) -> Option<&Arc<Entry>> {
        let at = self.find(hash, key, tenant)?;
        self.entries[at as usize].as_ref()
    }

    #[inline]
    fn find(&self, hash: u64, key: &Key<'_>, tenant: TenantId) -> Option<u32> {
        self.table.find(hash, |at| {
            self.entries[at as usize].as_ref().is_some_and(|entry| entry.matches(key, tenant))
        })
    }

    /// Where the cells of its table are, and what leaves of a hash the number of its first cell.
    #[inline]
    pub(super) fn cells_and_mask(&self) -> (*const Cell, usize) {
        self.table.cells_and_mask()
    }

    /// Starts to fetch what [`Shard::insert`] of an entry in `space` will read, the one that has to go for it
    /// included: all of that was last looked at long ago.
    pub(super) fn prefetch_insert(
        &self,
        hash: u64,
        tenant: TenantId,
        quota: usize,
        is_tight: bool,
    ) {
        self.table.prefetch(hash);
        self.ghosts.prefetch(hash);
        let is_full = |own: &TenantQueues| count(&own.queues) >= quota;
        // The new one will be on probation by then.
        let with_newcomer = |&[probation, resident]: &Queues| {
            queue::oldest(&[QueueEnds { len: probation.len + 1, ..probation }, resident])
        };
        let own = self.tenants.find(tenant).map(|index| self.tenants.get(index));
        let oldest = match own {
            Some(own) if is_full(own) => with_newcomer(&own.queues),
            _ if is_tight => with_newcomer(&self.queues),
            _ => None,
        };
        let Some(at) = oldest else { return };
        if let Some(Some(entry)) = self.entries.get(at as usize) {
            entry.prefetch();
            let hash = self.nodes[at as usize].hash;
            self.table.prefetch(hash);
            self.ghosts.prefetch(hash);
        }
    }

    /// Keeps an entry, in the place of the one with its key if there is one. Of its space there are at
    /// most `quota` entries here afterwards. While there is room, and the store is `roomy`, nobody
    /// waits on probation.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        entry: Arc<Entry>,
        quota_used: &Arc<Quota>,
        quota: usize,
        roomy: bool,
    ) -> Change {
        let tenant = entry.tenant();
        let mut change = Change { octets: entry.octets() as i64, evicted: 0 };
        if let Some(at) = self.find(hash, &entry.key(), tenant) {
            let old = self.entries[at as usize].replace(Arc::clone(&entry));
            if let Some(old) = old {
                entry.inherit_frequency(&old);
                change.octets -= old.octets() as i64;
            }
            return change;
        }
        let known = self.ghosts.recall(hash);
        let tenant = self.tenants.index_of(tenant, quota_used);
        let residents = self.tenants.get(tenant).queues[1];
        let room = roomy && residents.len < quota - quota / 10;
        let queue = if room || known && self.is_idle(residents.oldest) {
            Queue::Resident
        } else {
            Queue::Probation
        };
        let at = self.allocate(hash, tenant, entry);
        self.enqueue(at, queue);
        quota_used.grow();
        self.table.insert(hash, at);
        while count(&self.tenants.get(tenant).queues) > quota {
            let Some(octets) = self.evict(EvictFrom::Tenant(tenant)) else { break };
            change.octets -= octets as i64;
            change.evicted += 1;
        }
        change
    }

    /// Whether nobody asked for a resident for a while. If somebody did, it moves to the front.
    fn is_idle(&mut self, at: u32) -> bool {
        let resident = self.entries.get(at as usize).and_then(Option::as_ref);
        if !resident.is_some_and(|entry| entry.decrement_frequency()) {
            return true;
        }
        self.dequeue(at);
        self.enqueue(at, Queue::Resident);
        false
    }

    /// A place for a new entry, in no line yet.
    fn allocate(&mut self, hash: u64, tenant: u32, entry: Arc<Entry>) -> u32 {
        let node = Node { hash, tenant, queue: Queue::Probation, all: UNLINKED, own: UNLINKED };
        if let Some(at) = self.free.pop() {
            self.entries[at as usize] = Some(entry);
            self.nodes[at as usize] = node;
            return at;
        }
        self.entries.push(Some(entry));
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        count(&self.queues)
    }

    /// Lets the entry go that is needed least; the octets that it had.
    pub(super) fn evict_any(&mut self) -> Option<u64> {
        self.evict(EvictFrom::All)
    }

    fn evict(&mut self, from: EvictFrom) -> Option<u64> {
        loop {
            let at = self.oldest(from)?;
            let queue = self.nodes[at as usize].queue;
            let entry = self.entries[at as usize].as_ref()?;
            // What was used moves to the front, a few times at most.
            let stays = match queue {
                Queue::Probation => entry.reset_frequency(),
                Queue::Resident => entry.decrement_frequency(),
            };
            if stays {
                self.dequeue(at);
                self.enqueue(at, Queue::Resident);
                continue;
            }
            if queue == Queue::Probation {
                let hash = self.nodes[at as usize].hash;
                let entries = self.len();
                self.ghosts.remember(hash, entries);
            }
            return self.remove_at(at).map(|entry| entry.octets());
        }
    }

    fn oldest(&self, from: EvictFrom) -> Option<u32> {
        match from {
            EvictFrom::All => queue::oldest(&self.queues),
            EvictFrom::Tenant(tenant) => queue::oldest(&self.tenants.get(tenant).queues),
        }
    }

    /// Takes an entry out.
    pub(super) fn remove(
        &mut self,
        hash: u64,
        key: &Key<'_>,
        tenant: TenantId,
    ) -> Option<Arc<Entry>> {
        let at = self.find(hash, key, tenant)?;
        self.remove_at(at)
    }

    fn remove_at(&mut self, at: u32) -> Option<Arc<Entry>> {
        let Node { hash, tenant, .. } = self.nodes[at as usize];
        self.dequeue(at);
        self.table.remove(hash, at);
        self.free.push(at);
        let own = self.tenants.get(tenant);
        own.quota_used.shrink();
        if count(&own.queues) == 0 {
            self.tenants.release(tenant);
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
    pub(super) fn clear(&mut self, tenant: TenantId) -> u64 {
        let mut octets = 0;
        while let Some(index) = self.tenants.find(tenant) {
            let at = self
                .tenants
                .get(index)
                .queues
                .iter()
                .map(|queue| queue.oldest)
                .find(|&at| at != NONE);
            let Some(entry) = at.and_then(|at| self.remove_at(at)) else { break };
            octets += entry.octets();
        }
        octets
    }

    /// Puts an entry at the front of both its lines.
    fn enqueue(&mut self, at: u32, queue: Queue) {
        let tenant = self.nodes[at as usize].tenant;
        self.nodes[at as usize].queue = queue;
        push(&mut self.queues[queue as usize], &mut self.nodes, at, |node| &mut node.all);
        let own = &mut self.tenants.get_mut(tenant).queues[queue as usize];
        push(own, &mut self.nodes, at, |node| &mut node.own);
    }

    /// Takes an entry out of both its lines.
    fn dequeue(&mut self, at: u32) {
        let Node { tenant, queue, .. } = self.nodes[at as usize];
        unlink(&mut self.queues[queue as usize], &mut self.nodes, at, |node| &mut node.all);
        let own = &mut self.tenants.get_mut(tenant).queues[queue as usize];
        unlink(own, &mut self.nodes, at, |node| &mut node.own);
    }
}
