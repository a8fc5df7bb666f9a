//! The order in which entries have to go: lists through their places.

use super::table::NONE;

#[derive(Clone, Copy)]
pub(super) struct Node {
    pub(super) hash: u64,
    /// Index of its space in [`Tenants::list`].
    pub(super) tenant: u32,
    pub(super) queue: Queue,
    /// Neighbours in the line of all, and in that of the space.
    pub(super) all: Links,
    pub(super) own: Links,
}

#[derive(Clone, Copy)]
pub(super) struct Links {
    newer: u32,
    older: u32,
}

pub(super) const UNLINKED: Links = Links { newer: NONE, older: NONE };

/// Where in its life an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// New, and not asked for since.
    Probation = 0,
    /// Asked for again.
    Resident = 1,
}

/// A line from its newest to its oldest member.
#[derive(Clone, Copy)]
pub(super) struct QueueEnds {
    pub(super) newest: u32,
    pub(super) oldest: u32,
    pub(super) len: usize,
}

pub(super) type Queues = [QueueEnds; 2];

pub(super) const EMPTY: Queues = [QueueEnds { newest: NONE, oldest: NONE, len: 0 }; 2];

/// Who is next to go: the oldest on probation, unless less than a tenth are.
pub(super) fn oldest(queues: &Queues) -> Option<u32> {
    let [probation, resident] = queues;
    let on_probation = probation.len * 10 > count(queues) || resident.len == 0;
    let queue = if on_probation { probation } else { resident };
    (queue.oldest != NONE).then_some(queue.oldest)
}

pub(super) fn count(queues: &Queues) -> usize {
    queues[0].len + queues[1].len
}

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
