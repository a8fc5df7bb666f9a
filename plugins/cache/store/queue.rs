//! The eviction queues of a shard: doubly linked lists whose links are indexes of nodes.
//!
//! A queue knows nodes only. Which entry belongs to a node, the shard knows.

/// No index.
pub(super) const NONE: u32 = u32::MAX;

/// What insertions and evictions read of an entry. Hits never read it.
#[derive(Clone, Copy)]
pub(super) struct Node {
    pub(super) hash: u64,
    /// Index of its tenant in the shard.
    pub(super) tenant: u32,
    pub(super) queue: Queue,
    /// Neighbours in the queue of all tenants.
    pub(super) all: Links,
    /// Neighbours in the queue of its own tenant.
    pub(super) own: Links,
}

/// Neighbours of a node.
#[derive(Clone, Copy)]
pub(super) struct Links {
    newer: u32,
    older: u32,
}

/// The links of a node that is in no queue.
pub(super) const UNLINKED: Links = Links { newer: NONE, older: NONE };

/// The queue that an entry is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// New entries that no query has hit since.
    Probation = 0,
    /// Entries that were hit again.
    Resident = 1,
}

/// A queue: its two ends and its length.
#[derive(Clone, Copy)]
pub(super) struct QueueEnds {
    pub(super) newest: u32,
    pub(super) oldest: u32,
    pub(super) len: usize,
}

/// The queues by [`Queue`].
pub(super) type Queues = [QueueEnds; 2];

pub(super) const EMPTY: Queues = [QueueEnds { newest: NONE, oldest: NONE, len: 0 }; 2];

/// The next victim: the oldest entry on probation, or the oldest resident if less than a tenth of the
/// entries are on probation.
pub(super) fn oldest(queues: &Queues) -> Option<u32> {
    let [probation, resident] = queues;
    let on_probation = probation.len * 10 > count(queues) || resident.len == 0;
    let queue = if on_probation { probation } else { resident };
    (queue.oldest != NONE).then_some(queue.oldest)
}

/// How many entries both queues have.
pub(super) fn count(queues: &Queues) -> usize {
    queues[0].len + queues[1].len
}

/// Adds the node `at` as the newest.
pub(super) fn push(
    queue: &mut QueueEnds,
    nodes: &mut [Node],
    at: u32,
    links: fn(&mut Node) -> &mut Links,
) {
    *links(&mut nodes[at as usize]) = Links { newer: NONE, older: queue.newest };
    match queue.newest {
        NONE => queue.oldest = at,
        second => links(&mut nodes[second as usize]).newer = at,
    }
    queue.newest = at;
    queue.len += 1;
}

/// Removes the node `at`.
pub(super) fn unlink(
    queue: &mut QueueEnds,
    nodes: &mut [Node],
    at: u32,
    links: fn(&mut Node) -> &mut Links,
) {
    let Links { newer, older } = *links(&mut nodes[at as usize]);
    match newer {
        NONE => queue.newest = older,
        newer => links(&mut nodes[newer as usize]).older = older,
    }
    match older {
        NONE => queue.oldest = newer,
        older => links(&mut nodes[older as usize]).newer = newer,
    }
    queue.len -= 1;
}
