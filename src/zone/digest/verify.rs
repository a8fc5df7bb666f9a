//! Compares the digest of a zone with its ZONEMD records (RFC 8976 section 4).

use std::fmt;

use wire::{Name, Rtype};

use super::compute::{Algorithm, SIMPLE, digest};
use crate::listing::Listing;
use crate::store::Zone;

/// Octets of a record before its digest.
const HEAD: usize = 6;
/// The shortest digest (RFC 8976 section 2.2.4).
const MIN_DIGEST: usize = 12;

/// What the ZONEMD records say about the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is none.
    Absent,
    /// One of them has the digest of the zone, by this algorithm.
    Verified(Algorithm),
    /// None of them has: what is wrong with each.
    Failed(Vec<Fault>),
}

/// Why a ZONEMD record does not verify the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The zone has no SOA record, or several.
    NoSoa,
    /// The record is for another version of the zone.
    Serial {
        /// Serial in the record.
        digest: u32,
        /// Serial of the zone.
        zone: u32,
    },
    /// The scheme is not known.
    Scheme(u8),
    /// The hash algorithm is not known.
    Algorithm(u8),
    /// Two records have this scheme and hash algorithm; neither may be used.
    Twice(Algorithm),
    /// The digest has another length than its algorithm makes.
    Length(usize),
    /// The digest is not that of the zone.
    Differs(Algorithm),
}

impl Fault {
    /// Whether the zone may be right: the record cannot be checked here.
    pub fn is_unknown(self) -> bool {
        matches!(self, Self::Scheme(_) | Self::Algorithm(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSoa => f.write_str("the zone has not one SOA record"),
            Self::Serial { digest, zone } => {
                write!(f, "the ZONEMD record is for serial {digest}, and the zone has {zone}")
            }
            Self::Scheme(number) => {
                write!(f, "the scheme {number} of the ZONEMD record is not known")
            }
            Self::Algorithm(number) => {
                write!(f, "the hash algorithm {number} of the ZONEMD record is not known")
            }
            Self::Twice(algorithm) => {
                write!(f, "several ZONEMD records have a {} digest", algorithm.name())
            }
            Self::Length(length) => {
                write!(f, "the digest of the ZONEMD record has {length} octets")
            }
            Self::Differs(algorithm) => write!(
                f,
                "the {} digest of the ZONEMD record is not that of the zone",
                algorithm.name()
            ),
        }
    }
}

/// Compares the digest of a zone with its ZONEMD records.
pub fn verify(zone: &Zone) -> Verdict {
    // Sorting a whole zone is not for those that have no digest.
    if zone.rrset(zone.apex().as_wire(), Rtype::ZONEMD).is_none() {
        return Verdict::Absent;
    }
    verify_listing(&Listing::of(zone), zone.apex())
}

/// The same for the records of a zone `apex` in canonical order.
pub fn verify_listing(listing: &Listing, apex: &Name) -> Verdict {
    let Some(records) = listing.name(apex.as_wire()).filter(|name| name.has(Rtype::ZONEMD)) else {
        return Verdict::Absent;
    };
    let mut soas = records.of(Rtype::SOA);
    let serial = soas.next().and_then(|soa| {
        // A text that a transfer wrote ends with the SOA record again.
        soas.all(|other| other.same(&soa)).then_some(soa.record.soa_serial()?)
    });
    let Some(serial) = serial else { return Verdict::Failed(vec![Fault::NoSoa]) };
    let mut all: Vec<&[u8]> = records.of(Rtype::ZONEMD).map(|listed| listed.canonical).collect();
    all.dedup();
    let mut faults = Vec::new();
    for rdata in &all {
        match check(listing, apex, serial, &all, rdata) {
            Ok(algorithm) => return Verdict::Verified(algorithm),
            Err(fault) => faults.push(fault),
        }
    }
    Verdict::Failed(faults)
}

/// Steps 4 a to g of RFC 8976 section 4 for one of the records.
fn check(
    listing: &Listing,
    apex: &Name,
    zone: u32,
    all: &[&[u8]],
    rdata: &[u8],
) -> Result<Algorithm, Fault> {
    let Some((&[a, b, c, d, scheme, number], own)) = rdata.split_first_chunk::<HEAD>() else {
        return Err(Fault::Length(0));
    };
    let serial = u32::from_be_bytes([a, b, c, d]);
    if serial != zone {
        return Err(Fault::Serial { digest: serial, zone });
    }
    if scheme != SIMPLE {
        return Err(Fault::Scheme(scheme));
    }
    let Some(algorithm) = Algorithm::of(number) else { return Err(Fault::Algorithm(number)) };
    let same = |other: &&&[u8]| other.get(4..HEAD) == Some(&[scheme, number]);
    if all.iter().filter(same).count() > 1 {
        return Err(Fault::Twice(algorithm));
    }
    if own.len() < MIN_DIGEST {
        return Err(Fault::Length(own.len()));
    }
    let computed = digest(listing, apex, algorithm);
    if own.len() != computed.len() {
        return Err(Fault::Length(own.len()));
    }
    if own == computed { Ok(algorithm) } else { Err(Fault::Differs(algorithm)) }
}
