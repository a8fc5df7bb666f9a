//! One shard of the shared store: an index of entries and their eviction queues.
//!
//! The eviction policy is a variant of S3-FIFO (Yang and others, SOSP 2023). Once the room is used
//! up, a new entry starts on probation, in a tenth of the room. An entry on probation that is hit
//! becomes a resident; one that is not hit is evicted first. A scan of names that are each queried
//! once therefore passes through that tenth and evicts no resident. The hashes of evicted entries
//! are remembered as ghosts: an entry that comes back becomes a resident at once, if the oldest
//! resident is not in use. `benches/stores` compares this policy with others.
//!
//! An entry is in two queues of the same order: that of its tenant, whose entries are bounded, and
//! that of all tenants, whose octets are bounded. A shard must never know what a query is.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use wire::HashIndex;

use super::super::entry::{Entry, Key, Mixed, TenantId};
use super::ghosts::Ghosts;
use super::queue::{
    self, EMPTY, NONE, Node, Queue, QueueEnds, Queues, UNLINKED, count, push, unlink,
};
use super::quota::Quota;

/// A shard of the store.
#[repr(C)]
pub(super) struct Shard {
    // First, because a lookup that misses reads no other field.
    /// The index of entries by hash.
    index: HashIndex,
    /// Entries by index. A hit reads these and no nodes, so they are dense.
    entries: Vec<Option<Arc<Entry>>>,
    /// The nodes of the entries, by the same index.
    nodes: Vec<Node>,
    /// Unused indexes.
    free: Vec<u32>,
    queues: Queues,
    tenants: TenantList,
    ghosts: Ghosts,
}

/// The entries of one tenant in this shard.
struct TenantQueues {
    id: TenantId,
    queues: Queues,
    quota: Arc<Quota>,
}

/// The tenants that have entries in this shard.
#[derive(Default)]
struct TenantList {
    list: Vec<TenantQueues>,
    /// Unused indexes of `list`.
    free: Vec<u32>,
    by_id: HashMap<TenantId, u32, BuildHasherDefault<Mixed>>,
}

impl TenantList {
    fn find(&self, id: TenantId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    fn get(&self, index: u32) -> &TenantQueues {
        &self.list[index as usize]
    }

    fn get_mut(&mut self, index: u32) -> &mut TenantQueues {
        &mut self.list[index as usize]
    }

    /// The index of the tenant, which is added if it has no entries here yet.
    fn index_of(&mut self, id: TenantId, quota: &Arc<Quota>) -> u32 {
        *self.by_id.entry(id).or_insert_with(|| {
            let tenant = TenantQueues { id, queues: EMPTY, quota: Arc::clone(quota) };
            if let Some(index) = self.free.pop() {
                self.list[index as usize] = tenant;
                return index;
            }
            self.list.push(tenant);
            self.list.len() as u32 - 1
        })
    }

    /// Removes a tenant whose last entry is gone.
    fn release(&mut self, index: u32) {
        let id = self.get(index).id;
        self.by_id.remove(&id);
        self.free.push(index);
    }
}

/// The queue to evict from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EvictFrom {
    All,
    /// The tenant with this index.
    Tenant(u32),
}

/// The effect of a change on the sizes.
#[derive(Default)]
pub(super) struct Change {
    /// Octets added; negative if removed.
    pub(super) octets: i64,
    /// Entries evicted for it.
    pub(super) evicted: u64,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            index: HashIndex::default(),
            entries: Vec::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            queues: EMPTY,
            tenants: TenantList::default(),
            ghosts: Ghosts::default(),
        }
    }

    /// The entry of `tenant` under `key`.
    #[inline]
    pub(super) fn get(&self, hash: u64, key: &Key<'_>, tenant: TenantId) -> Option<&Arc<Entry>> {
        let at = self.find(hash, key, tenant)?;
        self.entries[at as usize].as_ref()
    }

    #[inline]
    fn find(&self, hash: u64, key: &Key<'_>, tenant: TenantId) -> Option<u32> {
        self.index.find(hash, |at| {
            self.entries[at as usize].as_ref().is_some_and(|entry| entry.matches(key, tenant))
        })
    }

    /// The address of the index's cells, and their number.
    #[inline]
    pub(super) fn cells(&self) -> (*const u64, usize) {
        self.index.cells()
    }

    /// Prefetches what [`Shard::insert`] will touch, including the entry that it will evict, which is
    /// cold by now.
    pub(super) fn prefetch_insert(
        &self,
        hash: u64,
        tenant: TenantId,
        quota: &Quota,
        is_tight: bool,
    ) {
        self.index.prefetch(hash);
        self.ghosts.prefetch(hash);
        let is_full = |own: &TenantQueues| count(&own.queues) >= quota.per_shard();
        // The new entry will be on probation when the victim is chosen.
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
            self.index.prefetch(hash);
            self.ghosts.prefetch(hash);
        }
    }

    /// Inserts an entry, or replaces the one with its key. Afterwards its tenant has no more entries
    /// here than `quota` allows. While the tenant has room, and the store `has_room`, a new entry is a
    /// resident at once.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        entry: Arc<Entry>,
        quota: &Arc<Quota>,
        has_room: bool,
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
        let is_ghost = self.ghosts.recall(hash);
        let most = quota.per_shard();
        let tenant = self.tenants.index_of(tenant, quota);
        let residents = self.tenants.get(tenant).queues[1];
        let room = has_room && residents.len < most - most / 10;
        let queue = if room || is_ghost && self.is_idle_resident(residents.oldest) {
            Queue::Resident
        } else {
            Queue::Probation
        };
        let at = self.allocate(hash, tenant, entry);
        self.enqueue(at, queue);
        quota.grow();
        self.index.insert(hash, at);
        while count(&self.tenants.get(tenant).queues) > most {
            let Some(octets) = self.evict(EvictFrom::Tenant(tenant)) else { break };
            change.octets -= octets as i64;
            change.evicted += 1;
        }
        change
    }

    /// Whether the resident `at` was not hit for a while. One that was hit moves to the front.
    fn is_idle_resident(&mut self, at: u32) -> bool {
        let resident = self.entries.get(at as usize).and_then(Option::as_ref);
        if !resident.is_some_and(|entry| entry.decrement_frequency()) {
            return true;
        }
        self.dequeue(at);
        self.enqueue(at, Queue::Resident);
        false
    }

    /// An index for a new entry, which is in no queue yet.
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

    /// Evicts the entry that is needed least. Returns its octets.
    pub(super) fn evict_any(&mut self) -> Option<u64> {
        self.evict(EvictFrom::All)
    }

    fn evict(&mut self, from: EvictFrom) -> Option<u64> {
        loop {
            let at = self.oldest(from)?;
            let queue = self.nodes[at as usize].queue;
            let entry = self.entries[at as usize].as_ref()?;
            // An entry that was hit moves to the front, at most a few times without another hit.
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

    /// Removes the entry of `tenant` under `key`.
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
        self.index.remove(hash, at);
        self.free.push(at);
        let own = self.tenants.get(tenant);
        own.quota.shrink();
        if count(&own.queues) == 0 {
            self.tenants.release(tenant);
        }
        self.entries[at as usize].take()
    }

    /// All entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter().flatten()
    }

    /// Removes the entries that `which` selects.
    pub(super) fn remove_where(&mut self, which: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let selected =
            |at: &u32| self.entries[*at as usize].as_ref().is_some_and(|entry| which(entry));
        let removed: Vec<u32> = (0..self.entries.len() as u32).filter(selected).collect();
        removed.into_iter().filter_map(|at| self.remove_at(at)).collect()
    }

    /// Removes all entries of a tenant. Returns their octets.
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

    /// Adds an entry to the front of both its queues.
    fn enqueue(&mut self, at: u32, queue: Queue) {
        let tenant = self.nodes[at as usize].tenant;
        self.nodes[at as usize].queue = queue;
        push(&mut self.queues[queue as usize], &mut self.nodes, at, |node| &mut node.all);
        let own = &mut self.tenants.get_mut(tenant).queues[queue as usize];
        push(own, &mut self.nodes, at, |node| &mut node.own);
    }

    /// Removes an entry from both its queues.
    fn dequeue(&mut self, at: u32) {
        let Node { tenant, queue, .. } = self.nodes[at as usize];
        unlink(&mut self.queues[queue as usize], &mut self.nodes, at, |node| &mut node.all);
        let own = &mut self.tenants.get_mut(tenant).queues[queue as usize];
        unlink(own, &mut self.nodes, at, |node| &mut node.own);
    }
}
