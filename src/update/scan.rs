//! The look at the update section before anything is changed (RFC 2136 section 3.4.1).

use wire::{Class, Name, Rcode, Rtype};
use zone::Zone;

use crate::entry::Entry;
use crate::refusal::Refusal;

/// Checks the form of all updates.
pub(crate) fn check(updates: &[Entry], apex: &Name) -> Result<(), Refusal> {
    for entry in updates {
        let Entry { owner, rtype, class, ttl, rdata } = entry;
        is_inside(entry, apex)?;
        let is_any = *rtype == Rtype::ANY;
        let wrong = match *class {
            Class::IN if is_meta(*rtype) => Some("no record is of this type"),
            Class::IN if !entry.is_well_formed() => Some("its RDATA is malformed"),
            Class::ANY | Class::NONE if *ttl != 0 => Some("its TTL is not 0"),
            Class::ANY if !rdata.is_empty() => Some("it has RDATA, and deletes a whole set"),
            Class::ANY if is_meta(*rtype) && !is_any => Some("no record is of this type"),
            Class::NONE if is_meta(*rtype) => Some("no record is of this type"),
            Class::IN | Class::ANY | Class::NONE => None,
            _ => Some("the class is neither that of the zone nor ANY nor NONE"),
        };
        if let Some(wrong) = wrong {
            let why = format!("an update of `{owner}`, type {rtype}, class {class}: {wrong}");
            return Err(Refusal::formerr(why));
        }
        if is_generated(*rtype) {
            let why = format!("{rtype} records follow from others, and cannot be updated");
            return Err(Refusal::new(Rcode::NOTIMP, why));
        }
    }
    Ok(())
}

/// Refuses names outside of the zone.
pub(crate) fn is_inside(entry: &Entry, apex: &Name) -> Result<(), Refusal> {
    if wire::name::is_under(entry.owner.as_wire(), apex.as_wire()) {
        return Ok(());
    }
    let why = format!("`{}` is not in zone `{apex}`", entry.owner);
    Err(Refusal::new(Rcode::NOTZONE, why))
}

/// Whether a type is one of questions or of messages, which no zone has.
pub fn is_meta(rtype: Rtype) -> bool {
    // RFC 6895 section 3.1: 128 to 255 are QTYPEs and Meta-TYPEs, and OPT is one outside of that range.
    matches!(rtype.0, 0 | 128..=255) || rtype == Rtype::OPT
}

/// Whether records of this type are made from others: signatures, proofs and digests. After an update
/// they would be wrong, and only a signer makes them anew.
pub fn is_generated(rtype: Rtype) -> bool {
    matches!(
        rtype,
        Rtype::SIG
            | Rtype::NXT
            | Rtype::RRSIG
            | Rtype::NSEC
            | Rtype::NSEC3
            | Rtype::NSEC3PARAM
            | Rtype::ZONEMD
    )
}

/// The type of a record that an update would make wrong, if a zone has one.
pub fn holds_signatures(zone: &Zone) -> Option<Rtype> {
    let mut records = zone.records();
    while let Some(record) = records.next_record() {
        if is_generated(record.rtype) {
            return Some(record.rtype);
        }
    }
    None
}
