//! `cname` rules: replace the target of a CNAME record, and look up the new target through this server.

use chain::{Query, Reply};
use wire::name::{self, NameBuf};
use wire::{Draft, Rtype, Section};

use super::config::{Match, Replacement};
use super::text::{self, Buffer, unmarked};

/// Whether the answer has an alias that the rule matches.
pub(super) fn fits(matches: &Match, reply: &Reply) -> bool {
    let mut target = NameBuf::new();
    reply.records().map_while(Result::ok).any(|record| {
        record.section == Section::Answer
            && record.rtype == Rtype::CNAME
            && {
                target.clear();
                name::read(reply.bytes(), record.rdata_at, &mut target).is_ok()
            }
            && text::with(target.as_wire(), |marked| matches.fits(unmarked(marked)))
    })
}

/// The position of the first alias that the rule matches, and its new target.
pub(super) fn find(
    matches: &Match,
    to: &Replacement,
    drafts: &[Draft],
) -> Option<(usize, NameBuf)> {
    drafts.iter().enumerate().find_map(|(at, draft)| {
        let alias = draft.section == Section::Answer && draft.rtype == Rtype::CNAME;
        alias.then(|| replaced(matches, to, &draft.rdata)).flatten().map(|target| (at, target))
    })
}

/// Replaces the target of the alias, and the records behind it by the server's answer for the new target.
pub(super) fn put(
    mut drafts: Vec<Draft>,
    (at, target): (usize, NameBuf),
    answer: Option<&Reply>,
    query: &Query,
    reply: &mut Reply,
) {
    drafts[at].rdata = target.as_wire().to_vec();
    let mut number = 0;
    // Of the earlier records, only aliases lead to this one.
    drafts.retain(|draft| {
        number += 1;
        draft.section != Section::Answer || number <= at + 1 && draft.rtype == Rtype::CNAME
    });
    let behind = drafts.partition_point(|draft| draft.section == Section::Answer);
    let usable = |answer: &&Reply| answer.failure().is_none() && !answer.is_silent();
    if let Some(answer) = answer.filter(usable) {
        let new = answer.drafts().into_iter().filter(|draft| draft.section == Section::Answer);
        let new: Vec<Draft> = new.collect();
        drafts.splice(behind..behind, new);
        // Otherwise a partial answer would be cached as a complete one.
        reply.truncated = answer.truncated;
    }
    reply.replace_records(query, &drafts);
}

/// The new target for an alias to `target`, if the rule matches.
fn replaced(matches: &Match, to: &Replacement, target: &[u8]) -> Option<NameBuf> {
    let mut new = Buffer::new();
    let fits = text::with(target, |marked| matches.replace(unmarked(marked), to, &mut new));
    if fits { new.name() } else { None }
}
