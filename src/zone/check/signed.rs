//! Checks of the signatures of a signed zone (RFC 4035 section 2). Whether a signature is right is not checked.

use wire::name::{self, Text};
use wire::{Rtype, rdata};

use super::finding::{Draft, Drafts, Spot};
use super::rules::Check;
use super::tree::{Descent, Role, Tree};
use crate::is_newer;
use crate::listing::{Listed, ListedName};

/// Whether the zone is signed: its SOA record has a signature, or its apex a proof.
pub(super) fn is_signed(tree: &Tree<'_>) -> bool {
    tree.listing.name(tree.apex.as_wire()).is_some_and(|apex| {
        apex.of(Rtype::RRSIG).any(|signature| signature.covers() == Some(Rtype::SOA))
            || apex.has(Rtype::NSEC)
            || apex.has(Rtype::NSEC3PARAM)
    })
}

/// The key tag (RFC 4034 appendix B) and algorithm of a DNSKEY record.
fn key(rdata: &[u8]) -> Option<(u16, u8)> {
    let algorithm = *rdata.get(3)?;
    // RSA/MD5 is the exception: the tag is a part of the modulus.
    if algorithm == 1 {
        let at = rdata.len().checked_sub(3)?;
        return Some((u16::from_be_bytes([*rdata.get(at)?, *rdata.get(at + 1)?]), algorithm));
    }
    let sum: u32 = rdata
        .iter()
        .enumerate()
        .map(|(at, byte)| if at % 2 == 0 { u32::from(*byte) << 8 } else { u32::from(*byte) })
        .sum();
    Some(((sum + (sum >> 16)) as u16, algorithm))
}

/// The parts of a signature that are checked.
struct Signature<'a> {
    covers: Rtype,
    algorithm: u8,
    original_ttl: u32,
    expiration: u32,
    inception: u32,
    tag: u16,
    signer: &'a [u8],
}

impl<'a> Signature<'a> {
    fn read(rdata: &'a [u8]) -> Option<Self> {
        let fixed: &[u8; 18] = rdata.first_chunk()?;
        let long = |at: usize| {
            u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]])
        };
        let at = rdata::layout(Rtype::RRSIG)?.first_name(rdata, 0, rdata.len()).ok()?;
        let len = name::wire_len(rdata.get(at..)?)?;
        Some(Self {
            covers: Rtype(u16::from_be_bytes([fixed[0], fixed[1]])),
            algorithm: fixed[2],
            original_ttl: long(4),
            expiration: long(8),
            inception: long(12),
            tag: u16::from_be_bytes([fixed[16], fixed[17]]),
            signer: rdata.get(at..at + len)?,
        })
    }
}

/// Checks that every set that must have a signature has one, and that the signatures fit. `now` is in seconds
/// since 1970.
pub(super) fn check(tree: &Tree<'_>, now: Option<u32>, drafts: &mut Drafts<'_>) {
    let apex = tree.listing.name(tree.apex.as_wire());
    let keys: Vec<(u16, u8)> = apex
        .iter()
        .flat_map(|apex| apex.of(Rtype::DNSKEY))
        .filter_map(|listed| key(listed.record.rdata))
        .collect();
    let mut descent = Descent::default();
    for name in tree.listing.names() {
        if !name::is_under(name.owner(), tree.apex.as_wire()) {
            continue;
        }
        let role = descent.role(name, tree.is_apex(name.owner()));
        ds(name, role, drafts);
        if !matches!(role, Role::Own | Role::Cut) {
            continue;
        }
        unsigned(name, role, drafts);
        for listed in name.of(Rtype::RRSIG) {
            if let Some(signature) = Signature::read(listed.record.rdata) {
                one(tree, name, listed, &signature, &keys, now, drafts);
            }
        }
    }
}

fn ds(name: ListedName<'_>, role: Role<'_>, drafts: &mut Drafts<'_>) {
    if role != Role::Cut
        && let Some(ds) = name.of(Rtype::DS).next()
    {
        drafts.at(Check::DsWithoutNs, ds.record, || {
            let message = format!("`{}` has a DS record and is no delegation", Text(name.owner()));
            Draft::new(message, "remove it, or delegate the name with NS records")
        });
    }
}

fn unsigned(name: ListedName<'_>, role: Role<'_>, drafts: &mut Drafts<'_>) {
    for rtype in name.types().filter(|rtype| *rtype != Rtype::RRSIG) {
        // RFC 4035 section 2.2: of a delegation the parent signs DS and NSEC only.
        let is_own = role == Role::Own || matches!(rtype, Rtype::DS | Rtype::NSEC);
        let signed = || name.of(Rtype::RRSIG).any(|signature| signature.covers() == Some(rtype));
        if is_own
            && !signed()
            && let Some(first) = name.of(rtype).next()
        {
            drafts.at(Check::Unsigned, first.record, || {
                let message =
                    format!("the {rtype} records of `{}` have no signature", Text(name.owner()));
                Draft::new(message, "sign the zone again: validating resolvers refuse this set")
            });
        }
    }
}

fn one(
    tree: &Tree<'_>,
    name: ListedName<'_>,
    listed: Listed<'_>,
    signature: &Signature<'_>,
    keys: &[(u16, u8)],
    now: Option<u32>,
    drafts: &mut Drafts<'_>,
) {
    let owner = || Text(name.owner());
    let covers = signature.covers;
    let Some(covered) = name.of(covers).next() else {
        drafts.at(Check::SignatureWithoutSet, listed.record, || {
            let message =
                format!("`{}` has a signature of its {covers} records, but none such", owner());
            Draft::new(message, "sign the zone again")
        });
        return;
    };
    // RFC 4034 section 3: "the TTL value of an RRSIG RR MUST match the TTL value of the RRset it covers."
    if listed.record.ttl != covered.record.ttl || signature.original_ttl < covered.record.ttl {
        drafts.at(Check::TtlDiffers, listed.record, || {
            let (own, set) = (listed.record.ttl, covered.record.ttl);
            let original = signature.original_ttl;
            let message = format!(
                "the {covers} records of `{}` have the TTL {set}, and their signature {own}, for \
                 the TTL {original}",
                owner()
            );
            let spot: Spot = covered.record.into();
            Draft::new(message, "sign the zone again").related(spot, format!("TTL {set}"))
        });
    }
    if !name::eq(signature.signer, tree.apex.as_wire()) {
        drafts.at(Check::SignatureKey, listed.record, || {
            let signer = Text(signature.signer);
            let message = format!("the signature is by `{signer}`, not by zone `{}`", tree.apex);
            Draft::new(message, "sign the zone again")
        });
    } else if !keys.contains(&(signature.tag, signature.algorithm)) {
        drafts.at(Check::SignatureKey, listed.record, || {
            let (tag, algorithm) = (signature.tag, signature.algorithm);
            let message = format!(
                "no DNSKEY record of the zone has the tag {tag} and algorithm {algorithm} of this \
                 signature"
            );
            Draft::new(message, "add the key, or sign the zone again")
        });
    }
    if let Some(now) = now {
        let wrong = match () {
            // RFC 4034 section 3.1.5 compares them in serial number arithmetic.
            () if is_newer(now, signature.expiration) => Some("has expired"),
            () if is_newer(signature.inception, now) => Some("is not valid yet"),
            () => None,
        };
        if let Some(wrong) = wrong {
            drafts.at(Check::SignatureTime, listed.record, || {
                let message =
                    format!("the signature of the {covers} records of `{}` {wrong}", owner());
                Draft::new(message, "sign the zone again: validating resolvers refuse this set")
            });
        }
    }
}
