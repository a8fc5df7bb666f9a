//! Decides what to change in a reply. It only reads the reply.

use exchange::Query;
use wire::{Reply, Rtype, Section};

use super::config::{Mode, Rule};
use super::hints;

/// The types that can be filtered, in the order of [`Plan`]'s rows.
pub(super) const TYPES: [Rtype; 2] = [Rtype::AAAA, Rtype::A];

/// The changes to a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Which types of records to drop.
    pub(super) records: [bool; 2],
    /// Which hints to take out of SVCB and HTTPS records.
    pub(super) hints: [bool; 2],
    /// Which types stay because they are signed.
    pub(super) signed: [bool; 2],
    /// Only if the name has addresses of this type, which is to be asked.
    pub(super) only_with: Option<Rtype>,
    /// The answer is none any more: say so with a SOA record.
    pub(super) no_data: bool,
}

impl Plan {
    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.records == [false; 2] && self.hints == [false; 2]
    }

    /// Whether it can only be done after further questions.
    pub(super) fn waits(&self) -> bool {
        self.no_data
    }

    /// Whether records of this type are removed. A signature counts as the type in its `rdata`.
    pub(super) fn drops(&self, rtype: Rtype, rdata: &[u8]) -> bool {
        let rtype = if rtype == Rtype::RRSIG { covered(rdata) } else { rtype };
        TYPES.iter().zip(self.records).any(|(&known, drop)| drop && known == rtype)
    }
}

/// Counts of the records in a reply; pairs are A and AAAA.
#[derive(Default)]
struct Counts {
    answers: [u16; 2],
    extras: [u16; 2],
    /// Records of the answer that are neither, signatures of these aside.
    others: u16,
    signed: [bool; 2],
    services: bool,
    signed_services: bool,
}

impl Counts {
    fn of(reply: &Reply) -> Self {
        let mut seen = Self::default();
        for record in reply.records().map_while(Result::ok) {
            let is_signature = record.rtype == Rtype::RRSIG;
            let rtype = if is_signature { covered(record.rdata()) } else { record.rtype };
            let address = TYPES.iter().position(|&known| known == rtype);
            let is_answer = record.section == Section::Answer;
            match (address, is_signature) {
                (Some(which), true) => seen.signed[which] = true,
                (Some(which), false) if is_answer => seen.answers[which] += 1,
                (Some(which), false) => seen.extras[which] += 1,
                (None, _) => {
                    let is_service = is_service(rtype);
                    seen.services |= is_service && !is_signature;
                    seen.signed_services |= is_service && is_signature;
                    seen.others += u16::from(is_answer);
                }
            }
        }
        seen
    }
}

/// The changes that `rule` makes to a reply without errors.
pub(super) fn plan(rule: &Rule, query: &Query, reply: &Reply) -> Plan {
    let mut plan = Plan::default();
    let qtype = query.qtype();
    let is_filtered = rule.mode(qtype).is_some();
    // A referral or a denial: addresses beside it are for resolvers, which need them.
    let is_answer = reply.count(Section::Answer) > 0;
    let worth_a_look = is_filtered
        || qtype == Rtype::ANY
        || is_service(qtype)
        || reply.count(Section::Additional) > 0;
    if !is_answer || !worth_a_look {
        return plan;
    }
    let seen = Counts::of(reply);
    let may_break = rule.break_dnssec || !query.wants_dnssec();
    for (which, rtype) in TYPES.into_iter().enumerate() {
        let Some(mode) = rule.mode(rtype) else { continue };
        // An answer to ANY may contain the other family.
        let known = mode == Mode::Always || seen.answers[1 - which] > 0 || qtype != Rtype::ANY;
        if known && seen.answers[which] + seen.extras[which] > 0 {
            let stays = seen.signed[which] && !may_break;
            plan.signed[which] = stays;
            plan.records[which] = !stays;
        }
        if seen.services && (may_break || !seen.signed_services) {
            plan.hints[which] = has_hints(reply, rtype, mode);
        } else {
            plan.signed[which] |= seen.services && has_hints(reply, rtype, mode);
        }
        if plan.records[which] && qtype == rtype && seen.answers[which] > 0 {
            plan.no_data = true;
            plan.only_with = (mode == Mode::OnlyWithOther).then_some(TYPES[1 - which]);
        }
    }
    let left = (0..2).filter(|&which| !plan.records[which]).map(|which| seen.answers[which]);
    plan.no_data |= !plan.is_empty() && left.sum::<u16>() + seen.others == 0;
    plan
}

/// Whether a record describes a service endpoint and may have address hints.
pub(super) fn is_service(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::SVCB | Rtype::HTTPS)
}

/// Whether hints with addresses of this type are to be taken out of this RDATA.
pub(super) fn is_hint_to_go(rdata: &[u8], rtype: Rtype, mode: Mode) -> bool {
    let other = if rtype == Rtype::A { Rtype::AAAA } else { Rtype::A };
    hints::has(rdata, rtype) && (mode == Mode::Always || hints::has(rdata, other))
}

/// RFC 9460 section 2.2: the target name is not compressed, so the RDATA is read in place.
fn has_hints(reply: &Reply, rtype: Rtype, mode: Mode) -> bool {
    reply
        .records()
        .map_while(Result::ok)
        .any(|record| is_service(record.rtype) && is_hint_to_go(record.rdata(), rtype, mode))
}

/// The type that a signature is for (RFC 4034 section 3.1.1).
fn covered(rdata: &[u8]) -> Rtype {
    rdata.first_chunk::<2>().map_or(Rtype(0), |bytes| Rtype(u16::from_be_bytes(*bytes)))
}
