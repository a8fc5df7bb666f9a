//! The records of one name: the union of what its owners say, by rules that do not depend on who came
//! first.
//!
//! - Equal records count once. They stay until the last owner takes them back.
//! - The TTL of a set is the lowest that any owner gives (RFC 2181 section 5.2 wants one TTL for a set).
//! - A CNAME record beside others is left out. Of CNAME, DNAME and SOA records that differ, the one with the
//!   smallest RDATA stays.

use std::ops::Range;

use wire::Rtype;

use crate::packed;
use crate::report::Why;

/// Records of one name, or what is said of them.
#[derive(Default)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

/// One record.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) rtype: Rtype,
    pub(crate) ttl: u32,
    /// How often it is said; negative where it is taken back.
    pub(crate) count: i64,
    /// Its RDATA.
    rdata: Range<usize>,
    /// Where its RDATA with names in lower case begins.
    folded: usize,
}

impl Records {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    /// Adds a record whose RDATA `write` appends.
    pub(crate) fn push(
        &mut self,
        rtype: Rtype,
        ttl: u32,
        count: i64,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let rdata = start..self.bytes.len();
        let mut folded = start;
        if wire::rdata::layout(rtype).is_some() {
            folded = rdata.end;
            self.bytes.extend_from_within(rdata.clone());
            packed::fold(rtype, &mut self.bytes[folded..]);
        }
        self.items.push(Item { rtype, ttl, count, rdata, folded });
    }

    /// Replaces the records by those of another list.
    pub(crate) fn copy(&mut self, other: &Self) {
        self.bytes.clone_from(&other.bytes);
        self.items.clone_from(&other.items);
    }

    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The RDATA of one of the records.
    pub(crate) fn rdata(&self, item: &Item) -> &[u8] {
        &self.bytes[item.rdata.clone()]
    }

    /// The RDATA of one of the records, with names in lower case.
    pub(crate) fn folded(&self, item: &Item) -> &[u8] {
        &self.bytes[item.folded..item.folded + item.rdata.len()]
    }

    /// Sorts the records by type, folded RDATA and TTL, and adds the counts of equal ones.
    pub(crate) fn settle(&mut self) {
        let Self { bytes, items } = self;
        if items.len() > 1 {
            let folded = |item: &Item| &bytes[item.folded..item.folded + item.rdata.len()];
            items.sort_unstable_by(|a, b| {
                let by_rdata = a.rtype.cmp(&b.rtype).then_with(|| folded(a).cmp(folded(b)));
                by_rdata.then(a.ttl.cmp(&b.ttl))
            });
            items.dedup_by(|next, kept| {
                let same = next.rtype == kept.rtype
                    && next.ttl == kept.ttl
                    && folded(next) == folded(kept);
                if same {
                    kept.count += next.count;
                }
                same
            });
        }
        debug_assert!(items.iter().all(|item| item.count >= 0), "only what was said is taken back");
        items.retain(|item| item.count > 0);
    }
}

/// What is answered of records that are said.
#[derive(Default)]
pub(crate) struct Union {
    /// Indexes into the records, and TTLs. The order is that of the records, so types and RDATA ascend.
    pub(crate) served: Vec<(usize, u32)>,
    /// A SOA record, which is not among `served`.
    pub(crate) soa: Option<(usize, u32)>,
    /// The records that are left out.
    pub(crate) left_out: Vec<(usize, Why)>,
    /// Whether the answered records do not tell what is said: something is said twice, with two TTLs, or
    /// left out.
    pub(crate) disputed: bool,
    /// The type of a set that has too many records.
    pub(crate) too_many: Option<Rtype>,
}

impl Union {
    /// Decides what is answered of settled records.
    pub(crate) fn decide(&mut self, said: &Records) {
        self.served.clear();
        self.soa = None;
        self.left_out.clear();
        self.disputed = false;
        self.too_many = None;
        let others = said.items.iter().any(|item| !matches!(item.rtype, Rtype::CNAME | Rtype::KEY));
        let mut from = 0;
        for set in said.items.chunk_by(|a, b| a.rtype == b.rtype) {
            self.decide_set(said, set, from, others);
            from += set.len();
        }
    }

    fn decide_set(&mut self, said: &Records, set: &[Item], from: usize, others: bool) {
        let Some(first) = set.first() else {
            return;
        };
        let (mut kept, mut why) = (set.len(), Why::OneTooMany);
        match first.rtype {
            // RFC 1034 section 3.6.2: "If a CNAME RR is present at a node, no other data should be
            // present".
            Rtype::CNAME if others => (kept, why) = (0, Why::AliasBesideOthers),
            Rtype::CNAME | Rtype::DNAME | Rtype::SOA => {
                let same = |item: &&Item| said.folded(item) == said.folded(first);
                kept = set.iter().take_while(same).count();
            }
            _ => {}
        }
        let (kept, left) = set.split_at(kept);
        let ttl = kept.iter().map(|item| item.ttl).min().unwrap_or(0);
        self.disputed |= !left.is_empty()
            || first.rtype == Rtype::SOA
            || kept.iter().any(|item| item.count > 1 || item.ttl != ttl);
        let before = self.served.len();
        for (at, item) in kept.iter().enumerate() {
            let equal = |before: usize| said.folded(&kept[before]) == said.folded(item);
            if at > 0 && equal(at - 1) {
                continue;
            }
            if item.rtype == Rtype::SOA {
                self.soa = Some((from + at, ttl));
            } else {
                self.served.push((from + at, ttl));
            }
        }
        if self.served.len() - before > crate::report::MAX_SET {
            self.too_many = Some(first.rtype);
        }
        for (at, item) in left.iter().enumerate() {
            if at == 0 || said.folded(&left[at - 1]) != said.folded(item) {
                self.left_out.push((from + kept.len() + at, why));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(said: &[(Rtype, u32, i64, &[u8])]) -> (Records, Union) {
        let mut records = Records::default();
        for &(rtype, ttl, count, rdata) in said {
            records.push(rtype, ttl, count, |into| into.extend_from_slice(rdata));
        }
        records.settle();
        let mut union = Union::default();
        union.decide(&records);
        (records, union)
    }

    /// Records that are answered, how many are left out, and whether the name is disputed.
    type Served = (Vec<(Rtype, u32, Vec<u8>)>, usize, bool);

    fn served(said: &[(Rtype, u32, i64, &[u8])]) -> Served {
        let (records, union) = decided(said);
        let record = |&(at, ttl): &(usize, u32)| {
            let item = &records.items()[at];
            (item.rtype, ttl, records.rdata(item).to_vec())
        };
        (union.served.iter().map(record).collect(), union.left_out.len(), union.disputed)
    }

    const ONE: &[u8] = &[192, 0, 2, 1];
    const TWO: &[u8] = &[192, 0, 2, 2];

    #[test]
    fn the_lowest_ttl_counts_and_equal_records_count_once() {
        let (a, record) = (Rtype::A, |ttl, rdata: &[u8]| (Rtype::A, ttl, rdata.to_vec()));
        assert_eq!(
            served(&[(a, 30, 1, ONE), (a, 30, 1, TWO)]),
            (vec![record(30, ONE), record(30, TWO)], 0, false)
        );
        assert_eq!(
            served(&[(a, 30, 1, ONE), (a, 30, 1, ONE)]),
            (vec![record(30, ONE)], 0, true),
            "said twice"
        );
        assert_eq!(
            served(&[(a, 30, 1, ONE), (a, 5, 1, TWO), (a, 60, 1, ONE)]),
            (vec![record(5, ONE), record(5, TWO)], 0, true)
        );
        assert_eq!(
            served(&[(a, 30, 1, ONE), (a, 5, 1, TWO), (a, 5, -1, TWO)]),
            (vec![record(30, ONE)], 0, false)
        );
    }

    #[test]
    fn aliases_give_way_and_the_smallest_one_stays() {
        let alias = |name: &'static [u8]| (Rtype::CNAME, 30, 1, name);
        let (b, big_a) = (wire::name!("b."), &b"\x01A\0"[..]);
        let address = (Rtype::A, 30, 1, ONE);
        let kept = |rtype, rdata: &[u8]| vec![(rtype, 30, rdata.to_vec())];
        assert_eq!(served(&[alias(b), address]), (kept(Rtype::A, ONE), 1, true));
        assert_eq!(served(&[alias(b), alias(big_a)]), (kept(Rtype::CNAME, big_a), 1, true));
        assert_eq!(served(&[alias(b)]), (kept(Rtype::CNAME, b), 0, false));
    }
}
