//! The records of one name before they become a node: sorted into RRsets, without duplicates, and checked for
//! conflicts.

use std::collections::{HashMap, HashSet};

use wire::{Class, Rtype};

use super::encode;
use super::node::{ENTRY, HEAD, PLAIN};
use super::unfit::{self, Conflict};
use crate::RecordRef;

/// From so many records of a name on, a record is found by its hash.
const MANY: usize = 24;

#[derive(Clone, Copy)]
struct Item {
    rtype: Rtype,
    class: Class,
    ttl: u32,
    /// Offset of the RDATA in `bytes`.
    at: usize,
    len: usize,
    /// Sort key: sets are ordered by type, and signatures follow the type they cover.
    order: u32,
}

/// The records of one name.
#[derive(Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    items: Vec<Item>,
    fixes: Vec<u16>,
}

impl Scratch {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn push(&mut self, rtype: Rtype, class: Class, ttl: u32, rdata: &[u8]) {
        let order = match (rtype, rdata) {
            (Rtype::RRSIG, [high, low, ..]) => {
                u32::from(u16::from_be_bytes([*high, *low])) << 1 | 1
            }
            _ => u32::from(rtype.0) << 1,
        };
        let at = self.bytes.len();
        self.bytes.extend_from_slice(rdata);
        self.items.push(Item { rtype, class, ttl, at, len: rdata.len(), order });
    }

    /// Adds these records. One that is there gets the TTL of the new one.
    pub(crate) fn put_all(&mut self, records: &[RecordRef<'_>]) {
        // The index costs a pass over all records of the name: it is for many new ones.
        let mut index = (records.len() > MANY).then(|| self.index());
        for record in records {
            let known = match &mut index {
                None => self.items.iter().position(|item| self.is(item, record)),
                Some(index) => {
                    let key = encode::folded(record.rtype, record.rdata).into_owned();
                    let next = self.items.len();
                    let at = *index.entry((record.rtype, key)).or_insert(next);
                    (at < next).then_some(at)
                }
            };
            match known {
                Some(at) => self.items[at].ttl = record.ttl,
                None => self.push(record.rtype, Class::IN, record.ttl, record.rdata),
            }
        }
    }

    /// The place of each record.
    fn index(&self) -> HashMap<(Rtype, Vec<u8>), usize> {
        let key =
            |item: &Item| (item.rtype, encode::folded(item.rtype, self.rdata(item)).into_owned());
        self.items.iter().enumerate().map(|(at, item)| (key(item), at)).collect()
    }

    fn is(&self, item: &Item, record: &RecordRef<'_>) -> bool {
        item.rtype == record.rtype && encode::same_rdata(item.rtype, self.rdata(item), record.rdata)
    }

    fn rdata(&self, item: &Item) -> &[u8] {
        &self.bytes[item.at..item.at + item.len]
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    /// Sorts the records into sets and drops duplicates. Returns the conflict between them, if any.
    pub(crate) fn arrange(&mut self, is_apex: bool) -> Option<Conflict> {
        if self.items.len() > 1 {
            self.items.sort_by_key(|item| item.order);
            self.drop_duplicates();
        }
        let count = |rtype| self.items.iter().filter(|item| item.rtype == rtype).count();
        if let [only] = self.items.as_slice()
            && !matches!(only.rtype, Rtype::SOA)
        {
            return None;
        }
        match (count(Rtype::SOA), is_apex) {
            (0, _) | (1, true) => {}
            (_, true) => return Some(Conflict::Soas),
            (_, false) => return Some(Conflict::SoaBelowApex),
        }
        match count(Rtype::CNAME) {
            0 => {}
            1 if self.items.iter().all(|item| unfit::may_stand_beside_cname(item.rtype)) => {}
            1 => return Some(Conflict::CnameAndOther),
            _ => return Some(Conflict::Cnames),
        }
        (count(Rtype::DNAME) > 1).then_some(Conflict::Dnames)
    }

    fn drop_duplicates(&mut self) {
        let items = std::mem::take(&mut self.items);
        let mut kept: Vec<Item> = Vec::with_capacity(items.len());
        for set in items.chunk_by(|a, b| a.order == b.order) {
            let start = kept.len();
            if set.len() > MANY {
                self.keep_first_of_many(set, &mut kept);
                continue;
            }
            for item in set {
                let same = |other: &Item| {
                    encode::same_rdata(item.rtype, self.rdata(item), self.rdata(other))
                };
                if !kept[start..].iter().any(same) {
                    kept.push(*item);
                }
            }
        }
        self.items = kept;
    }

    fn keep_first_of_many(&self, set: &[Item], kept: &mut Vec<Item>) {
        let mut seen = HashSet::with_capacity(set.len());
        kept.extend(
            set.iter().filter(|item| seen.insert(encode::folded(item.rtype, self.rdata(item)))),
        );
    }

    /// Appends the node to `arena` and clears the records. Returns how many records the node has.
    pub(crate) fn write(&mut self, arena: &mut Vec<u8>, owner: &[u8], apex: &[u8]) -> usize {
        let records = self.items.len();
        if let [item] = *self.items.as_slice() {
            let head = arena.len();
            arena.extend_from_slice(&[PLAIN, owner.len() as u8, 0, 0]);
            arena.extend_from_slice(owner);
            self.fixes.clear();
            let rdata = &self.bytes[item.at..item.at + item.len];
            let (base, of) = (arena.len(), (item.rtype, item.class, item.ttl));
            encode::write(arena, base, &mut self.fixes, apex, of, rdata);
            arena.extend(self.fixes.iter().flat_map(|fix| fix.to_le_bytes()));
            arena[head + 2..head + HEAD].copy_from_slice(&(self.fixes.len() as u16).to_le_bytes());
            self.clear();
            return records;
        }
        let sets = self.items.chunk_by(|a, b| a.order == b.order).count();
        arena.extend_from_slice(&[0, owner.len() as u8]);
        arena.extend_from_slice(&(sets as u16).to_le_bytes());
        arena.extend_from_slice(owner);
        let mut entry = arena.len();
        arena.resize(entry + sets * ENTRY, 0);
        for set in self.items.chunk_by(|a, b| a.order == b.order) {
            let base = arena.len();
            self.fixes.clear();
            for item in set {
                let rdata = &self.bytes[item.at..item.at + item.len];
                let head = (item.rtype, item.class, item.ttl);
                encode::write(arena, base, &mut self.fixes, apex, head, rdata);
            }
            let len = (arena.len() - base) as u32;
            for fix in &self.fixes {
                arena.extend_from_slice(&fix.to_le_bytes());
            }
            let rtype = set.first().map_or(0, |item| item.rtype.0);
            arena[entry..entry + 2].copy_from_slice(&rtype.to_le_bytes());
            arena[entry + 2..entry + 4]
                .copy_from_slice(&(set.len().min(0xFFFF) as u16).to_le_bytes());
            arena[entry + 4..entry + 6].copy_from_slice(&(self.fixes.len() as u16).to_le_bytes());
            arena[entry + 6..entry + 10].copy_from_slice(&len.to_le_bytes());
            entry += ENTRY;
        }
        self.clear();
        records
    }
}
