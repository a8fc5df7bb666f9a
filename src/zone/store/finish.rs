//! The last passes over a complete arena: nodes of the same name are merged, empty non-terminals created,
//! names below zone cuts marked, and the order of the proofs computed.

use std::sync::OnceLock;

use wire::{Rtype, hash, name};

use super::apex::{Apex, Denial};
use super::build::Builder;
use super::encode;
use super::node::{
    CHILD, CUT, DNAME, FIRST, NSEC3_ONLY, Node, OCCLUDED, TOMBSTONE, WILD_CHILD, relative_hash,
};
use super::table::Table;
use super::unfit::{Conflict, Unfit};
use super::zone::{Counts, Zone};

impl Builder {
    /// Checks the records as a whole and makes the zone of them.
    ///
    /// Errors: the conflicts that keep the zone from being served; [`locate`](fn@crate::locate) finds their records.
    pub fn finish(mut self) -> Result<Zone, Vec<Unfit>> {
        self.flush();
        self.insert_pending();
        merge_duplicates(&mut self);
        let apex = self.find(self.apex_hash, &[]);
        let soa = apex.is_some_and(|at| Node::at(&self.arena, at).find(Rtype::SOA).is_some());
        if !soa {
            self.errors.push(Unfit { owner: self.apex.clone(), conflict: Conflict::NoSoa });
        }
        match apex {
            Some(apex) if self.errors.is_empty() => zone(self, apex).map_err(|unfit| vec![unfit]),
            _ => Err(self.errors),
        }
    }
}

/// Merges all nodes of the same name into one.
fn merge_duplicates(builder: &mut Builder) {
    let mut duplicates = std::mem::take(&mut builder.duplicates);
    duplicates.sort_unstable();
    for group in duplicates.chunk_by(|a, b| a.0 == b.0) {
        let Some(&(first, _)) = group.first() else {
            continue;
        };
        let owner = Node::at(&builder.arena, first).name().to_vec();
        tombstone(builder, first);
        for &(_, further) in group {
            tombstone(builder, further);
        }
        let new = builder.write_node(&owner);
        builder.table.relocate(relative_hash(builder.apex_hash, &owner), first, new);
    }
}

/// Moves the records of a node back to the scratch space and marks the node as unused.
fn tombstone(builder: &mut Builder, at: u64) {
    let node = Node::at(&builder.arena, at);
    let mut rdata = Vec::new();
    for set in node.sets() {
        for record in set.records() {
            rdata.clear();
            encode::expand(set, record, builder.apex.as_wire(), &mut rdata);
            builder.scratch.push(set.rtype, wire::Class::IN, record.ttl, &rdata);
            builder.records -= 1;
        }
    }
    builder.waste += node.size();
    builder.arena[at as usize] |= TOMBSTONE;
}

/// Makes the zone of a checked arena.
fn zone(mut builder: Builder, mut apex: u64) -> Result<Zone, Unfit> {
    if builder.waste > builder.arena.len() / 10 {
        compact(&mut builder);
        apex = builder.find(builder.apex_hash, &[]).unwrap_or(apex);
    }
    let survey = Survey::scan(&mut builder, apex);
    if survey.cuts {
        mark_occluded(&mut builder);
    }
    if builder.table.is_sparse() {
        let end = builder.arena.len() as u64;
        let names = builder.table.used() + builder.table.used() / 4;
        builder.rebuild_table(Table::with_capacity(names), end);
    }
    let top = Node::at(&builder.arena, apex);
    let read = Apex::read(top, apex, survey.nsec3 > 0);
    let order = match &read.denial {
        Denial::None => Vec::new(),
        denial => in_order(&builder, survey.nsec.max(survey.nsec3), |node| {
            denial.is_proof(node, node.has(OCCLUDED))
        })?,
    };
    let apex_name = builder.apex.as_wire();
    Ok(Zone {
        apex_len: apex_name.len() as u8,
        apex_labels: name::label_count(apex_name) as u8,
        apex: builder.apex,
        apex_hash: builder.apex_hash,
        apex_at: apex,
        counts: Counts {
            names: survey.names,
            records: builder.records,
            nsec3: survey.nsec3,
            occluded_proofs: match &read.denial {
                Denial::Nsec => survey.nsec - order.len(),
                Denial::None | Denial::Nsec3(_) => 0,
            },
        },
        arena: builder.arena.into_boxed_slice(),
        table: builder.table.finish(),
        overlay: None,
        serial: read.serial,
        soa: read.soa,
        soa_signatures: read.soa_signatures,
        ns: read.ns,
        ns_signatures: read.ns_signatures,
        denial: read.denial,
        order,
        children: OnceLock::new(),
    })
}

/// Moves all nodes in use to the front of the arena and rebuilds the table.
fn compact(builder: &mut Builder) {
    let mut from = FIRST as usize;
    let mut to = from;
    while from < builder.arena.len() {
        let node = Node::at(&builder.arena, from as u64);
        let size = node.size();
        if !node.has(TOMBSTONE) {
            builder.arena.copy_within(from..from + size, to);
            to += size;
        }
        from += size;
    }
    builder.arena.truncate(to);
    builder.waste = 0;
    builder.rebuild_table(Table::with_capacity(builder.table.used()), to as u64);
}

/// The flags that follow from a node's own records.
pub(crate) fn own_flags(node: Node<'_>, is_apex: bool) -> u8 {
    let mut flags = 0;
    let mut only_proofs = !node.is_empty();
    for set in node.sets() {
        match set.rtype {
            Rtype::NS if !is_apex => flags |= CUT,
            Rtype::DNAME => flags |= DNAME,
            _ => {}
        }
        only_proofs &= set.rtype == Rtype::NSEC3 || set.covers() == Some(Rtype::NSEC3);
    }
    if only_proofs { flags | NSEC3_ONLY } else { flags }
}

/// Counts from one walk over all nodes.
#[derive(Default)]
struct Survey {
    /// Names with records, and empty non-terminals.
    names: usize,
    /// Whether the zone has a zone cut or a DNAME.
    cuts: bool,
    nsec: usize,
    nsec3: usize,
}

impl Survey {
    /// Sets the flags that follow from a node's own records, and creates missing empty non-terminals.
    fn scan(builder: &mut Builder, apex: u64) -> Self {
        let mut survey = Self::default();
        let mut at = FIRST;
        while at < builder.arena.len() as u64 {
            let node = Node::at(&builder.arena, at);
            let size = node.size() as u64;
            if !node.has(TOMBSTONE) {
                let own = own_flags(node, at == apex);
                for set in node.sets() {
                    survey.nsec += usize::from(set.rtype == Rtype::NSEC);
                    survey.nsec3 += usize::from(set.rtype == Rtype::NSEC3);
                }
                survey.names += usize::from(own & NSEC3_ONLY == 0);
                survey.cuts |= own & (CUT | DNAME) != 0;
                let flags = node.flags() | own;
                builder.arena[at as usize] = flags;
                ensure_parent(builder, at);
            }
            at += size;
        }
        survey
    }
}

/// Creates the parent of a node if it is missing (an empty non-terminal), and sets `WILD_CHILD` on the
/// parent of `*`.
fn ensure_parent(builder: &mut Builder, at: u64) {
    let mut owner = [0; name::MAX_NAME];
    let own = Node::at(&builder.arena, at).name();
    let first = own.first().map_or(0, |&len| usize::from(len) + 1);
    let wild = own.starts_with(b"\x01*");
    if first == 0 || (first == own.len() && !wild) {
        return;
    }
    let parent = &mut owner[..own.len() - first];
    parent.copy_from_slice(&own[first..]);
    let hash = relative_hash(builder.apex_hash, parent);
    let parent_at = match builder.find(hash, parent) {
        Some(found) => found,
        None => {
            // An empty node at the end of the arena: the walk reaches it, and then its own parent, later.
            let new = builder.arena.len() as u64;
            builder.arena.extend_from_slice(&[0, parent.len() as u8, 0, 0]);
            builder.arena.extend_from_slice(parent);
            builder.insert(hash, new);
            new
        }
    };
    builder.arena[parent_at as usize] |= if wild { CHILD | WILD_CHILD } else { CHILD };
}

/// Marks the nodes below a zone cut or a DNAME.
fn mark_occluded(builder: &mut Builder) {
    let mut starts = Vec::with_capacity(128);
    let top_redirects = builder
        .find(builder.apex_hash, &[])
        .is_some_and(|apex| Node::at(&builder.arena, apex).has(DNAME));
    let mut at = FIRST;
    while at < builder.arena.len() as u64 {
        let node = Node::at(&builder.arena, at);
        let size = node.size() as u64;
        let own = node.name();
        starts.clear();
        starts.extend(name::label_starts(own).map(|(at, _)| at));
        let mut hidden = top_redirects && !own.is_empty();
        let mut hash = builder.apex_hash;
        // From the apex down, the node itself excluded.
        for &start in starts.iter().skip(1).rev() {
            if hidden {
                break;
            }
            hash = hash::child(hash, &own[start + 1..start + 1 + usize::from(own[start])]);
            hidden = builder
                .find(hash, &own[start..])
                .is_some_and(|above| Node::at(&builder.arena, above).has(CUT | DNAME));
        }
        if hidden && !node.has(TOMBSTONE) {
            builder.arena[at as usize] |= OCCLUDED;
        }
        at += size;
    }
}

/// Offsets of the nodes that `belongs` accepts, in canonical order.
fn in_order(
    builder: &Builder,
    room: usize,
    belongs: impl Fn(Node<'_>) -> bool,
) -> Result<Vec<u32>, Unfit> {
    let mut order = Vec::with_capacity(room);
    let mut at = FIRST;
    while at < builder.arena.len() as u64 {
        let node = Node::at(&builder.arena, at);
        if !node.has(TOMBSTONE) && belongs(node) {
            order.push(u32::try_from(at).map_err(|_| Unfit {
                owner: builder.apex.clone(),
                conflict: Conflict::TooLarge,
            })?);
        }
        at += node.size() as u64;
    }
    // Signers write zones in this order, and sorting sorted input is fast.
    order.sort_by(|&a, &b| {
        let name = |at: u32| Node::at(&builder.arena, u64::from(at)).name();
        name::canonical_cmp(name(a), name(b))
    });
    Ok(order)
}
