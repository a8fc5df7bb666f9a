//! An overlay under construction: the names that change, what follows for the names above and below them, and
//! the order of proofs.

use std::sync::Arc;

use wire::{Name, Rtype, hash, name};

use super::changes::Refused;
use super::edits::Edit;
use crate::patch::{Entry, Names, OrderPatch, is_below};
use crate::store::node::{CHILD, CUT, DNAME, FIRST, NSEC3_ONLY, Node, OCCLUDED, PLAIN, WILD_CHILD};
use crate::store::{
    Conflict, Counts, Denial, Overlay, Scratch, Unfit, Zone, own_flags, relative_hash,
};

/// Flags that say something of the names below.
const BELOW: u8 = WILD_CHILD | CHILD;

/// The next version of a zone, name by name. After each step it is consistent.
pub(super) struct Draft<'z> {
    zone: &'z Zone,
    base: &'z Arc<Zone>,
    names: Names,
    order: OrderPatch,
    cuts_moved: bool,
    counts: Counts,
    /// The node of the apex, behind as many octets as an arena begins with.
    apex: Vec<u8>,
    scratch: Scratch,
    unfit: Vec<Unfit>,
    /// Whether the result cannot be an overlay.
    needs_copy: bool,
}

/// A name of the zone, and its hash.
#[derive(Clone, Copy)]
struct Place<'n> {
    hash: u64,
    name: &'n [u8],
}

impl<'z> Draft<'z> {
    /// A draft of the version after `zone`.
    pub(super) fn over(zone: &'z Arc<Zone>) -> Self {
        let overlay = zone.overlay.as_ref();
        let mut apex = vec![0; FIRST as usize];
        apex.extend_from_slice(zone.top().as_bytes());
        Self {
            zone,
            base: overlay.map_or(zone, |overlay| &overlay.base),
            names: overlay.map_or_else(Names::default, |overlay| overlay.names.clone()),
            order: overlay.map_or_else(OrderPatch::default, |overlay| overlay.order.clone()),
            cuts_moved: overlay.is_some_and(|overlay| overlay.cuts_moved),
            counts: zone.counts,
            apex,
            scratch: Scratch::default(),
            unfit: Vec::new(),
            needs_copy: false,
        }
    }

    /// The version; `None` if it must be a flat one.
    ///
    /// # Errors
    /// The records are no zone.
    pub(super) fn finish(self) -> Result<Option<Zone>, Refused> {
        if !self.unfit.is_empty() {
            return Err(Refused::Unfit(self.unfit));
        }
        if self.needs_copy {
            return Ok(None);
        }
        let overlay = Overlay {
            base: Arc::clone(self.base),
            names: self.names,
            order: self.order,
            cuts_moved: self.cuts_moved,
        };
        let next = Zone::over(overlay, self.apex.into_boxed_slice(), self.counts);
        // Another way to prove what does not exist is another order of all proofs.
        Ok((next.denial == self.base.denial).then_some(next))
    }

    /// Makes the changes of one name.
    ///
    /// # Errors
    /// A record that goes is not there.
    pub(super) fn edit(&mut self, edit: &Edit<'_>) -> Result<(), Refused> {
        let name: &[u8] = &edit.name;
        let place = Place { hash: relative_hash(self.zone.apex_hash, name), name };
        let before = self.node(place).map(|node| node.as_bytes().to_vec());
        let old = before.as_deref().map(|bytes| Node::at(bytes, 0));
        let mut scratch = std::mem::take(&mut self.scratch);
        let merged = edit.merge(self.zone, old, &mut scratch);
        if merged.is_ok() {
            self.write(place, old, &mut scratch);
        }
        self.scratch = scratch;
        merged
    }

    /// Gives a name the records of `scratch`, which is empty afterwards.
    fn write(&mut self, place: Place<'_>, old: Option<Node<'_>>, scratch: &mut Scratch) {
        let is_apex = place.name.is_empty();
        let conflict = scratch.arrange(is_apex);
        if let Some(conflict) = conflict {
            self.refuse(place.name, conflict);
            return scratch.clear();
        }
        let mut bytes = Vec::new();
        let is_empty = scratch.is_empty();
        scratch.write(&mut bytes, place.name, self.zone.apex().as_wire());
        let occluded = self.is_occluded(place.name);
        let new = Node::at(&bytes, 0);
        let below = old.map_or(0, Node::flags) & BELOW;
        let flags = own_flags(new, is_apex) | below | if occluded { OCCLUDED } else { 0 };
        bytes[0] = bytes[0] & PLAIN | flags;
        let new = Node::at(&bytes, 0);
        if is_apex {
            if new.find(Rtype::SOA).is_none() {
                self.refuse(place.name, Conflict::NoSoa);
            }
            self.apex.truncate(FIRST as usize);
            self.apex.extend_from_slice(&bytes);
        } else if is_empty && self.children(place) == 0 {
            self.vanish(place);
        } else {
            self.put(place, &bytes, 0);
            if old.is_none() {
                self.adopt(place);
            }
        }
        self.count(old, Some(new).filter(|new| !new.is_empty()));
        self.names_changed(place, old, is_apex);
        self.move_proof(place, old, new, occluded);
        let cut = |node: Node<'_>| node.flags() & (CUT | DNAME);
        let (was, is) = (old.map_or(0, cut), cut(new));
        if was != is {
            self.move_cut(place.name, was != 0, is != 0);
        }
    }

    #[cold]
    fn refuse(&mut self, name: &[u8], conflict: Conflict) {
        let full = [name, self.zone.apex().as_wire()].concat();
        let owner = Name::from_wire(&full).unwrap_or_else(|_| self.zone.apex().clone());
        self.unfit.push(Unfit { owner, conflict });
    }

    // --- names

    /// The node of a name as it is now.
    fn node(&self, place: Place<'_>) -> Option<Node<'_>> {
        if place.name.is_empty() {
            return Some(self.top());
        }
        match self.names.get(place.hash, place.name) {
            Some(entry) => Some(entry.node()).filter(|_| !entry.is_gone()),
            None => self.base.find(place.hash, place.name),
        }
    }

    fn top(&self) -> Node<'_> {
        Node::at(&self.apex, FIRST)
    }

    /// Offset of the base's node of a name, and the children that came since the base.
    fn known(&self, place: Place<'_>) -> (u64, i32) {
        match self.names.get(place.hash, place.name) {
            Some(entry) => (entry.base_at(), entry.children()),
            None => (self.base.find_offset(place.hash, place.name).unwrap_or(0), 0),
        }
    }

    /// How many names are directly below.
    fn children(&self, place: Place<'_>) -> i64 {
        let (base_at, came) = self.known(place);
        let before = if base_at == 0 { 0 } else { self.base.children_of(base_at) };
        i64::from(before) + i64::from(came)
    }

    /// Sets the node of a name; `more` children came or went.
    fn put(&mut self, place: Place<'_>, node: &[u8], more: i32) {
        let (base_at, children) = self.known(place);
        self.names.insert(Entry::new(place.hash, base_at, children + more, node));
    }

    /// Takes a name out, and the empty non-terminals above that have nothing else below.
    fn vanish(&mut self, place: Place<'_>) {
        let (base_at, children) = self.known(place);
        if base_at == 0 {
            self.names.remove(place.hash, place.name);
        } else {
            self.names.insert(Entry::gone(place.hash, base_at, children, place.name));
        }
        let is_wild = place.name.starts_with(b"\x01*") && place.name[0] == 1;
        let parent = self.parent(place.name);
        if parent.name.is_empty() {
            if is_wild {
                self.apex[FIRST as usize] &= !WILD_CHILD;
            }
            return;
        }
        let Some(mut above) = self.node(parent).map(|node| node.as_bytes().to_vec()) else {
            return;
        };
        if is_wild {
            above[0] &= !WILD_CHILD;
        }
        self.put(parent, &above, -1);
        if Node::at(&above, 0).is_empty() && self.children(parent) == 0 {
            self.counts.names -= 1;
            self.vanish(parent);
        }
    }

    /// Notes a new name at the name above, which becomes an empty non-terminal if it is not there.
    fn adopt(&mut self, place: Place<'_>) {
        let is_wild = place.name.starts_with(b"\x01*");
        let parent = self.parent(place.name);
        if parent.name.is_empty() {
            if is_wild {
                self.apex[FIRST as usize] |= BELOW;
            }
            return;
        }
        let there = self.node(parent).map(|node| node.as_bytes().to_vec());
        let is_new = there.is_none();
        let mut above = there.unwrap_or_else(|| {
            let flags = if self.is_occluded(parent.name) { OCCLUDED } else { 0 };
            [&[flags, parent.name.len() as u8, 0, 0], parent.name].concat()
        });
        above[0] |= if is_wild { BELOW } else { CHILD };
        self.put(parent, &above, 1);
        if is_new {
            self.counts.names += 1;
            self.adopt(parent);
        }
    }

    fn parent<'n>(&self, name: &'n [u8]) -> Place<'n> {
        let parent = name.first().map_or(name, |&len| &name[1 + usize::from(len)..]);
        Place { hash: relative_hash(self.zone.apex_hash, parent), name: parent }
    }

    /// Whether a name is below a zone cut or a DNAME.
    fn is_occluded(&self, name: &[u8]) -> bool {
        if name.is_empty() {
            return false;
        }
        if self.top().has(DNAME) {
            return true;
        }
        let starts: Vec<usize> = name::label_starts(name).map(|(at, _)| at).collect();
        let mut hash = self.zone.apex_hash;
        for &at in starts.iter().skip(1).rev() {
            hash = hash::child(hash, &name[at + 1..at + 1 + usize::from(name[at])]);
            let above = self.node(Place { hash, name: &name[at..] });
            if above.is_some_and(|node| node.has(CUT | DNAME)) {
                return true;
            }
        }
        false
    }

    // --- counts

    fn count(&mut self, old: Option<Node<'_>>, new: Option<Node<'_>>) {
        let records = |node: Option<Node<'_>>| node.map_or(0, Node::record_count);
        self.counts.records = self.counts.records + records(new) - records(old);
        let nsec3 = |node: Option<Node<'_>>| {
            usize::from(node.is_some_and(|node| node.find(Rtype::NSEC3).is_some()))
        };
        self.counts.nsec3 = self.counts.nsec3 + nsec3(new) - nsec3(old);
    }

    /// Counts the name itself, which may be there now and may have been there.
    fn names_changed(&mut self, place: Place<'_>, old: Option<Node<'_>>, is_apex: bool) {
        if is_apex {
            return;
        }
        let counts =
            |node: Option<Node<'_>>| usize::from(node.is_some_and(|node| !node.has(NSEC3_ONLY)));
        let now = counts(self.node(place));
        self.counts.names = self.counts.names + now - counts(old);
    }

    // --- proofs

    /// Updates the order of proofs after a name changed.
    fn move_proof(
        &mut self,
        place: Place<'_>,
        old: Option<Node<'_>>,
        new: Node<'_>,
        occluded: bool,
    ) {
        let denial = &self.base.denial;
        let was = old.is_some_and(|node| denial.is_proof(node, occluded));
        let is = denial.is_proof(new, occluded);
        if *denial == Denial::Nsec && occluded {
            let nsec = |node: Node<'_>| usize::from(node.find(Rtype::NSEC).is_some());
            let change = (nsec(new), old.map_or(0, nsec));
            self.counts.occluded_proofs = self.counts.occluded_proofs + change.0 - change.1;
        }
        if was && !self.order.drop(place.name) {
            let index = self.base.proofs_until(place.name).saturating_sub(1);
            self.order.take(index as u32);
        }
        if is {
            // The apex is no entry among the names, but its proof is one in the order.
            let entry = match self.names.get(place.hash, place.name) {
                Some(entry) => entry.clone(),
                None => Entry::new(place.hash, 0, 0, new.as_bytes()),
            };
            self.order.put(&entry);
        }
    }

    /// Notes that a zone cut or a DNAME came or went at `name`.
    fn move_cut(&mut self, name: &[u8], was: bool, is: bool) {
        self.cuts_moved = true;
        if was == is || self.base.denial != Denial::Nsec {
            return;
        }
        if was {
            // The proofs below come back, and no order knows them.
            self.needs_copy |= self.counts.occluded_proofs > 0;
            return;
        }
        let first = self.base.proofs_until(name);
        let behind = self.base.order[first..]
            .partition_point(|&at| is_below(self.base.node(u64::from(at)).name(), name));
        let end = first + behind;
        self.counts.occluded_proofs += (first..end)
            .filter(|&index| self.order.left(index as u32) == Some(index as u32))
            .count();
        if behind > 0 {
            self.order.take_range(first as u32, end as u32 - 1);
        }
        for entry in self.order.came_below(name) {
            self.order.drop(entry.node().name());
            self.counts.occluded_proofs += 1;
        }
    }
}
