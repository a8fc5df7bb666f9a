//! One message of a transfer: records with compressed names, up to a bound.

use std::fmt;

use wire::{Name, Rtype, rdata};

use super::names::{End, MAX_POINTER, Names, pointer};
use crate::RecordRef;
use crate::store::node::{FIXED, Set};

/// A record that no message has room for, so that its zone cannot be transferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// Its owner.
    pub owner: Name,
    /// Its type.
    pub rtype: Rtype,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} record of `{}` does not fit into a DNS message", self.rtype, self.owner)
    }
}

impl std::error::Error for TooLarge {}

/// What fits of a set or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// All of it.
    All,
    /// Not all of it: the message is full.
    Full,
}

/// A message under construction.
pub(super) struct Message {
    /// Room for the header, the question, then records: offsets are those of the message.
    bytes: Vec<u8>,
    /// Where the records begin.
    start: usize,
    count: u16,
    /// Octets of the records without compression.
    plain: usize,
    names: Names,
    /// Octets beyond which no record is added.
    full: usize,
    /// Octets that one record alone may take.
    most: usize,
    /// Where the current owner is in the message, 0 if it is not there yet.
    owner_at: usize,
}

impl Message {
    pub(super) fn new(apex: &[u8]) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            count: 0,
            plain: 0,
            names: Names::new(apex),
            full: 0,
            most: 0,
            owner_at: 0,
        }
    }

    /// Begins a message with this question section: at most `full` octets, or `most` if its only record
    /// needs them.
    pub(super) fn begin(&mut self, question: &[u8], full: usize, most: usize) {
        self.bytes.clear();
        self.bytes.reserve(full + FIXED);
        self.bytes.extend_from_slice(&[0; wire::HEADER]);
        self.bytes.extend_from_slice(question);
        self.start = self.bytes.len();
        self.names.begin(&question[..question.len().saturating_sub(4)], wire::HEADER);
        (self.full, self.most) = (full.min(most), most);
        (self.count, self.plain, self.owner_at) = (0, 0, 0);
    }

    /// The records, their number, and their length without compression.
    pub(super) fn records(&self) -> (&[u8], u16, usize) {
        (&self.bytes[self.start..], self.count, self.plain)
    }

    /// The records that follow have another owner.
    #[inline]
    pub(super) fn next_owner(&mut self) {
        self.owner_at = 0;
    }

    /// Adds records of a stored set, from the one at offset `at` on. `at` becomes the offset of the first
    /// that is left. `owner` is the name of their node.
    ///
    /// # Errors
    /// A record does not even fit an empty message.
    #[inline]
    pub(super) fn set(
        &mut self,
        owner: &[u8],
        set: Set<'_>,
        at: &mut usize,
    ) -> Result<Fit, TooLarge> {
        let has_names = rdata::layout(set.rtype).is_some_and(|layout| layout.compress);
        let enough = set.bytes.len() + owner.len() + self.names.apex().len();
        if *at == 0 && !has_names && self.bytes.len() + enough <= self.full {
            self.whole_set(owner, set);
            *at = set.bytes.len();
            return Ok(Fit::All);
        }
        while let Some((record, end)) = set.record_at(*at) {
            let (_, rest) = set.bytes[*at..].split_at(2);
            let Some((head, _)) = rest.split_first_chunk::<8>() else { break };
            if self.record(owner, self.own_end(), *head, set.rtype, record.rdata)? == Fit::Full {
                return Ok(Fit::Full);
            }
            *at = end;
        }
        Ok(Fit::All)
    }

    /// Adds a set without compressed names, for which there is room, in one piece.
    #[inline]
    fn whole_set(&mut self, owner: &[u8], set: Set<'_>) {
        let owner_len = owner.len() + self.names.apex().len();
        let count = usize::from(set.count);
        self.count += set.count;
        self.plain += set.bytes.len() + count * owner_len - 2 * count;
        self.write_owner(owner, self.own_end());
        // The first record lacks its own pointer.
        let records = self.bytes.len() - 2;
        self.bytes.extend_from_slice(&set.bytes[2..]);
        if count == 1 {
            return;
        }
        if self.owner_at == 0 {
            // The owner lies too far behind for a pointer: each record has it in full.
            self.bytes.truncate(records + 2);
            return self.spread(owner, set);
        }
        let own = pointer(self.owner_at);
        let Some((_, mut at)) = set.record_at(0) else { return };
        while let Some((record, end)) = set.record_at(at) {
            let place = records + record.start;
            self.bytes[place..place + 2].copy_from_slice(&own);
            at = end;
        }
    }

    /// The records of a set whose first owner was just written, each with an owner of its own.
    #[cold]
    fn spread(&mut self, owner: &[u8], set: Set<'_>) {
        let mut at = 0;
        while let Some((record, end)) = set.record_at(at) {
            if at > 0 {
                self.write_owner(owner, self.own_end());
            }
            self.bytes.extend_from_slice(&set.bytes[record.start + 2..end]);
            at = end;
        }
    }

    /// What follows the name of a node.
    #[inline]
    fn own_end(&self) -> End {
        if self.names.apex().len() > 1 { End::Apex } else { End::Root }
    }

    /// Adds a record that is not from the store.
    ///
    /// # Errors
    /// The record does not even fit an empty message.
    pub(super) fn plain_record(&mut self, record: RecordRef<'_>) -> Result<Fit, TooLarge> {
        self.next_owner();
        let mut head = [0; 8];
        head[..2].copy_from_slice(&record.rtype.0.to_be_bytes());
        head[2..4].copy_from_slice(&record.class.0.to_be_bytes());
        head[4..].copy_from_slice(&record.ttl.to_be_bytes());
        let (labels, end, _) = self.names.split_whole(record.owner);
        self.record(labels, end, head, record.rtype, record.rdata)
    }

    /// Adds one record: `head` is its type, class and TTL.
    fn record(
        &mut self,
        owner: &[u8],
        end: End,
        head: [u8; 8],
        rtype: Rtype,
        rdata: &[u8],
    ) -> Result<Fit, TooLarge> {
        let (before, owner_before, plain_before) = (self.bytes.len(), self.owner_at, self.plain);
        self.write_owner(owner, end);
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(&[0, 0]);
        let rdata_at = self.bytes.len();
        self.plain += owner.len() + self.end_len(end) + 10;
        self.write_rdata(rtype, rdata);
        let len = self.bytes.len() - rdata_at;
        let bound = if self.count == 0 { self.most } else { self.full };
        if let Ok(len) = u16::try_from(len)
            && self.bytes.len() <= bound
        {
            self.bytes[rdata_at - 2..rdata_at].copy_from_slice(&len.to_be_bytes());
            self.count += 1;
            return Ok(Fit::All);
        }
        self.bytes.truncate(before);
        (self.owner_at, self.plain) = (owner_before, plain_before);
        self.names.forget_apex_from(before);
        if self.count > 0 {
            return Ok(Fit::Full);
        }
        let apex = if end == End::Apex { self.names.apex() } else { &[0][..] };
        let owner = Name::from_wire(&[owner, apex].concat()).unwrap_or_else(|_| Name::root());
        Err(TooLarge { owner, rtype })
    }

    fn end_len(&self, end: End) -> usize {
        match end {
            End::Apex => self.names.apex().len(),
            End::Root => 1,
        }
    }

    /// Writes the owner, or a pointer to it.
    #[inline]
    fn write_owner(&mut self, labels: &[u8], end: End) {
        if self.owner_at > 0 {
            self.bytes.extend_from_slice(&pointer(self.owner_at));
            return;
        }
        let at = self.bytes.len();
        self.names.write(&mut self.bytes, labels, end);
        // The root, and a pointer, are as short as a pointer to them.
        if at <= MAX_POINTER && !(labels.is_empty() && end == End::Root) {
            self.owner_at = at;
        }
    }

    /// Writes RDATA, with its names compressed where that is allowed.
    fn write_rdata(&mut self, rtype: Rtype, rdata: &[u8]) {
        let mut rest = rdata;
        if let Some(layout) = rdata::layout(rtype).filter(|layout| layout.compress)
            && let Ok(first) = layout.first_name(rdata, 0, rdata.len())
        {
            let (before, names) = rdata.split_at(first);
            self.bytes.extend_from_slice(before);
            self.plain += before.len();
            rest = names;
            for _ in 0..layout.names {
                let Some((labels, end, len)) = self.names.split(rest) else { break };
                self.names.write(&mut self.bytes, labels, end);
                self.plain += labels.len() + self.end_len(end);
                rest = rest.get(len..).unwrap_or_default();
            }
        }
        self.bytes.extend_from_slice(rest);
        self.plain += rest.len();
    }
}
