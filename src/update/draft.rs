//! The update section (RFC 2136 section 3.4.2): the names that change, before and after.

use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};

use wire::{Class, Rtype, name};
use zone::{Changes, RecordRef, Zone};

use crate::entry::{Entry, canonical};

/// The names that an update touches.
pub(crate) struct Draft<'z> {
    zone: &'z Zone,
    /// By owner in lower case.
    names: BTreeMap<Vec<u8>, Records>,
}

/// The records of a name.
#[derive(Default)]
struct Records {
    before: Vec<Record>,
    now: Vec<Record>,
}

#[derive(Clone, Debug, Eq)]
struct Record {
    rtype: Rtype,
    ttl: u32,
    rdata: Vec<u8>,
    /// The RDATA to compare.
    key: Vec<u8>,
}

/// Names in RDATA that differ in case only make no other record.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        (self.rtype, self.ttl, &self.key) == (other.rtype, other.ttl, &other.key)
    }
}

impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.rtype.0, self.ttl, &self.key).hash(state);
    }
}

impl<'z> Draft<'z> {
    pub(crate) fn new(zone: &'z Zone) -> Self {
        Self { zone, names: BTreeMap::new() }
    }

    /// Makes one update, which was checked.
    pub(crate) fn make(&mut self, entry: &Entry) {
        let owner = entry.owner.to_lower();
        let is_apex = owner == *self.zone.apex();
        let records = self.at(owner.as_wire());
        match entry.class {
            Class::ANY => records.delete_sets(entry.rtype, is_apex),
            Class::NONE => records.delete(entry, is_apex),
            _ => records.add(entry, is_apex),
        }
    }

    fn at(&mut self, owner: &[u8]) -> &mut Records {
        let zone = self.zone;
        self.names.entry(owner.to_vec()).or_insert_with(|| {
            let mut before = Vec::new();
            zone.each_record_at(owner, |record| {
                let RecordRef { rtype, ttl, rdata, .. } = record;
                before.push(Record {
                    rtype,
                    ttl,
                    rdata: rdata.to_vec(),
                    key: canonical(rtype, rdata),
                });
            });
            Records { now: before.clone(), before }
        })
    }

    /// The changes. If there are any, and none of them is a new SOA record, the serial is increased:
    /// section 3.6.
    pub(crate) fn finish(mut self) -> Changes {
        let is_changed = self.names.values().any(Records::is_changed);
        if !is_changed {
            return Changes::new();
        }
        let apex = self.zone.apex().as_wire().to_vec();
        let records = self.at(&apex);
        let soa = |all: &[Record]| all.iter().find(|record| record.rtype == Rtype::SOA).cloned();
        if let Some(before) = soa(&records.before)
            && soa(&records.now).is_some_and(|now| serial(&now) == serial(&before))
        {
            records.increase_serial();
        }
        let mut changes = Changes::new();
        for (owner, records) in &self.names {
            let before: HashSet<&Record> = records.before.iter().collect();
            let now: HashSet<&Record> = records.now.iter().collect();
            for record in records.before.iter().filter(|record| !now.contains(record)) {
                changes.remove(record.of(owner));
            }
            for record in records.now.iter().filter(|record| !before.contains(record)) {
                changes.add(record.of(owner));
            }
        }
        changes
    }
}

impl Record {
    fn of<'a>(&'a self, owner: &'a [u8]) -> RecordRef<'a> {
        let Self { rtype, ttl, rdata, .. } = self;
        RecordRef { owner, rtype: *rtype, class: Class::IN, ttl: *ttl, rdata }
    }
}

impl Records {
    fn is_changed(&self) -> bool {
        let now: HashSet<&Record> = self.now.iter().collect();
        self.before.len() != self.now.len()
            || self.before.iter().any(|record| !now.contains(record))
    }

    fn has(&self, rtype: Rtype) -> bool {
        self.now.iter().any(|record| record.rtype == rtype)
    }

    /// Adds a record, or replaces the one that it is a duplicate of (section 3.4.2.2).
    fn add(&mut self, entry: &Entry, is_apex: bool) {
        let rtype = entry.rtype;
        let new = Record {
            rtype,
            ttl: entry.ttl,
            rdata: entry.rdata.clone(),
            key: canonical(rtype, &entry.rdata),
        };
        match rtype {
            // "If the TYPE is SOA and there is no Zone SOA RR, or the new SOA.SERIAL is lower (according to
            // [RFC1982]) than or equal to the current Zone SOA RR's SOA.SERIAL, the Update RR is ignored."
            Rtype::SOA => {
                let known = self.now.iter().find(|record| record.rtype == rtype);
                let (known, wanted) = (known.and_then(serial), serial(&new));
                let is_newer = known
                    .zip(wanted)
                    .is_some_and(|(known, wanted)| wanted != 0 && zone::is_newer(wanted, known));
                if !is_apex || !is_newer {
                    return;
                }
            }
            // "In the case of a CNAME Update RR and a non-CNAME Zone RRset or vice versa, ignore the CNAME
            // Update RR, otherwise replace the CNAME Zone RR with the CNAME Update RR."
            Rtype::CNAME if self.now.iter().any(|record| !may_stand_beside_cname(record.rtype)) => {
                return;
            }
            _ if self.has(Rtype::CNAME) && !may_stand_beside_cname(rtype) => return,
            _ => {}
        }
        self.now.retain(|known| !is_replaced(known, &new));
        // RFC 2181 section 5.2: the TTLs of all records in an RRset must be the same.
        for known in self.now.iter_mut().filter(|known| known.rtype == rtype) {
            known.ttl = new.ttl;
        }
        self.now.push(new);
    }

    /// Deletes a set, or all sets of the name (section 3.4.2.3).
    fn delete_sets(&mut self, rtype: Rtype, is_apex: bool) {
        // The SOA and NS records of the apex stay.
        let is_kept = |known: &Record| is_apex && matches!(known.rtype, Rtype::SOA | Rtype::NS);
        self.now.retain(|known| is_kept(known) || rtype != Rtype::ANY && known.rtype != rtype);
    }

    /// Deletes one record (section 3.4.2.4).
    fn delete(&mut self, entry: &Entry, is_apex: bool) {
        let key = canonical(entry.rtype, &entry.rdata);
        let is_it = |known: &Record| known.rtype == entry.rtype && known.key == key;
        // The SOA record stays, and so does the last NS record of the zone.
        let is_last_ns = is_apex
            && entry.rtype == Rtype::NS
            && self.now.iter().filter(|known| known.rtype == Rtype::NS).all(is_it);
        if entry.rtype != Rtype::SOA && !is_last_ns {
            self.now.retain(|known| !is_it(known));
        }
    }

    fn increase_serial(&mut self) {
        let soa = self.now.iter_mut().find(|record| record.rtype == Rtype::SOA);
        if let Some(soa) = soa
            && let (Some(at), Some(now)) = (serial_at(&soa.rdata), serial(soa))
        {
            let next = next_serial(now).to_be_bytes();
            soa.rdata[at..at + 4].copy_from_slice(&next);
            soa.key[at..at + 4].copy_from_slice(&next);
        }
    }
}

/// Whether a new record takes the place of a known one.
fn is_replaced(known: &Record, new: &Record) -> bool {
    if known.rtype != new.rtype {
        return false;
    }
    match new.rtype {
        // A name has one record of these types (RFC 6672 section 2.4 for DNAME).
        Rtype::SOA | Rtype::CNAME | Rtype::DNAME => true,
        // Section 3.4.2.2: WKS records are duplicates if their address and protocol are the same.
        Rtype::WKS => known.key.get(..5) == new.key.get(..5),
        _ => known.key == new.key,
    }
}

/// Whether a record of this type may stand beside a CNAME record, or is one (RFC 4034 section 2.5).
fn may_stand_beside_cname(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::CNAME | Rtype::KEY) || crate::scan::is_generated(rtype)
}

fn serial_at(rdata: &[u8]) -> Option<usize> {
    let first = name::wire_len(rdata)?;
    let second = name::wire_len(rdata.get(first..)?)?;
    Some(first + second).filter(|at| at + 4 <= rdata.len())
}

fn serial(soa: &Record) -> Option<u32> {
    soa.of(&[0]).soa_serial()
}

/// The serial after `serial`. 0 is skipped, because other servers do not take it for a serial
/// (RFC 2136 section 7.11).
fn next_serial(serial: u32) -> u32 {
    serial.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_skip_zero() {
        assert_eq!((next_serial(7), next_serial(u32::MAX)), (8, 1));
    }
}
