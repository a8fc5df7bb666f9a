//! Groups of statements: those that a batch changes, or all.

use wire::name::NameBuf;

use crate::feed::State;
use crate::owners::Owners;
use crate::packed::{self, Head, Place};

/// An owner that comes, changes or goes: its place in the feed, and in the batch.
pub(super) struct Change {
    pub(super) old: Option<Place>,
    pub(super) new: Option<Place>,
}

/// A group of statements: the hash of its name, its owner, and its place there.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub(super) hash: u64,
    owner: Place,
    at: u32,
}

/// The owner is one of the batch. An owner has at most [`packed::MAX_BYTES`] octets, so the bit is free.
const STAGED: u32 = 1 << 31;

impl Group {
    pub(super) fn is_staged(&self) -> bool {
        self.at & STAGED != 0
    }
}

/// The owners of the feed, and those of the batch.
#[derive(Clone, Copy)]
pub(super) struct Both<'s> {
    pub(super) state: &'s State,
    pub(super) staged: &'s Owners,
}

impl<'s> Both<'s> {
    /// The groups of the owners that change, without those that an owner states before and after.
    pub(super) fn changed_groups(self, changes: &[Change]) -> Vec<Group> {
        let mut groups = Vec::new();
        for change in changes {
            let start = groups.len();
            if let Some(old) = change.old {
                self.push_groups(old, 0, &mut groups);
            }
            if let Some(new) = change.new {
                self.push_groups(new, STAGED, &mut groups);
            }
            if change.old.is_some() && change.new.is_some() {
                self.drop_equal(&mut groups, start);
            }
        }
        groups.sort_unstable_by_key(|group| group.hash);
        groups
    }

    /// The groups of all owners, as they will be.
    pub(super) fn all_groups(self, changes: &[Change]) -> Vec<Group> {
        let mut gone: Vec<Place> = changes.iter().filter_map(|change| change.old).collect();
        gone.sort_unstable();
        let mut gone = gone.into_iter().peekable();
        let mut groups = Vec::new();
        for (place, _) in self.state.owners.iter() {
            while gone.next_if(|&other| other < place).is_some() {}
            if gone.next_if_eq(&place).is_none() {
                self.push_groups(place, 0, &mut groups);
            }
        }
        for new in changes.iter().filter_map(|change| change.new) {
            self.push_groups(new, STAGED, &mut groups);
        }
        groups.sort_unstable_by_key(|group| group.hash);
        groups
    }

    fn push_groups(self, owner: Place, staged: u32, into: &mut Vec<Group>) {
        let owners = if staged == STAGED { self.staged } else { &self.state.owners };
        let bytes = owners.at(owner).groups;
        let suffixes = &self.state.dictionary.suffixes;
        into.extend(packed::groups(bytes).map(|at| Group {
            hash: packed::name_hash(suffixes, bytes, at),
            owner,
            at: at as u32 | staged,
        }));
    }

    /// Drops pairs of groups from `start` on that are equal before and after.
    fn drop_equal(self, groups: &mut Vec<Group>, start: usize) {
        groups[start..].sort_unstable_by_key(|group| (group.hash, group.is_staged()));
        let (mut kept, mut at) = (start, start);
        while at < groups.len() {
            if let Some(&[old, new]) = groups.get(at..).and_then(|rest| rest.first_chunk())
                && old.hash == new.hash
                && !old.is_staged()
                && new.is_staged()
                && self.are_equal(old, new)
            {
                at += 2;
                continue;
            }
            groups[kept] = groups[at];
            kept += 1;
            at += 1;
        }
        groups.truncate(kept);
    }

    /// Whether two groups have the same name and the same statements in the same order.
    fn are_equal(self, a: Group, b: Group) -> bool {
        let suffixes = &self.state.dictionary.suffixes;
        let ((a_bytes, a_at), (b_bytes, b_at)) = (self.bytes(a), self.bytes(b));
        let (mut a_name, mut b_name) = (NameBuf::new(), NameBuf::new());
        let mut a_at = packed::read_name(suffixes, a_bytes, a_at, &mut a_name);
        let mut b_at = packed::read_name(suffixes, b_bytes, b_at, &mut b_name);
        if a_name.as_wire() != b_name.as_wire() {
            return false;
        }
        let (mut a_rdata, mut b_rdata) = (Vec::new(), Vec::new());
        loop {
            let (a, b) = (Head::read(a_bytes, a_at), Head::read(b_bytes, b_at));
            let dictionary = &self.state.dictionary;
            if (a.rtype, a.last) != (b.rtype, b.last)
                || a.ttl(dictionary, a_bytes) != b.ttl(dictionary, b_bytes)
            {
                return false;
            }
            a_rdata.clear();
            b_rdata.clear();
            a_at = a.read_rdata(suffixes, a_bytes, &mut a_rdata);
            b_at = b.read_rdata(suffixes, b_bytes, &mut b_rdata);
            if a_rdata != b_rdata {
                return false;
            }
            if a.last {
                return true;
            }
        }
    }

    /// The statements that a group is among, and its place there.
    pub(super) fn bytes(self, group: Group) -> (&'s [u8], usize) {
        let owners = if group.is_staged() { self.staged } else { &self.state.owners };
        (owners.at(group.owner).groups, (group.at & !STAGED) as usize)
    }

    /// Reads the name of a group.
    pub(super) fn read_name(self, group: Group, into: &mut NameBuf) {
        let (bytes, at) = self.bytes(group);
        packed::read_name(&self.state.dictionary.suffixes, bytes, at, into);
    }
}
