//! Where the aliases of an answer lead, and an answer that ends with one of them.

use super::Reply;
use super::belongs::leads_to;
use crate::name::{self, NameBuf};
use crate::record::{Record, Section};
use crate::{HEADER, Rtype};

/// Aliases that are followed.
const MOST: usize = 32;

/// The names of an answer from the question's on.
pub struct AliasChain {
    /// The question's name, and those that aliases lead to from there.
    names: Vec<NameBuf>,
    /// Owners of the DNAME records that led to one of them.
    rewritten: Vec<NameBuf>,
    /// The name that the last alias leads to.
    target: NameBuf,
}

impl AliasChain {
    /// The name that the last alias leads to.
    pub fn target(&self) -> &[u8] {
        self.target.as_wire()
    }

    /// Whether a record of this owner and type is one of the aliases, or their signature.
    fn has(&self, owner: &[u8], rtype: Rtype) -> bool {
        let among = |names: &[NameBuf]| names.iter().any(|one| name::eq(one.as_wire(), owner));
        match rtype {
            Rtype::CNAME => among(&self.names),
            Rtype::DNAME => among(&self.rewritten),
            Rtype::RRSIG => among(&self.names) || among(&self.rewritten),
            _ => false,
        }
    }
}

impl Reply {
    /// Follows the aliases of the answer, in whatever order they are, to the first that leads to a name
    /// that `ends` says yes to; nothing if none does.
    pub fn alias_to(&self, ends: impl Fn(&[u8]) -> bool) -> Option<AliasChain> {
        let answers = || {
            let records = self.records().map_while(Result::ok);
            records.take_while(|record| record.section == Section::Answer)
        };
        let is_alias = |record: &Record<'_>| matches!(record.rtype, Rtype::CNAME | Rtype::DNAME);
        if !answers().any(|record| is_alias(&record)) {
            return None;
        }
        let mut asked = NameBuf::new();
        asked.set_folded(&self.buf[HEADER..self.question_end - 4]);
        let mut names = vec![asked];
        let mut rewritten = Vec::new();
        let mut owner = NameBuf::new();
        while names.len() <= MOST {
            let from = names.last()?;
            let mut next = None;
            for record in answers().filter(is_alias) {
                if record.owner(&mut owner).is_ok()
                    && let Some(target) = leads_to(from, &owner, &record)
                {
                    if record.rtype == Rtype::DNAME {
                        rewritten.push(owner.clone());
                    }
                    next = Some(target);
                }
            }
            let target = next?;
            if ends(target.as_wire()) {
                return Some(AliasChain { names, rewritten, target });
            }
            if names.iter().any(|known| name::eq(known.as_wire(), target.as_wire())) {
                return None;
            }
            names.push(target);
        }
        None
    }

    /// Leaves the aliases of `chain`, and their signatures; all else goes.
    pub fn cut_behind(&mut self, chain: &AliasChain) {
        let mut owner = NameBuf::new();
        self.rearrange(|message, items| {
            items.retain(|item| {
                item.section == Section::Answer
                    && name::read(message, item.start, &mut owner).is_ok()
                    && chain.has(owner.as_wire(), item.rtype)
            });
        });
    }

    /// Drops the records of the authority and additional sections whose owner `is_foreign` says yes to.
    pub fn drop_beside(&mut self, is_foreign: impl Fn(&[u8]) -> bool) {
        let mut owner = NameBuf::new();
        let mut is_meant = |message: &[u8], section: Section, start: usize| {
            section != Section::Answer
                && name::read(message, start, &mut owner).is_ok()
                && is_foreign(owner.as_wire())
        };
        let mut records = self.records().map_while(Result::ok);
        if records.any(|record| is_meant(record.message, record.section, record.start)) {
            self.rearrange(|message, items| {
                items.retain(|item| !is_meant(message, item.section, item.start));
            });
        }
    }
}
