//! The parts of an UPDATE message.

use wire::{Class, Message, Rcode, Request, Rtype, Section};
use zone::{Changes, Zone};

use crate::draft::Draft;
use crate::entry::Entry;
use crate::prerequisites;
use crate::refusal::Refusal;
use crate::scan;

/// An UPDATE message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    prerequisites: Vec<Entry>,
    updates: Vec<Entry>,
}

impl Update {
    /// Reads a message that [`Request::parse_update`] has accepted.
    ///
    /// # Errors
    /// The zone section names no zone of class IN, or a record is malformed.
    pub fn parse(message: &Request) -> Result<Self, Refusal> {
        // RFC 2136 section 3.1.1: a zone section of another type than SOA is FORMERR.
        if message.qtype() != Rtype::SOA {
            let why = format!("the type in the zone section is {}, not SOA", message.qtype());
            return Err(Refusal::formerr(why));
        }
        if message.qclass() != Class::IN {
            let why = format!("the zone is of class {}, not IN", message.qclass());
            return Err(Refusal::new(Rcode::NOTAUTH, why));
        }
        let malformed = |_| Refusal::formerr("a record is malformed");
        let mut update = Self { prerequisites: Vec::new(), updates: Vec::new() };
        let records = Message::new(message.bytes()).map_err(malformed)?.records();
        for record in records {
            let record = record.map_err(malformed)?;
            match record.section {
                Section::Answer => {
                    update.prerequisites.push(Entry::read(&record).map_err(malformed)?);
                }
                Section::Authority => {
                    update.updates.push(Entry::read(&record).map_err(malformed)?);
                }
                Section::Additional => break,
            }
        }
        Ok(update)
    }

    /// Number of records in the prerequisite section and the update section.
    pub fn records(&self) -> usize {
        self.prerequisites.len() + self.updates.len()
    }

    /// The changes that this update makes to a version of the zone; none if everything is already as it
    /// should be. `allows` says whether a record of the update section is permitted.
    ///
    /// # Errors
    /// The rcode is the one of RFC 2136 sections 3.2 to 3.4.1.
    pub fn decide(&self, zone: &Zone, allows: impl Fn(&Entry) -> bool) -> Result<Changes, Refusal> {
        prerequisites::check(&self.prerequisites, zone)?;
        if let Some(entry) = self.updates.iter().find(|entry| !allows(entry)) {
            let why =
                format!("no permission to change {} records of `{}`", entry.rtype, entry.owner);
            return Err(Refusal::new(Rcode::REFUSED, why));
        }
        scan::check(&self.updates, zone.apex())?;
        let mut draft = Draft::new(zone);
        for entry in &self.updates {
            draft.make(entry);
        }
        Ok(draft.finish())
    }
}
