//! Checks of the proofs of a signed zone: the NSEC chain (RFC 4034 section 4) and the NSEC3 chain (RFC 5155
//! section 7.1).

use data_encoding::BASE32_DNSSEC;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use wire::Rtype;
use wire::name::{self, Text};

use super::finding::{Draft, Drafts, Spot};
use super::rules::Check;
use super::tree::{Descent, Role, Tree};
use crate::listing::{Listed, ListedName};

/// The most iterations with which the chain is checked. Validating resolvers refuse more (RFC 9276 section
/// 3.2), and each costs a hash for each name.
const MAX_ITERATIONS: u16 = 150;
/// Octets of a hash.
const HASH: usize = 20;

/// Checks the proofs.
pub(super) fn check(tree: &Tree<'_>, drafts: &mut Drafts<'_>) {
    let apex = tree.listing.name(tree.apex.as_wire());
    match apex.and_then(|apex| apex.of(Rtype::NSEC3PARAM).next()) {
        Some(param) => nsec3(tree, param, drafts),
        None => nsec(tree, drafts),
    }
}

/// The names that must have a proof, in canonical order.
fn proved<'a>(tree: &Tree<'a>) -> impl Iterator<Item = (ListedName<'a>, Role<'a>)> {
    let mut descent = Descent::default();
    let apex = tree.apex.as_wire();
    tree.listing.names().filter_map(move |found| {
        if !name::is_under(found.owner(), apex) {
            return None;
        }
        let role = descent.role(found, name::eq(found.owner(), apex));
        matches!(role, Role::Own | Role::Cut).then_some((found, role))
    })
}

fn nsec(tree: &Tree<'_>, drafts: &mut Drafts<'_>) {
    let mut last: Option<Listed<'_>> = None;
    for (found, role) in proved(tree) {
        let Some(own) = found.of(Rtype::NSEC).next() else {
            drafts.at(Check::NsecChain, Spot::name(found.owner()), || {
                let message = format!("`{}` has no NSEC record", Text(found.owner()));
                Draft::new(message, "sign the zone again")
            });
            continue;
        };
        if let Some(last) = last {
            leads_to(last, found.owner(), drafts);
        }
        last = Some(own);
        let rdata = own.record.rdata;
        let bitmap = name::wire_len(rdata).and_then(|len| rdata.get(len..)).unwrap_or_default();
        types(found, own, bitmap, &expected(found, role), drafts);
    }
    if let Some(last) = last {
        leads_to(last, tree.apex.as_wire(), drafts);
    }
}

/// Checks that an NSEC record leads to this name.
fn leads_to(record: Listed<'_>, next: &[u8], drafts: &mut Drafts<'_>) {
    let rdata = record.record.rdata;
    let given = name::wire_len(rdata).and_then(|len| rdata.get(..len)).unwrap_or_default();
    if !name::eq(given, next) {
        drafts.at(Check::NsecChain, record.record, || {
            let (owner, given, next) = (Text(record.record.owner), Text(given), Text(next));
            let message = format!(
                "the NSEC record of `{owner}` leads to `{given}`, and the next name is `{next}`"
            );
            Draft::new(message, "sign the zone again")
        });
    }
}

/// The types that the proof of a name lists, ascending.
fn expected(found: ListedName<'_>, role: Role<'_>) -> Vec<Rtype> {
    let delegated =
        |rtype: &Rtype| matches!(*rtype, Rtype::NS | Rtype::DS | Rtype::NSEC | Rtype::RRSIG);
    found.types().filter(|rtype| role != Role::Cut || delegated(rtype)).collect()
}

/// Compares the types of a bitmap with those of the name.
fn types(
    found: ListedName<'_>,
    record: Listed<'_>,
    bitmap: &[u8],
    expected: &[Rtype],
    drafts: &mut Drafts<'_>,
) {
    let listed = listed_types(bitmap);
    if listed == expected {
        return;
    }
    drafts.at(Check::NsecTypes, record.record, || {
        let names = |of: &[Rtype], without: &[Rtype]| {
            let all = of.iter().filter(|rtype| !without.contains(rtype));
            all.map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let (missing, extra) = (names(expected, &listed), names(&listed, expected));
        let words = match (missing.is_empty(), extra.is_empty()) {
            (false, true) => format!("does not list {missing}"),
            (true, _) => format!("lists {extra}, which the name does not have"),
            (false, false) => format!("lists {extra} instead of {missing}"),
        };
        let rtype = record.record.rtype;
        let message = format!("the {rtype} record of `{}` {words}", Text(found.owner()));
        Draft::new(message, "sign the zone again")
    });
}

/// The types of a bitmap (RFC 4034 section 4.1.2).
fn listed_types(mut bitmap: &[u8]) -> Vec<Rtype> {
    let mut all = Vec::new();
    while let Some((&[window, length], rest)) = bitmap.split_first_chunk::<2>() {
        let Some((bits, rest)) = rest.split_at_checked(usize::from(length)) else { break };
        bitmap = rest;
        for (at, byte) in bits.iter().enumerate() {
            let set = (0..8u16).filter(|bit| byte & 0x80 >> bit != 0);
            all.extend(set.map(|bit| Rtype(u16::from(window) << 8 | (at as u16) << 3 | bit)));
        }
    }
    all
}

/// One NSEC3 record of the chain.
struct Link<'a> {
    hash: [u8; HASH],
    next: [u8; HASH],
    opt_out: bool,
    name: ListedName<'a>,
    record: Listed<'a>,
    bitmap: &'a [u8],
    used: bool,
}

/// What NSEC3 and NSEC3PARAM records have in common.
struct Parameters<'a> {
    algorithm: u8,
    flags: u8,
    iterations: u16,
    salt: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Parameters<'a> {
    fn read(rdata: &'a [u8]) -> Option<Self> {
        let (&[algorithm, flags, high, low, length], rest) = rdata.split_first_chunk::<5>()?;
        let (salt, rest) = rest.split_at_checked(usize::from(length))?;
        let iterations = u16::from_be_bytes([high, low]);
        Some(Self { algorithm, flags, iterations, salt, rest })
    }
}

fn nsec3(tree: &Tree<'_>, param: Listed<'_>, drafts: &mut Drafts<'_>) {
    let Some(parameters) = Parameters::read(param.record.rdata) else { return };
    let Parameters { algorithm, iterations, salt, .. } = parameters;
    if iterations > 0 || !salt.is_empty() {
        drafts.at(Check::Nsec3Parameters, param.record, || {
            let octets = salt.len();
            let message = format!("NSEC3 with {iterations} iterations and a salt of {octets} octets");
            let help = "use 0 iterations and no salt: more costs resolvers and protects nothing (RFC \
                        9276 section 3.1)";
            Draft::new(message, help)
        });
    }
    if algorithm != 1 || iterations > MAX_ITERATIONS || !drafts.wants(Check::Nsec3Chain) {
        return;
    }
    let mut links = links(tree, iterations, salt);
    for at in 0..links.len() {
        let (link, next) = (&links[at], &links[(at + 1) % links.len()]);
        if link.next != next.hash {
            drafts.at(Check::Nsec3Chain, link.record.record, || {
                let (owner, next) = (Text(link.name.owner()), Text(next.name.owner()));
                let message =
                    format!("the NSEC3 record `{owner}` does not lead to the next one, `{next}`");
                Draft::new(message, "sign the zone again")
            });
        }
    }
    let opt_out = links.iter().any(|link| link.opt_out);
    let mut last: &[u8] = &[];
    for (found, role) in proved(tree) {
        if is_proof(found) {
            continue;
        }
        let owner = found.owner();
        // Empty non-terminals above the name, which no earlier name has.
        let mut above = name::parent(owner);
        while let Some(parent) = above
            && parent.len() > tree.apex.as_wire().len()
            && !name::is_under(last, parent)
        {
            if tree.listing.name(parent).is_none() && !opt_out {
                prove(&mut links, parent, (iterations, salt), found, &[], drafts);
            }
            above = name::parent(parent);
        }
        last = owner;
        // RFC 5155 section 7.1: opt-out leaves insecure delegations out.
        let insecure = role == Role::Cut && !found.has(Rtype::DS);
        if !(opt_out && insecure) {
            let mut types = expected(found, role);
            types.retain(|rtype| *rtype != Rtype::NSEC3);
            prove(&mut links, owner, (iterations, salt), found, &types, drafts);
        } else {
            let hash = hash(owner, iterations, salt);
            if let Ok(at) = links.binary_search_by(|link| link.hash.cmp(&hash)) {
                links[at].used = true;
            }
        }
    }
    for link in links.iter().filter(|link| !link.used && !opt_out) {
        drafts.at(Check::Nsec3Chain, link.record.record, || {
            let message = format!("no name of the zone has the hash `{}`", Text(link.name.owner()));
            Draft::new(message, "sign the zone again")
        });
    }
}

/// Whether the name is an owner of NSEC3 records only, so that it is no name of the zone itself.
fn is_proof(found: ListedName<'_>) -> bool {
    found.has(Rtype::NSEC3)
        && found.types().all(|rtype| matches!(rtype, Rtype::NSEC3 | Rtype::RRSIG))
}

/// The NSEC3 records with these parameters, by hash.
fn links<'a>(tree: &Tree<'a>, iterations: u16, salt: &[u8]) -> Vec<Link<'a>> {
    let mut links = Vec::new();
    for (found, _) in proved(tree) {
        let digits = name::labels(found.owner()).next().unwrap_or_default();
        for record in found.of(Rtype::NSEC3) {
            let Some(own) = Parameters::read(record.record.rdata) else { continue };
            let decoded = BASE32_DNSSEC.decode(digits).ok().and_then(|hash| hash.try_into().ok());
            let (Some(hash), Some((&length, rest))) = (decoded, own.rest.split_first()) else {
                continue;
            };
            let next = rest.split_at_checked(usize::from(length));
            let Some((next, bitmap)) = next.and_then(|(n, b)| Some((n.try_into().ok()?, b))) else {
                continue;
            };
            if own.algorithm == 1 && own.iterations == iterations && own.salt == salt {
                let opt_out = own.flags & 1 != 0;
                links.push(Link { hash, next, opt_out, name: found, record, bitmap, used: false });
            }
        }
    }
    links.sort_by_key(|link| link.hash);
    links
}

/// Checks that a name has a proof with these types. `found` is the name, or one below an empty non-terminal.
fn prove(
    links: &mut [Link<'_>],
    owner: &[u8],
    (iterations, salt): (u16, &[u8]),
    found: ListedName<'_>,
    expected: &[Rtype],
    drafts: &mut Drafts<'_>,
) {
    let hash = hash(owner, iterations, salt);
    match links.binary_search_by(|link| link.hash.cmp(&hash)) {
        Ok(at) => {
            links[at].used = true;
            types(found, links[at].record, links[at].bitmap, expected, drafts);
        }
        Err(_) => drafts.at(Check::Nsec3Chain, Spot::name(found.owner()), || {
            let message = format!("`{}` has no NSEC3 record", Text(owner));
            Draft::new(message, "sign the zone again")
        }),
    }
}

/// RFC 5155 section 5.
fn hash(owner: &[u8], iterations: u16, salt: &[u8]) -> [u8; HASH] {
    let mut input = owner.to_ascii_lowercase();
    let mut out = [0; HASH];
    for _ in 0..=iterations {
        input.extend_from_slice(salt);
        out.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, &input).as_ref());
        input.clear();
        input.extend_from_slice(&out);
    }
    out
}
