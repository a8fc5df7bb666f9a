//! What a reply answers: an answer, a denial, a referral, a failure; and how long that holds.
//!
//! One look at all records of a reply. Time is an argument, and what becomes of the reply is its
//! user's business.

use crate::record::{Message, Record, Section};
use crate::{Class, Malformed, NameBuf, Rcode, Reply, Request, Rtype, name};

/// What a look at all records of a reply tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it is.
    pub kind: AnswerKind,
    /// The shortest TTL of its records; none: there are none.
    pub min_ttl: Option<u32>,
    /// The smallest MINIMUM of the SOA records among the authorities.
    pub minimum: Option<u32>,
    /// There are records in the answer section.
    pub answers: bool,
    /// The record asked for is there, at the end of any aliases.
    pub answering: bool,
    /// Seconds until the first signature expires; negative: one has, or is not valid yet. Only
    /// looked at for clients that ask for DNSSEC records.
    pub signatures: Option<i64>,
    /// The name asked for is written out at an answer, maybe in another's case.
    pub uncompressed: bool,
}

/// Kinds of replies as CoreDNS tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// Records, or nothing at all without a word about why.
    Answer,
    /// A referral.
    Delegation,
    /// The name exists, the type does not (RFC 2308 section 2.2).
    NoData,
    /// The name does not exist (RFC 2308 section 2.1).
    NameError,
    /// SERVFAIL or NOTIMP.
    Failure,
    /// Anything else: never kept.
    Other,
}

/// Aliases followed before the answer counts as none; each step looks at all records.
const MAX_ALIASES: usize = 16;

impl Answer {
    /// What `reply` is to `query`; `unix` is the time for signatures.
    ///
    /// # Errors
    /// The records do not hold what they promise.
    pub fn of(
        query: &Request,
        reply: &Reply,
        unix: impl FnOnce() -> u64,
    ) -> Result<Self, Malformed> {
        let mut sums = Sums::default();
        let mut clock = Some(unix);
        let mut now = 0;
        let mut owner = NameBuf::new();
        for record in reply.records() {
            let record = record?;
            if record.rtype == Rtype::OPT {
                continue;
            }
            sums.min_ttl = least(sums.min_ttl, record.ttl);
            match (record.section, record.rtype) {
                (Section::Answer, rtype) => {
                    sums.answers = true;
                    sums.aliases |= rtype == Rtype::CNAME;
                    if !sums.uncompressed
                        && query.labels() > 0
                        && reply.bytes()[record.start] & 0xC0 != 0xC0
                    {
                        record.owner(&mut owner)?;
                        sums.uncompressed = name::eq(owner.as_wire(), query.name());
                    }
                }
                (Section::Authority, Rtype::SOA) => {
                    sums.soa = true;
                    // Names in what came from elsewhere may be compressed; the numbers are last.
                    if let Some(bytes) = record.rdata().last_chunk::<4>() {
                        sums.minimum = least(sums.minimum, u32::from_be_bytes(*bytes));
                    }
                }
                (Section::Authority, Rtype::NS) => sums.referral = true,
                _ => {}
            }
            if record.rtype == Rtype::RRSIG && query.wants_dnssec() {
                if let Some(clock) = clock.take() {
                    now = clock();
                }
                sums.signatures = least(sums.signatures, signature_left(&record, now)?);
            }
        }
        let answering =
            sums.answers && reply.rcode() == Rcode::NOERROR && answers(query, reply, sums.aliases)?;
        Ok(Self {
            kind: sums.kind(reply.rcode(), answering),
            min_ttl: sums.min_ttl,
            minimum: sums.minimum,
            answers: sums.answers,
            answering,
            signatures: sums.signatures,
            uncompressed: sums.uncompressed,
        })
    }

    /// Whether it may be given again to who asks the same.
    #[inline]
    pub fn is_lasting(&self) -> bool {
        match self.kind {
            AnswerKind::Other => false,
            // "Negative responses without SOA records SHOULD NOT be cached" (RFC 2308 section 5).
            AnswerKind::NameError => self.minimum.is_some(),
            AnswerKind::Answer => !self.answers || self.answering,
            AnswerKind::NoData | AnswerKind::Delegation | AnswerKind::Failure => true,
        }
    }

    /// `ttl`, or less: no longer than the signatures are valid (RFC 4035 section 5.3.3).
    #[inline]
    pub fn signed_for(&self, ttl: u32) -> u32 {
        match self.signatures {
            Some(left) if left > 0 => ttl.min(u32::try_from(left).unwrap_or(u32::MAX)),
            _ => ttl,
        }
    }
}

fn least<T: Ord>(known: Option<T>, other: T) -> Option<T> {
    Some(match known {
        Some(known) => known.min(other),
        None => other,
    })
}

/// What is found on the way through the records.
#[derive(Default)]
struct Sums {
    min_ttl: Option<u32>,
    minimum: Option<u32>,
    answers: bool,
    aliases: bool,
    soa: bool,
    referral: bool,
    uncompressed: bool,
    signatures: Option<i64>,
}

impl Sums {
    fn kind(&self, rcode: Rcode, answering: bool) -> AnswerKind {
        if self.signatures.is_some_and(|left| left <= 0) {
            return AnswerKind::Other;
        }
        match rcode {
            Rcode::NOERROR if self.answers && !answering && self.soa => AnswerKind::NoData,
            Rcode::NOERROR if self.answers => AnswerKind::Answer,
            Rcode::NOERROR if self.soa => AnswerKind::NoData,
            Rcode::NOERROR if self.referral => AnswerKind::Delegation,
            Rcode::NOERROR => AnswerKind::Answer,
            // With aliases the denial is of their target (RFC 2308 section 2.1), and holds for
            // this question all the same.
            Rcode::NXDOMAIN if !self.answers || self.aliases => AnswerKind::NameError,
            Rcode::SERVFAIL | Rcode::NOTIMP if !self.answers => AnswerKind::Failure,
            _ => AnswerKind::Other,
        }
    }
}

/// Seconds until an RRSIG expires; zero or less if it is not valid now. Times of signatures wrap
/// (RFC 4034 section 3.1.5).
fn signature_left(record: &Record<'_>, unix: u64) -> Result<i64, Malformed> {
    let rdata = record.rdata();
    let word = |at: usize| {
        let bytes = rdata.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>());
        bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Malformed)
    };
    let now = unix as u32;
    let left = word(8)?.wrapping_sub(now) as i32;
    let begun = now.wrapping_sub(word(12)?) as i32;
    Ok(if begun < 0 { -1 } else { i64::from(left) })
}

/// Whether the answer section has the type asked for at the name asked for, or at the end of the
/// one chain of aliases that starts there (RFC 1034 section 3.6.2). A loop or a name with two
/// targets has no end.
fn answers(query: &Request, reply: &Reply, aliases: bool) -> Result<bool, Malformed> {
    let follow = aliases && !matches!(query.qtype(), Rtype::CNAME | Rtype::ANY);
    if !follow && query.qtype() != Rtype::CNAME && says_at_once(query, reply) {
        return Ok(true);
    }
    let mut at = NameBuf::new();
    at.set_folded(query.name());
    let mut next = NameBuf::new();
    if follow {
        let mut steps = 0;
        loop {
            match target(query, reply, &at, &mut next)? {
                Targets::None => break,
                Targets::One if steps < MAX_ALIASES => std::mem::swap(&mut at, &mut next),
                Targets::One | Targets::Several => return Ok(false),
            }
            steps += 1;
        }
    }
    if query.qtype() == Rtype::CNAME {
        return Ok(target(query, reply, &at, &mut next)? == Targets::One);
    }
    let mut owner = NameBuf::new();
    for record in answer_records(query, reply) {
        let record = record?;
        if query.qtype() == Rtype::ANY || record.rtype == query.qtype() {
            record.owner(&mut owner)?;
            if name::eq(owner.as_wire(), at.as_wire()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether a record asked for points to the question as its owner: then no name need be read.
fn says_at_once(query: &Request, reply: &Reply) -> bool {
    let asked = reply.question().split_last_chunk::<4>();
    asked.is_some_and(|(asked, _)| name::eq(asked, query.name()))
        && answer_records(query, reply).filter_map(Result::ok).any(|record| {
            record.is_of_question()
                && (query.qtype() == Rtype::ANY || record.rtype == query.qtype())
        })
}

/// How many different targets a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Targets {
    None,
    One,
    Several,
}

/// Where the CNAME of `of` points, into `to`.
fn target(
    query: &Request,
    reply: &Reply,
    of: &NameBuf,
    to: &mut NameBuf,
) -> Result<Targets, Malformed> {
    let mut found = Targets::None;
    let (mut owner, mut other) = (NameBuf::new(), NameBuf::new());
    for record in answer_records(query, reply) {
        let record = record?;
        if record.rtype != Rtype::CNAME {
            continue;
        }
        record.owner(&mut owner)?;
        if !name::eq(owner.as_wire(), of.as_wire()) {
            continue;
        }
        name::read(reply.bytes(), record.rdata_at, &mut other)?;
        if found == Targets::One && !name::eq(to.as_wire(), other.as_wire()) {
            return Ok(Targets::Several);
        }
        std::mem::swap(to, &mut other);
        found = Targets::One;
    }
    Ok(found)
}

/// The records of the answer section whose class is the one asked for.
fn answer_records<'a>(
    query: &'a Request,
    reply: &'a Reply,
) -> impl Iterator<Item = Result<Record<'a>, Malformed>> {
    let class = query.qclass();
    reply
        .records()
        .take_while(|record| record.as_ref().is_ok_and(|record| record.section == Section::Answer))
        .filter(move |record| {
            record.as_ref().is_ok_and(|record| class == Class::ANY || record.class == class)
        })
}

/// The least TTL of a message's records; without answers also the MINIMUM of its SOA record. `None`: it has no
/// record, or is malformed.
///
/// "... the response freshness lifetime MUST NOT be greater than that indicated by the MINIMUM field in the SOA" (RFC
/// 8484 section 5.1)
pub fn least_ttl(message: &[u8]) -> Option<u32> {
    let (mut least, mut answers) = (None, false);
    let keep = |least: Option<u32>, ttl: u32| Some(least.map_or(ttl, |known| known.min(ttl)));
    for record in Message::new(message).ok()?.records() {
        let record = record.ok()?;
        if record.rtype == Rtype::OPT || record.rtype == Rtype::TSIG {
            continue;
        }
        answers |= record.section == Section::Answer;
        least = keep(least, record.ttl);
        if !answers
            && record.section == Section::Authority
            && record.rtype == Rtype::SOA
            && let Some(minimum) = record.rdata().last_chunk::<4>()
        {
            least = keep(least, u32::from_be_bytes(*minimum));
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with these answers' TTLs, and a SOA record with its TTL and MINIMUM.
    fn message(ttls: &[u32], soa: Option<(u32, u32)>) -> Vec<u8> {
        let counts = [0, ttls.len() as u8, 0, u8::from(soa.is_some()), 0, 1];
        let mut bytes = [&[0, 7, 0x80, 0, 0, 0][..], &counts].concat();
        for ttl in ttls {
            bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
            bytes.extend_from_slice(&ttl.to_be_bytes());
            bytes.extend_from_slice(&[0, 4, 192, 0, 2, 1]);
        }
        if let Some((ttl, minimum)) = soa {
            bytes.extend_from_slice(&[0, 0, 6, 0, 1]);
            bytes.extend_from_slice(&ttl.to_be_bytes());
            bytes.extend_from_slice(&[0, 22, 0, 0]);
            bytes.extend([1, 2, 3, 4, minimum].map(u32::to_be_bytes).concat());
        }
        // An OPT record, whose TTL is none.
        bytes.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn the_least_ttl_counts() {
        assert_eq!(least_ttl(&message(&[300, 20, 60], None)), Some(20));
        assert_eq!(least_ttl(&message(&[300], Some((30, 5)))), Some(30));
        assert_eq!(least_ttl(&message(&[], Some((30, 5)))), Some(5));
        assert_eq!(least_ttl(&message(&[], Some((3, 5)))), Some(3));
        assert_eq!(least_ttl(&message(&[], None)), None);
        let whole = message(&[300, 20], None);
        assert_eq!(least_ttl(&whole[..whole.len() - 20]), None);
        assert_eq!(least_ttl(&[]), None);
    }
}
