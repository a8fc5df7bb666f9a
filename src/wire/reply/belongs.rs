//! What of a reply from elsewhere belongs to its question.
//!
//! A server that was asked for one name may say something of others, by mistake or to have it
//! believed. Such records go, whatever they say; the others stay as they are and where they are.
//! One question has one answer here, so nothing is taken over into other answers anyway: this is for
//! those who look at the whole reply, a client's cache among them.
//!
//! - Any section: records of the class asked for (every class if that is ANY). A TTL with the highest
//!   bit set is zero (RFC 2181 section 8).
//! - Answer: records of the name asked for, and of the names that aliases lead to from there.
//! - Authority: records at or above such a name, and proofs of the zones that these, or signatures,
//!   speak of.
//! - Additional: records of the names that other records point to (RFC 2181 section 5.4.1 trusts
//!   them least of all).

use super::Reply;
use crate::name::{self, MAX_NAME, NameBuf};
use crate::record::{Record, Section};
use crate::{Class, HEADER, Rtype, hash, rdata};

/// Aliases that are looked at; an answer with more is cut.
const ALIASES: usize = 64;
/// Names that they lead to.
const NAMES: usize = 32;
/// Zones whose proofs are kept.
const ZONES: usize = 8;
/// How far additional records are followed: from a PTR to a SRV record and its addresses.
const STEPS: usize = 3;

impl Reply {
    /// Drops the records that do not belong to the question, and says how many those were. What is
    /// left is written anew only if there were any. Not for transfers, nor for other opcodes than
    /// QUERY: their sections mean something else.
    pub fn keep_what_belongs(&mut self) -> usize {
        if self.is_plain() {
            return 0;
        }
        // RFC 2181 section 8: "Implementations should treat TTL values received with the most
        // significant bit set as if the entire value received was zero."
        if self.records().any(|record| record.is_ok_and(|one| is_negative(one.ttl))) {
            self.edit_ttls(|_, ttl| if is_negative(ttl) { 0 } else { ttl });
        }
        let mut look = Look::new(self);
        look.answers();
        look.authorities();
        look.additionals();
        let kept = look.kept;
        let dropped = self.total() - kept.count();
        if dropped > 0 {
            let mut index = 0;
            self.rearrange(|_, items| {
                items.retain(|_| {
                    index += 1;
                    kept.has(index - 1)
                });
            });
        }
        dropped
    }

    /// How many records there are.
    fn total(&self) -> usize {
        self.counts.iter().map(|&count| usize::from(count)).sum()
    }

    /// Whether there is nothing but answers whose owner points to the question, and authorities
    /// whose owner points to it or to an end of it, all of the class asked for and with a sound TTL.
    #[inline]
    fn is_plain(&self) -> bool {
        let class = self.class();
        self.counts[2] == 0
            && self.records().all(|record| {
                record.is_ok_and(|one| {
                    one.class == class
                        && !is_negative(one.ttl)
                        && match one.section {
                            Section::Answer => one.is_of_question(),
                            _ => one.owner_pointer().is_some_and(|at| self.is_end_of_question(at)),
                        }
                })
            })
    }

    /// The class asked for.
    #[inline]
    fn class(&self) -> Class {
        let question = self.buf[..self.question_end].last_chunk();
        Class(question.map_or(0, |&class| u16::from_be_bytes(class)))
    }

    /// Whether a label of the question's name begins there, or its root.
    fn is_end_of_question(&self, at: usize) -> bool {
        let mut here = HEADER;
        while here < at.min(self.question_end - 4) {
            here += 1 + usize::from(self.buf[here]);
        }
        here == at && at < self.question_end - 4
    }
}

/// Whether its highest bit is set: a number of seconds has 31 bits.
const fn is_negative(ttl: u32) -> bool {
    ttl >> 31 == 1
}

/// One bit for each record.
struct Marks(Vec<u64>);

impl Marks {
    fn of(records: usize) -> Self {
        Self(vec![0; records.div_ceil(64)])
    }

    fn set(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// One look at all records.
struct Look<'a> {
    reply: &'a Reply,
    kept: Marks,
    /// The name asked for, and those that aliases lead to.
    names: Vec<NameBuf>,
    /// Owners of DNAME records that led to one of them.
    rewritten: Vec<NameBuf>,
    /// Hashes of the names that records point to.
    pointed: Vec<u64>,
    owner: NameBuf,
    target: NameBuf,
}

impl<'a> Look<'a> {
    fn new(reply: &'a Reply) -> Self {
        let mut asked = NameBuf::new();
        asked.set_folded(&reply.buf[HEADER..reply.question_end - 4]);
        Self {
            reply,
            kept: Marks::of(reply.total()),
            names: vec![asked],
            rewritten: Vec::new(),
            pointed: Vec::new(),
            owner: NameBuf::new(),
            target: NameBuf::new(),
        }
    }

    /// The records of a section that are of the class asked for, numbered over all sections.
    fn records(&self, section: Section) -> impl Iterator<Item = (usize, Record<'a>)> + use<'a> {
        let all = self.reply.records().map_while(Result::ok).enumerate();
        let class = self.reply.class();
        all.filter(move |(_, record)| {
            record.section == section && (record.class == class || class == Class::ANY)
        })
    }

    fn answers(&mut self) {
        self.follow_aliases();
        for (index, record) in self.records(Section::Answer) {
            if record.owner(&mut self.owner).is_err() {
                continue;
            }
            let owner = self.owner.as_wire();
            let signs_rewrite = matches!(record.rtype, Rtype::DNAME | Rtype::RRSIG)
                && self.rewritten.iter().any(|known| name::eq(known.as_wire(), owner));
            if signs_rewrite || self.is_reached(owner) {
                self.keep(index, &record);
            }
        }
    }

    /// Finds the names that aliases lead to, in whatever order the records are.
    fn follow_aliases(&mut self) {
        let mut aliases: Vec<(NameBuf, Record<'_>)> = Vec::new();
        for (_, record) in self.records(Section::Answer) {
            if matches!(record.rtype, Rtype::CNAME | Rtype::DNAME) && aliases.len() < ALIASES {
                let mut owner = NameBuf::new();
                if record.owner(&mut owner).is_ok() {
                    aliases.push((owner, record));
                }
            }
        }
        let mut at = 0;
        while at < self.names.len() {
            for (owner, record) in &aliases {
                let Some(next) = leads_to(&self.names[at], owner, record) else { continue };
                if record.rtype == Rtype::DNAME {
                    self.rewritten.push(owner.clone());
                }
                if self.names.len() < NAMES && !self.is_reached(next.as_wire()) {
                    self.names.push(next);
                }
            }
            at += 1;
        }
    }

    fn authorities(&mut self) {
        if self.reply.count(Section::Authority) == 0 {
            return;
        }
        let mut zones: Vec<NameBuf> = Vec::new();
        let mut proofs = false;
        for (index, record) in self.records(Section::Authority) {
            if record.owner(&mut self.owner).is_err() {
                continue;
            }
            let above = self.is_above(self.owner.as_wire());
            if above {
                self.keep(index, &record);
            }
            proofs |= !above && is_proof(&record);
            if above && matches!(record.rtype, Rtype::SOA | Rtype::NS) {
                note(&mut zones, &self.owner);
            }
        }
        if !proofs {
            return;
        }
        // A proof lies beside the name and not above it. The zone is told by who signed.
        for section in [Section::Answer, Section::Authority] {
            for (index, record) in self.records(section) {
                // RFC 4034 section 3.1.7: the signer's name is that of the zone.
                if record.rtype == Rtype::RRSIG
                    && (self.kept.has(index) || section == Section::Authority && is_proof(&record))
                    && record.owner(&mut self.owner).is_ok()
                    && name::read(record.message, record.rdata_at + 18, &mut self.target).is_ok()
                    && name::is_under(self.owner.as_wire(), self.target.as_wire())
                    && self.is_above(self.target.as_wire())
                {
                    note(&mut zones, &self.target);
                }
            }
        }
        for (index, record) in self.records(Section::Authority) {
            let inside = |owner: &NameBuf| {
                zones.iter().any(|zone| name::is_under(owner.as_wire(), zone.as_wire()))
            };
            if is_proof(&record) && record.owner(&mut self.owner).is_ok() && inside(&self.owner) {
                self.kept.set(index);
            }
        }
    }

    fn additionals(&mut self) {
        if self.reply.count(Section::Additional) == 0 {
            return;
        }
        for _ in 0..STEPS {
            self.pointed.sort_unstable();
            let before = self.pointed.len();
            for (index, record) in self.records(Section::Additional) {
                if self.kept.has(index) || record.owner(&mut self.owner).is_err() {
                    continue;
                }
                let owner = self.owner.as_wire();
                // Those that come to it in this round lie behind the sorted ones.
                let sorted = &self.pointed[..before];
                if sorted.binary_search(&hash::name(owner)).is_ok() || self.is_reached(owner) {
                    self.keep(index, &record);
                }
            }
            if self.pointed.len() == before {
                return;
            }
        }
    }

    /// The record stays, and those that it points to may.
    fn keep(&mut self, index: usize, record: &Record<'_>) {
        self.kept.set(index);
        if self.reply.count(Section::Additional) == 0 {
            return;
        }
        let Some(layout) = rdata::layout(record.rtype).filter(|_| points(record.rtype)) else {
            return;
        };
        let Ok(mut at) = layout.first_name(record.message, record.rdata_at, record.end) else {
            return;
        };
        for _ in 0..layout.names {
            let Ok(next) = name::read(record.message, at, &mut self.target) else { return };
            at = next;
            self.pointed.push(hash::name(self.target.as_wire()));
        }
    }

    /// Whether it is the name asked for, or one that aliases lead to.
    fn is_reached(&self, name: &[u8]) -> bool {
        self.names.iter().any(|known| name::eq(known.as_wire(), name))
    }

    /// Whether it is such a name, or one above.
    fn is_above(&self, name: &[u8]) -> bool {
        self.names.iter().any(|known| name::is_under(known.as_wire(), name))
    }
}

/// Where the alias `record` of `owner` leads from `name`.
pub(super) fn leads_to(name: &NameBuf, owner: &NameBuf, record: &Record<'_>) -> Option<NameBuf> {
    let (name, owner) = (name.as_wire(), owner.as_wire());
    let mut target = NameBuf::new();
    let front = match record.rtype {
        Rtype::CNAME => name::eq(name, owner).then_some(0)?,
        // RFC 6672 section 2.2: the owner itself is not rewritten.
        _ => name.len().checked_sub(owner.len()).filter(|&front| front > 0)?,
    };
    if front > 0 && !name::is_under(name, owner) {
        return None;
    }
    name::read(record.message, record.rdata_at, &mut target).ok()?;
    if front + target.as_wire().len() > MAX_NAME {
        return None;
    }
    let mut next = NameBuf::new();
    next.push_name(&name[..front]).ok()?;
    next.push_name(target.as_wire()).ok()?;
    Some(next)
}

fn note(zones: &mut Vec<NameBuf>, zone: &NameBuf) {
    let known = zones.iter().any(|known| name::eq(known.as_wire(), zone.as_wire()));
    if !known && zones.len() < ZONES {
        zones.push(zone.clone());
    }
}

/// A record that proves what does not exist, or its signature.
fn is_proof(record: &Record<'_>) -> bool {
    let proves = |rtype| matches!(rtype, Rtype::NSEC | Rtype::NSEC3);
    let covered = || record.rdata().first_chunk::<2>().map(|&two| Rtype(u16::from_be_bytes(two)));
    proves(record.rtype) || record.rtype == Rtype::RRSIG && covered().is_some_and(proves)
}

/// Whether the names in its RDATA are those of hosts and the like, whose records may come along.
const fn points(rtype: Rtype) -> bool {
    !matches!(
        rtype,
        Rtype::SOA
            | Rtype::MINFO
            | Rtype::RP
            | Rtype::SIG
            | Rtype::RRSIG
            | Rtype::NSEC
            | Rtype::NXT
            | Rtype::TALINK
    )
}

#[cfg(test)]
mod tests;
