//! A transfer on its way out.

use std::sync::Arc;

use wire::{Reply, Rtype};

use super::increments::Increments;
use super::message::{Fit, Message, TooLarge};
use crate::store::Zone;
use crate::walk::Walk;
use crate::{Changes, Live, is_newer};

/// Octets of a message beyond which no record is added. Within them every name can be pointed to, so
/// longer messages compress worse, and a message costs little.
const FULL: usize = 16 << 10;

/// Room in the messages of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Octets that the transport takes.
    pub message: usize,
    /// Octets that are left free, for an OPT record and a signature.
    pub reserved: usize,
}

/// Whether a transfer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Another message follows.
    More,
    /// This message is the last.
    Done,
}

/// A transfer on its way out: a version of a zone, and a place in it.
///
/// It takes about 20 KB, the version aside, whatever the size of the zone.
pub struct Outgoing {
    zone: Arc<Zone>,
    message: Message,
    part: Part,
    records: u64,
    incremental: bool,
}

/// What comes next.
enum Part {
    /// The SOA record that begins each transfer; what comes after it.
    Begin(Rest),
    /// Records between the SOA records.
    Rest(Rest),
    /// The SOA record that ends it.
    End,
    /// Nothing.
    Done,
}

/// The records between the first SOA record and the last.
enum Rest {
    /// All records of the zone: the node, the index of the set, and the offset of the record.
    Whole(Walk, usize, usize),
    /// The changes.
    Changes(Increments),
    /// None, and no second SOA record either.
    Nothing,
}

impl Outgoing {
    /// The whole zone.
    pub fn whole(zone: Arc<Zone>) -> Self {
        let walk = Walk::new(&zone);
        Self::new(zone, Rest::Whole(walk, 0, 0))
    }

    /// The changes that lead to this version.
    pub fn changes(zone: Arc<Zone>, changes: Vec<Arc<Changes>>) -> Self {
        let mut it = Self::new(zone, Rest::Changes(Increments::new(changes)));
        it.incremental = true;
        it
    }

    /// The SOA record alone: the client has this version or a newer one, or has to ask again over TCP.
    pub fn soa(zone: Arc<Zone>) -> Self {
        let mut it = Self::new(zone, Rest::Nothing);
        it.incremental = true;
        it
    }

    /// What a client with version `serial` gets (RFC 1995 section 2): the changes since then, the whole
    /// zone if they are not known or not smaller, or the SOA record if there are none. `None` if the zone
    /// has no version.
    pub fn since(live: &Live, serial: u32) -> Option<Self> {
        if let Some((changes, zone)) = live.since(serial)
            && !is_newer_or_same(serial, zone.serial())
        {
            let smaller = is_smaller(&zone, Increments::size(&changes));
            return Some(if smaller { Self::changes(zone, changes) } else { Self::whole(zone) });
        }
        Self::without_changes(live, serial)
    }

    /// The same for a client that is not to get changes.
    pub fn without_changes(live: &Live, serial: u32) -> Option<Self> {
        let zone = live.zone_to_keep()?;
        let current = is_newer_or_same(serial, zone.serial());
        Some(if current { Self::soa(zone) } else { Self::whole(zone) })
    }

    fn new(zone: Arc<Zone>, rest: Rest) -> Self {
        let message = Message::new(zone.apex().as_wire());
        Self { zone, message, part: Part::Begin(rest), records: 0, incremental: false }
    }

    /// The version that is sent.
    pub fn zone(&self) -> &Arc<Zone> {
        &self.zone
    }

    /// Whether changes are sent, or the SOA record alone, and not the whole zone.
    pub fn is_incremental(&self) -> bool {
        self.incremental
    }

    /// Whether the SOA record alone is sent.
    pub fn is_soa_alone(&self) -> bool {
        matches!(self.part, Part::Begin(Rest::Nothing)) || self.records == 1
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Fills the answer section of a message, whose question is in the reply already.
    ///
    /// # Errors
    /// A record does not fit into any message. The reply has no records.
    pub fn fill(&mut self, reply: &mut Reply, bounds: Bounds) -> Result<Progress, TooLarge> {
        let most = bounds.message.min(wire::MAX_MESSAGE).saturating_sub(bounds.reserved);
        self.message.begin(reply.question(), FULL.min(most), most);
        let fit = self.put()?;
        let (records, count, plain) = self.message.records();
        let plain = reply.question_end() + plain;
        reply.load_trusted(records, [count, 0, 0], plain as u32);
        self.records += u64::from(count);
        Ok(if fit == Fit::All { Progress::Done } else { Progress::More })
    }

    fn put(&mut self) -> Result<Fit, TooLarge> {
        let Self { zone, message, part, .. } = self;
        loop {
            match part {
                Part::Begin(rest) => {
                    if soa(zone, message)? == Fit::Full {
                        return Ok(Fit::Full);
                    }
                    let rest = std::mem::replace(rest, Rest::Nothing);
                    *part = Part::Rest(rest);
                }
                Part::Rest(Rest::Nothing) => *part = Part::Done,
                Part::Rest(Rest::Whole(walk, set, at)) => {
                    if whole(zone, message, walk, set, at)? == Fit::Full {
                        return Ok(Fit::Full);
                    }
                    *part = Part::End;
                }
                Part::Rest(Rest::Changes(changes)) => {
                    if changes.fill(message)? == Fit::Full {
                        return Ok(Fit::Full);
                    }
                    *part = Part::End;
                }
                Part::End => {
                    if soa(zone, message)? == Fit::Full {
                        return Ok(Fit::Full);
                    }
                    *part = Part::Done;
                }
                Part::Done => return Ok(Fit::All),
            }
        }
    }
}

/// Whether a client's serial is the same as ours, or newer (RFC 1982 section 3.2).
fn is_newer_or_same(theirs: u32, ours: u32) -> bool {
    theirs == ours || is_newer(theirs, ours)
}

/// Whether changes of this size are smaller than the whole zone, both without compression.
fn is_smaller(zone: &Zone, changes: usize) -> bool {
    // The memory of a zone is at most a few times its size, so most zones need not be measured.
    if changes < zone.memory() / 16 {
        return true;
    }
    let mut walk = Walk::new(zone);
    let mut size = 0;
    loop {
        let node = walk.node(zone);
        let owner = node.name().len() + zone.apex().as_wire().len();
        for set in node.sets() {
            size += set.bytes.len() + usize::from(set.count) * owner - 2 * usize::from(set.count);
        }
        if size > changes {
            return true;
        }
        if !walk.advance(zone) {
            return false;
        }
    }
}

/// Adds the SOA record.
fn soa(zone: &Zone, message: &mut Message) -> Result<Fit, TooLarge> {
    message.next_owner();
    match zone.apex_set(Rtype::SOA) {
        Some(set) => message.set(&[], set, &mut 0),
        None => Ok(Fit::All),
    }
}

/// Adds the records of the zone but its SOA record, from a place on.
fn whole(
    zone: &Zone,
    message: &mut Message,
    walk: &mut Walk,
    set: &mut usize,
    at: &mut usize,
) -> Result<Fit, TooLarge> {
    loop {
        let node = walk.node(zone);
        let is_apex = node.name().is_empty();
        message.next_owner();
        for one in node.sets().skip(*set) {
            let skipped = is_apex && one.rtype == Rtype::SOA;
            if !skipped && message.set(node.name(), one, at)? == Fit::Full {
                return Ok(Fit::Full);
            }
            *set += 1;
            *at = 0;
        }
        *set = 0;
        if !walk.advance(zone) {
            return Ok(Fit::All);
        }
    }
}
