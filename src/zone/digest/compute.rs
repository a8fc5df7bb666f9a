//! The digest of the scheme SIMPLE: a hash over all records in canonical order (RFC 8976 section 3.4).

use ring::digest::{Context, SHA384, SHA512};
use wire::{Class, Name, Rtype, name};

use crate::listing::{Listed, Listing};
use crate::master::OwnedRecord;

/// The number of the scheme SIMPLE (RFC 8976 section 5.2).
pub(super) const SIMPLE: u8 = 1;

/// A hash algorithm (RFC 8976 section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The algorithm of this number.
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Sha384),
            2 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Sha384 => 1,
            Self::Sha512 => 2,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }
}

/// The digest of the zone `apex`. Records at other names are no part of it, and one that comes twice counts
/// once (RFC 8976 section 3.3.1).
pub fn digest(listing: &Listing, apex: &Name, algorithm: Algorithm) -> Vec<u8> {
    let mut hash = match algorithm {
        Algorithm::Sha384 => Context::new(&SHA384),
        Algorithm::Sha512 => Context::new(&SHA512),
    };
    let mut owner = Vec::with_capacity(name::MAX_NAME);
    let mut last: Option<Listed<'_>> = None;
    for listed in listing.records() {
        let record = listed.record;
        if !is_digested(&listed, apex) || last.is_some_and(|last| last.same(&listed)) {
            continue;
        }
        last = Some(listed);
        owner.clear();
        owner.extend(record.owner.iter().map(u8::to_ascii_lowercase));
        hash.update(&owner);
        hash.update(&record.rtype.0.to_be_bytes());
        hash.update(&record.class.0.to_be_bytes());
        hash.update(&record.ttl.to_be_bytes());
        hash.update(&(listed.canonical.len() as u16).to_be_bytes());
        hash.update(listed.canonical);
    }
    hash.finish().as_ref().to_vec()
}

/// "All ZONEMD RRs located at the zone apex … MUST be excluded", and the signatures that cover them.
fn is_digested(listed: &Listed<'_>, apex: &Name) -> bool {
    let record = listed.record;
    let about = listed.covers().unwrap_or(record.rtype);
    let is_apex = name::eq(record.owner, apex.as_wire());
    record.class == Class::IN
        && name::is_under(record.owner, apex.as_wire())
        && !(is_apex && about == Rtype::ZONEMD)
}

/// The ZONEMD record of the zone `apex`; `None` if it has no SOA record.
pub fn zonemd(listing: &Listing, apex: &Name, algorithm: Algorithm) -> Option<OwnedRecord> {
    let soa = listing.name(apex.as_wire())?.of(Rtype::SOA).next()?.record;
    let mut rdata = soa.soa_serial()?.to_be_bytes().to_vec();
    rdata.extend_from_slice(&[SIMPLE, algorithm.number()]);
    rdata.extend_from_slice(&digest(listing, apex, algorithm));
    // "It is RECOMMENDED that the TTL of the ZONEMD RR match the TTL of the … SOA" (section 3).
    Some(OwnedRecord {
        owner: apex.clone(),
        rtype: Rtype::ZONEMD,
        class: Class::IN,
        ttl: soa.ttl,
        rdata,
    })
}
