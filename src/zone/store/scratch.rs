//! The records of one name before they become a node: sorted into RRsets, without duplicates, and checked for
//! conflicts.

use wire::{Class, Rtype};

use super::encode;
use super::node::{ENTRY, HEAD, PLAIN};
use super::unfit::{self, Conflict};

/// From so many records in a set on, duplicates are found by sorting.
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

    /// Gives a record that is there another TTL; `false` if it is not there.
    pub(crate) fn set_ttl(&mut self, rtype: Rtype, rdata: &[u8], ttl: u32) -> bool {
        let same =
            |item: &Item| item.rtype == rtype && encode::same_rdata(rtype, self.rdata(item), rdata);
        let Some(at) = self.items.iter().position(same) else {
            return false;
        };
        self.items[at].ttl = ttl;
        true
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
        let mut order: Vec<usize> = (0..set.len()).collect();
        order.sort_by(|&a, &b| self.rdata(&set[a]).cmp(self.rdata(&set[b])).then(a.cmp(&b)));
        let mut drop = vec![false; set.len()];
        for pair in order.windows(2) {
            drop[pair[1]] = self.rdata(&set[pair[0]]) == self.rdata(&set[pair[1]]);
        }
        kept.extend(set.iter().zip(drop).filter(|(_, drop)| !drop).map(|(item, _)| *item));
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
