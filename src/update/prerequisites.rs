//! The prerequisite section (RFC 2136 section 3.2).

use std::collections::BTreeMap;

use wire::{Class, Rcode, Rtype};
use zone::Zone;

use crate::entry::{Entry, canonical};
use crate::refusal::Refusal;
use crate::scan;

/// Checks all prerequisites.
pub(crate) fn check(prerequisites: &[Entry], zone: &Zone) -> Result<(), Refusal> {
    let mut sets: BTreeMap<(Vec<u8>, Rtype), Vec<Vec<u8>>> = BTreeMap::new();
    for entry in prerequisites {
        let Entry { owner, rtype, class, ttl, rdata } = entry;
        if *ttl != 0 {
            return Err(Refusal::formerr(format!(
                "a prerequisite of `{owner}` has TTL {ttl}, not 0"
            )));
        }
        scan::is_inside(entry, zone.apex())?;
        let is_meta = scan::is_meta(*rtype) && *rtype != Rtype::ANY;
        if is_meta || *class == Class::IN && *rtype == Rtype::ANY {
            return Err(Refusal::formerr(format!("no records are of type {rtype}")));
        }
        if matches!(*class, Class::ANY | Class::NONE) && !rdata.is_empty() {
            let why = format!("a prerequisite of `{owner}` in class {class} has RDATA");
            return Err(Refusal::formerr(why));
        }
        let (rcode, why) = match (*class, *rtype) {
            // RFC 2136 section 2.4.4: an empty non-terminal is not in use.
            (Class::ANY, Rtype::ANY) if !owns_records(zone, entry) => {
                (Rcode::NXDOMAIN, format!("`{owner}` is not in use"))
            }
            (Class::ANY, _) if *rtype != Rtype::ANY && !has_set(zone, entry) => {
                (Rcode::NXRRSET, format!("`{owner}` has no {rtype} records"))
            }
            (Class::NONE, Rtype::ANY) if owns_records(zone, entry) => {
                (Rcode::YXDOMAIN, format!("`{owner}` is in use"))
            }
            (Class::NONE, _) if *rtype != Rtype::ANY && has_set(zone, entry) => {
                (Rcode::YXRRSET, format!("`{owner}` has {rtype} records"))
            }
            (Class::ANY | Class::NONE, _) => continue,
            (Class::IN, _) if entry.is_well_formed() => {
                let key = (owner.to_lower().as_wire().to_vec(), *rtype);
                sets.entry(key).or_default().push(canonical(*rtype, rdata));
                continue;
            }
            (Class::IN, _) => return Err(Refusal::formerr(format!("malformed {rtype} record"))),
            _ => {
                let why = format!("a prerequisite of `{owner}` is of class {class}");
                return Err(Refusal::formerr(why));
            }
        };
        return Err(Refusal::new(rcode, why));
    }
    for ((owner, rtype), mut wanted) in sets {
        let mut found = Vec::new();
        if let Some(set) = zone.rrset(&owner, rtype) {
            set.for_each(|_, rdata| found.push(canonical(rtype, rdata)));
        }
        found.sort_unstable();
        wanted.sort_unstable();
        wanted.dedup();
        if found != wanted {
            let why = format!(
                "the {rtype} records of `{}` are not those that were required",
                wire::name::Text(&owner)
            );
            return Err(Refusal::new(Rcode::NXRRSET, why));
        }
    }
    Ok(())
}

fn owns_records(zone: &Zone, entry: &Entry) -> bool {
    let mut owns = false;
    zone.each_record_at(entry.owner.as_wire(), |_| owns = true);
    owns
}

fn has_set(zone: &Zone, entry: &Entry) -> bool {
    zone.rrset(entry.owner.as_wire(), entry.rtype).is_some()
}
