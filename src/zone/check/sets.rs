//! Checks of the records of one name: conflicts, duplicates, TTLs.

use wire::name::{self, Text};
use wire::{Class, Rtype};

use super::finding::{Draft, Drafts, Spot};
use super::rules::Check;
use super::tree::{Descent, Role, Tree};
use crate::listing::{Listed, ListedName};
use crate::store::may_stand_beside_cname;

/// Checks every name of the zone.
pub(super) fn check(tree: &Tree<'_>, drafts: &mut Drafts<'_>) {
    let mut descent = Descent::default();
    for name in tree.listing.names() {
        if !name::is_under(name.owner(), tree.apex.as_wire()) {
            for listed in name.records() {
                outside(tree, listed, drafts);
            }
            continue;
        }
        duplicates(name, drafts);
        ttls(name, drafts);
        alias(tree, name, drafts);
        if drafts.wants(Check::ZoneTwice) {
            twice(tree, name, drafts);
        }
        match descent.role(name, tree.is_apex(name.owner())) {
            Role::Own => {}
            Role::Cut => beside_cut(name, drafts),
            Role::BelowCut(cut) => below_cut(name, cut, drafts),
            Role::BelowDname(dname) => below_dname(name, dname, drafts),
        }
    }
}

fn outside(tree: &Tree<'_>, listed: Listed<'_>, drafts: &mut Drafts<'_>) {
    drafts.at(Check::OutOfZone, listed.record, || {
        let (owner, apex) = (Text(listed.record.owner), tree.apex);
        let message = format!("`{owner}` is not in zone `{apex}`");
        let help = "remove it, or put it into the file of its own zone";
        Draft::new(message, help).label("not served")
    });
}

/// A record of another class than IN.
pub(super) fn other_class(listed: Listed<'_>, drafts: &mut Drafts<'_>) {
    drafts.at(Check::OtherClass, listed.record, || {
        let (owner, rtype) = (Text(listed.record.owner), listed.record.rtype);
        let class = listed.record.class;
        let message = format!("the {rtype} record of `{owner}` is of class {class}");
        Draft::new(message, "zones are of class IN: remove it, or write `IN`").label("not served")
    });
}

fn duplicates(name: ListedName<'_>, drafts: &mut Drafts<'_>) {
    let mut last: Option<Listed<'_>> = None;
    let mut again = 0;
    for listed in name.records() {
        match last.filter(|last| last.same(&listed)) {
            None => (last, again) = (Some(listed), 0),
            Some(first) => {
                again += 1;
                // In another spelling it is the first of its own.
                let same_bytes = first.record.rdata == listed.record.rdata;
                let spot = Spot { nth: if same_bytes { again } else { 0 }, ..listed.record.into() };
                drafts.at(Check::Duplicate, spot, || {
                    let (owner, rtype) = (Text(name.owner()), listed.record.rtype);
                    let message = format!("this {rtype} record of `{owner}` comes twice");
                    let draft = Draft::new(message, "remove one of them: it is served once");
                    draft.first(first.record)
                });
            }
        }
    }
}

/// RFC 2181 section 5.2: the TTLs of all records in a set must be the same.
fn ttls(name: ListedName<'_>, drafts: &mut Drafts<'_>) {
    let mut first: Option<Listed<'_>> = None;
    let mut told = false;
    for listed in name.records() {
        let set = |of: Listed<'_>| (of.record.rtype, of.covers());
        match first.filter(|first| set(*first) == set(listed)) {
            None => (first, told) = (Some(listed), false),
            Some(first) if first.record.ttl != listed.record.ttl && !told => {
                told = true;
                // Of two equal records the first one may be the one with the smaller TTL.
                let spot: Spot = listed.record.into();
                let spot = if first.same(&listed) { spot.again() } else { spot };
                drafts.at(Check::TtlDiffers, spot, || {
                    let (owner, rtype) = (Text(name.owner()), listed.record.rtype);
                    let (one, other) = (first.record.ttl, listed.record.ttl);
                    let message = format!(
                        "the {rtype} records of `{owner}` have different TTLs: {one} and {other}"
                    );
                    let help = "give all records of a set the same TTL (RFC 2181 section 5.2)";
                    Draft::new(message, help).first(first.record)
                });
            }
            Some(_) => {}
        }
    }
}

/// The records of one type that differ.
fn different<'a>(name: ListedName<'a>, rtype: Rtype) -> Vec<Listed<'a>> {
    let mut all: Vec<Listed<'_>> = name.of(rtype).collect();
    all.dedup_by(|a, b| a.same(b));
    all
}

fn alias(tree: &Tree<'_>, name: ListedName<'_>, drafts: &mut Drafts<'_>) {
    let is_apex = tree.is_apex(name.owner());
    let owner = || Text(name.owner());
    for (rtype, check, help) in [
        (Rtype::CNAME, Check::SeveralCnames, "an alias has one target: remove the others"),
        (Rtype::DNAME, Check::SeveralDnames, "a DNAME record has one target: remove the others"),
    ] {
        if name.has(rtype)
            && let [first, second, ..] = different(name, rtype).as_slice()
        {
            drafts.at(check, second.record, || {
                let message = format!("more than one {rtype} record at `{}`", owner());
                Draft::new(message, help).first(first.record)
            });
        }
    }
    let other = |listed: &Listed<'_>| !may_stand_beside_cname(listed.record.rtype);
    if name.has(Rtype::CNAME)
        && let Some(other) = name.records().find(other)
        && let Some(alias) = name.of(Rtype::CNAME).next()
    {
        drafts.at(Check::CnameAndOther, other.record, || {
            let help = match is_apex {
                true => {
                    "the apex has SOA and NS records, so it cannot be an alias: write the \
                     addresses (A, AAAA) themselves"
                }
                false => {
                    "an alias stands alone at its name: remove the CNAME record, or the others"
                }
            };
            let message = format!("CNAME and other data at `{}`", owner());
            Draft::new(message, help).label("the other data").related(alias.record, "the alias")
        });
    }
}

/// `www.example.org.example.org.`, where a name without its final dot was continued.
fn twice(tree: &Tree<'_>, name: ListedName<'_>, drafts: &mut Drafts<'_>) {
    if !is_twice(name.owner(), tree.apex.as_wire()) {
        return;
    }
    drafts.at(Check::ZoneTwice, Spot::name(name.owner()), || {
        let message = format!("`{}` ends in the name of the zone twice", Text(name.owner()));
        Draft::new(message, "end the name with a dot, or leave the name of the zone out")
    });
}

/// Whether the name ends in the name of the zone twice. A zone of one label may have that on purpose.
pub(super) fn is_twice(owner: &[u8], apex: &[u8]) -> bool {
    let Some(own) = owner.len().checked_sub(apex.len()) else { return false };
    if name::label_count(apex) < 2 || !name::is_under(owner, apex) {
        return false;
    }
    let mut relative = owner[..own].to_vec();
    relative.push(0);
    name::is_under(&relative, apex)
}

fn beside_cut(name: ListedName<'_>, drafts: &mut Drafts<'_>) {
    let belongs = |rtype: Rtype| {
        let proof = matches!(rtype, Rtype::NS | Rtype::DS | Rtype::NSEC | Rtype::RRSIG);
        // The name server may be the delegated name itself.
        proof || matches!(rtype, Rtype::A | Rtype::AAAA)
    };
    if let Some(other) = name.records().find(|listed| !belongs(listed.record.rtype))
        && let Some(delegation) = name.of(Rtype::NS).next()
    {
        drafts.at(Check::Occluded, other.record, || {
            let (owner, rtype) = (Text(name.owner()), other.record.rtype);
            let message = format!("the {rtype} record of `{owner}` belongs to the delegated zone");
            let help = "move it to the zone that the NS records delegate to";
            Draft::new(message, help)
                .label("not served")
                .related(delegation.record, "the delegation")
        });
    }
}

fn below_cut(name: ListedName<'_>, cut: &[u8], drafts: &mut Drafts<'_>) {
    let is_glue = |rtype: Rtype| matches!(rtype, Rtype::A | Rtype::AAAA);
    if let Some(other) = name.records().find(|listed| !is_glue(listed.record.rtype)) {
        drafts.at(Check::Occluded, other.record, || {
            let (owner, rtype) = (Text(name.owner()), other.record.rtype);
            let message = format!(
                "the {rtype} record of `{owner}` lies below the delegation of `{}`",
                Text(cut)
            );
            let help = "move it to the delegated zone: only addresses of name servers are glue";
            let spot = Spot { what: None, ..Spot::name(cut) };
            Draft::new(message, help).label("not served").related(spot, "the delegation")
        });
    }
}

fn below_dname(name: ListedName<'_>, dname: &[u8], drafts: &mut Drafts<'_>) {
    if let Some(first) = name.records().find(|listed| listed.record.class == Class::IN) {
        drafts.at(Check::BelowDname, first.record, || {
            let (owner, above) = (Text(name.owner()), Text(dname));
            let message = format!("`{owner}` lies below the DNAME record of `{above}`");
            let help =
                "remove it: a DNAME record redirects all names below it (RFC 6672 section 2.4)";
            Draft::new(message, help)
                .label("not served")
                .related(Spot::name(dname), "the redirection")
        });
    }
}
