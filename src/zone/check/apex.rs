//! Checks of the apex: SOA, name servers, digest.

use wire::name::{self, Text};
use wire::{Rtype, rdata};

use super::finding::{Draft, Drafts};
use super::rules::Check;
use super::tree::Tree;
use crate::digest::Verdict;
use crate::listing::Listed;

/// Seconds of the timers of an SOA record.
struct Timers {
    refresh: u32,
    retry: u32,
    expire: u32,
}

/// Checks the apex. `elsewhere` is an SOA record at another name.
pub(super) fn check(tree: &Tree<'_>, drafts: &mut Drafts<'_>) {
    let apex = tree.listing.name(tree.apex.as_wire());
    let mut soas: Vec<Listed<'_>> = apex.iter().flat_map(|apex| apex.of(Rtype::SOA)).collect();
    soas.dedup_by(|a, b| a.same(b));
    let below = tree.listing.records().filter(|listed| {
        listed.record.rtype == Rtype::SOA
            && !tree.is_apex(listed.record.owner)
            && name::is_under(listed.record.owner, tree.apex.as_wire())
    });
    for listed in below {
        drafts.at(Check::SoaBelowApex, listed.record, || {
            let message = format!("SOA record below the apex, at `{}`", Text(listed.record.owner));
            let help = "a zone has one SOA record, at its apex: remove this one, or move its names \
                        to a zone file of their own";
            Draft::new(message, help)
        });
    }
    match soas.as_slice() {
        [] => drafts.whole(Check::NoSoa, || {
            let message = format!("zone `{}` has no SOA record", tree.apex);
            let help = "a zone has one SOA record, at its apex; is this the file of another zone?";
            Draft::new(message, help)
        }),
        [first, second, ..] => drafts.at(Check::SeveralSoas, second.record, || {
            let message = format!("two SOA records that differ at `{}`", tree.apex);
            let help = "keep the SOA record whose serial number is right";
            Draft::new(message, help).first(first.record)
        }),
        [soa] => check_soa(*soa, drafts),
    }
    if let Some(soa) = soas.first()
        && !apex.is_some_and(|apex| apex.has(Rtype::NS))
    {
        drafts.at(Check::NoNs, soa.record, || {
            let message = format!("zone `{}` has no NS records", tree.apex);
            Draft::new(message, "name its servers: `@ NS ns1`").label("the apex")
        });
    }
}

fn check_soa(soa: Listed<'_>, drafts: &mut Drafts<'_>) {
    if soa.record.soa_serial() == Some(0) {
        drafts.at(Check::SoaSerial, soa.record, || {
            let message = "the serial number of the SOA record is 0".to_owned();
            let help = "count from 1, or write the date as `YYYYMMDDnn`: servers use 0 for a zone \
                        that is not loaded";
            Draft::new(message, help)
        });
    }
    if let Some(timers) = timers(soa.record.rdata) {
        check_timers(soa, &timers, drafts);
    }
    if let Some(mailbox) = mailbox(soa.record.rdata)
        && name::labels(mailbox).any(|label| label.contains(&b'@'))
    {
        drafts.at(Check::SoaMailbox, soa.record, || {
            let message = format!("`{}` is not a mailbox as a name", Text(mailbox));
            let help = "write the `@` of the address as a dot, and a dot before it as `\\.`";
            Draft::new(message, help)
        });
    }
}

fn check_timers(soa: Listed<'_>, timers: &Timers, drafts: &mut Drafts<'_>) {
    let Timers { refresh, retry, expire } = *timers;
    let mut wrong = |message: String, help: &str| {
        drafts.at(Check::SoaTimers, soa.record, || Draft::new(message, help));
    };
    if refresh == 0 || retry == 0 {
        let help = "write the seconds between two checks of a secondary, such as 7200 and 3600";
        wrong("refresh and retry of the SOA record must not be 0".to_owned(), help);
    } else if retry > refresh {
        let message =
            format!("retry is {retry} s, longer than refresh, {refresh} s, in the SOA record");
        wrong(
            message,
            "a failed check is repeated sooner: make retry smaller (RFC 1912 section 2.2)",
        );
    }
    if u64::from(expire) < u64::from(refresh) + u64::from(retry) {
        let message = format!(
            "expire is {expire} s, shorter than refresh and retry together, in the SOA record"
        );
        let help = "a secondary discards the zone before it can retry: make expire longer, such as \
                    1209600 (RFC 1912 section 2.2)";
        wrong(message, help);
    }
}

fn timers(soa: &[u8]) -> Option<Timers> {
    let numbers = soa.len().checked_sub(20).and_then(|at| soa.get(at..))?;
    let number = |at: usize| {
        numbers.get(at * 4..).and_then(|rest| rest.first_chunk()).map(|n| u32::from_be_bytes(*n))
    };
    Some(Timers { refresh: number(1)?, retry: number(2)?, expire: number(3)? })
}

fn mailbox(soa: &[u8]) -> Option<&[u8]> {
    let layout = rdata::layout(Rtype::SOA)?;
    let first = layout.first_name(soa, 0, soa.len()).ok()?;
    let at = first + name::wire_len(&soa[first..])?;
    let len = name::wire_len(soa.get(at..)?)?;
    soa.get(at..at + len)
}

/// Reports a digest that is not that of the zone.
pub(super) fn check_digest(tree: &Tree<'_>, verdict: &Verdict, drafts: &mut Drafts<'_>) {
    let Verdict::Failed(faults) = verdict else { return };
    let apex = tree.listing.name(tree.apex.as_wire());
    let mut records: Vec<Listed<'_>> =
        apex.iter().flat_map(|apex| apex.of(Rtype::ZONEMD)).collect();
    records.dedup_by(|a, b| a.same(b));
    for (fault, record) in faults.iter().zip(records) {
        drafts.at(Check::Zonemd, record.record, || {
            let help = match fault.is_unknown() {
                true => "add a record with scheme 1 and hash algorithm 1 (RFC 8976)",
                false => "after a change compute it again: `catena zone format --zonemd`",
            };
            Draft::new(fault.to_string(), help)
        });
    }
}
