//! A zone, or changes of one, from the messages of a reply.
//!
//! Records go straight to the builder of the zone. What was assembled is handed out when the reply has ended
//! as it should, and not before.

use wire::{Class, HEADER, Rtype, name};
use zone::Soa;
use zone::{Builder, Changes, RecordRef};

use crate::fault::shown;
use crate::record::{Reader, read_soa};
use crate::request::{Kind, Request};
use crate::{Fault, Limits};

/// What came so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages.
    pub messages: u64,
    /// Records.
    pub records: u64,
    /// Octets of the messages.
    pub received: u64,
    /// Octets of the records without compression.
    pub expanded: u64,
    /// Records that were left out because their owners are not in the zone.
    pub left_out: u64,
    /// The owner of the first of them.
    pub first_left_out: Option<String>,
}

/// What a reply amounts to.
pub enum Assembled {
    /// The server has no newer version than ours: its SOA record.
    Current(Soa),
    /// All records; the zone is yet to be made of them.
    Zone(Box<Builder>),
    /// The changes since our version, oldest first.
    Changes(Vec<Changes>),
}

/// Assembles the reply to one AXFR or IXFR request.
pub struct Assembler {
    request: Request,
    most_records: u64,
    most_octets: u64,
    reader: Reader,
    tally: Tally,
    state: State,
    /// The SOA record that the reply begins with: the newest version.
    newest: Option<Newest>,
    newer_than: Option<u32>,
    size_hint: u64,
    builder: Option<Box<Builder>>,
    /// Complete difference sequences.
    changes: Vec<Changes>,
    /// The sequence that is being read, and where it leads from and to.
    sequence: Changes,
    from: u32,
    to: u32,
}

struct Newest {
    soa: Soa,
    rdata: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No record yet.
    Start,
    /// One SOA record: the next record tells what kind of reply it is.
    Open,
    /// Records of the whole zone.
    Zone,
    /// Records that go.
    Removing,
    /// Records that come.
    Adding,
    /// The reply has ended.
    Done,
    /// The reply has ended: there is nothing newer.
    Current,
}

impl Assembler {
    /// For the reply to `request`, which is an AXFR or IXFR. `size_hint` is the size of the zone in octets, 0
    /// if unknown.
    pub fn new(request: Request, limits: &Limits, size_hint: u64) -> Self {
        Self {
            request,
            most_records: limits.records,
            most_octets: limits.octets,
            reader: Reader::default(),
            tally: Tally::default(),
            state: State::Start,
            newest: None,
            newer_than: None,
            size_hint,
            builder: None,
            changes: Vec::new(),
            sequence: Changes::new(),
            from: 0,
            to: 0,
        }
    }

    /// Refuses a whole zone that is not newer than the version with this serial.
    #[must_use]
    pub fn newer_than(self, serial: Option<u32>) -> Self {
        Self { newer_than: serial, ..self }
    }

    /// What came so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes the next message; `true`: the reply has ended.
    ///
    /// # Errors
    /// The message is not what it should be. The reply is then useless as a whole.
    pub fn take(&mut self, message: &[u8]) -> Result<bool, Fault> {
        let records = self.request.answers(message, self.tally.messages == 0)?;
        self.tally.messages += 1;
        // Messages without records count too, so that they end.
        self.tally.received += message.len().max(HEADER) as u64;
        if self.tally.received > self.most_octets {
            return Err(Fault::Octets(self.most_octets));
        }
        let mut reader = std::mem::take(&mut self.reader);
        reader.begin();
        for record in records {
            let record = record?;
            match self.state {
                State::Done => return Err(Fault::Surplus),
                // Whatever follows, there is nothing newer.
                State::Current => break,
                _ => {}
            }
            let record = reader.read(&record)?;
            self.count(record)?;
            match self.state {
                State::Zone => self.of_zone(record)?,
                state => self.step(state, record)?,
            }
        }
        self.reader = reader;
        Ok(matches!(self.state, State::Done | State::Current))
    }

    /// What the reply amounts to. `None`: it has not ended.
    pub fn finish(self) -> Option<Assembled> {
        match (self.state, self.newest, self.builder) {
            (State::Current, Some(newest), _) => Some(Assembled::Current(newest.soa)),
            (State::Done, _, Some(builder)) => Some(Assembled::Zone(builder)),
            (State::Done, _, None) => Some(Assembled::Changes(self.changes)),
            _ => None,
        }
    }

    #[inline]
    fn count(&mut self, record: RecordRef<'_>) -> Result<(), Fault> {
        self.tally.records += 1;
        self.tally.expanded += (record.owner.len() + 10 + record.rdata.len()) as u64;
        if self.tally.records > self.most_records {
            return Err(Fault::Records(self.most_records));
        }
        if self.tally.expanded > self.most_octets {
            return Err(Fault::Octets(self.most_octets));
        }
        Ok(())
    }

    /// A record of the whole zone.
    #[inline]
    fn of_zone(&mut self, record: RecordRef<'_>) -> Result<(), Fault> {
        if record.rtype == Rtype::SOA && self.is_apex(record) {
            // RFC 5936 section 2.2: the last record is the first one again.
            self.check_last(record)?;
            self.state = State::Done;
            return Ok(());
        }
        let added = self.builder.as_mut().map(|builder| builder.add(record));
        if let Some(Err(_)) = added {
            self.leave_out(record);
        }
        Ok(())
    }

    /// A record of any other part of a reply.
    fn step(&mut self, state: State, record: RecordRef<'_>) -> Result<(), Fault> {
        let soa = match record.rtype {
            Rtype::SOA if self.is_apex(record) => read_soa(record),
            _ => None,
        };
        match (state, soa) {
            (State::Start, None) => return Err(Fault::begins_with(record.owner, record.rtype)),
            (State::Start, Some(soa)) => self.begin(soa, record)?,
            (State::Open, Some(soa)) => self.second_soa(&soa, record)?,
            (State::Open, None) => {
                self.begin_zone();
                self.of_zone(record)?;
            }
            (State::Removing, Some(soa)) => self.turn(&soa, record)?,
            (State::Adding, Some(soa)) => self.end_sequence(&soa, record)?,
            (_, None) if !name::is_under(record.owner, self.request.zone.as_wire()) => {
                self.leave_out(record);
            }
            (State::Removing, None) => self.sequence.remove(record),
            (State::Adding, None) => self.sequence.add(record),
            (State::Zone | State::Done | State::Current, _) => {}
        }
        Ok(())
    }

    /// The SOA record that the reply begins with.
    fn begin(&mut self, soa: Soa, record: RecordRef<'_>) -> Result<(), Fault> {
        let serial = soa.serial;
        self.newest = Some(Newest { soa, rdata: record.rdata.to_vec() });
        match self.request.kind {
            Kind::Ixfr(ours) if !zone::is_newer(serial, ours) => self.state = State::Current,
            Kind::Ixfr(_) => self.state = State::Open,
            _ => match self.newer_than {
                Some(ours) if !zone::is_newer(serial, ours) => {
                    return Err(Fault::NotNewer { sent: serial, ours });
                }
                _ => self.begin_zone(),
            },
        }
        Ok(())
    }

    /// A whole zone comes, of which the SOA record came already.
    fn begin_zone(&mut self) {
        let mut builder = Box::new(Builder::new(&self.request.zone, self.size_hint));
        if let Some(Newest { soa, rdata }) = &self.newest {
            let owner = self.request.zone.as_wire();
            let (rtype, class, ttl) = (Rtype::SOA, Class::IN, soa.ttl);
            // It is of the zone and its class, so it is taken.
            let _ = builder.add(RecordRef { owner, rtype, class, ttl, rdata });
        }
        self.builder = Some(builder);
        self.state = State::Zone;
    }

    /// The second record of a reply to IXFR is an SOA record too: ours, which begins a difference sequence,
    /// or the newest, which ends a zone without other records.
    fn second_soa(&mut self, soa: &Soa, record: RecordRef<'_>) -> Result<(), Fault> {
        if soa.serial == self.newest_serial() {
            self.begin_zone();
            return self.of_zone(record);
        }
        let Kind::Ixfr(ours) = self.request.kind else { return Ok(()) };
        self.begin_sequence(ours, soa, record)
    }

    /// The SOA record of the version that a sequence leads from.
    fn begin_sequence(
        &mut self,
        expected: u32,
        soa: &Soa,
        record: RecordRef<'_>,
    ) -> Result<(), Fault> {
        if soa.serial != expected {
            return Err(Fault::Chain { expected, found: soa.serial });
        }
        self.from = soa.serial;
        self.sequence.remove(record);
        self.state = State::Removing;
        Ok(())
    }

    /// The SOA record of the version that a sequence leads to.
    fn turn(&mut self, soa: &Soa, record: RecordRef<'_>) -> Result<(), Fault> {
        let (from, to) = (self.from, soa.serial);
        if !zone::is_newer(to, from) || zone::is_newer(to, self.newest_serial()) {
            return Err(Fault::Backwards { from, to });
        }
        if to == self.newest_serial() {
            self.check_last(record)?;
        }
        self.to = to;
        self.sequence.add(record);
        self.state = State::Adding;
        Ok(())
    }

    /// The SOA record after the records that come: of the next sequence, or the one that ends the reply.
    fn end_sequence(&mut self, soa: &Soa, record: RecordRef<'_>) -> Result<(), Fault> {
        self.changes.push(std::mem::take(&mut self.sequence));
        if self.to == self.newest_serial() {
            self.check_last(record)?;
            self.state = State::Done;
            return Ok(());
        }
        self.begin_sequence(self.to, soa, record)
    }

    /// Checks that an SOA record is the newest version's.
    fn check_last(&self, record: RecordRef<'_>) -> Result<(), Fault> {
        let Some(Newest { soa, rdata }) = &self.newest else { return Ok(()) };
        let (first, last) = (rdata.as_slice(), record.rdata);
        let names = last.len().saturating_sub(20);
        let same = first.len() == last.len()
            && first[names..] == last[names..]
            && name::eq(&first[..names], &last[..names]);
        if same {
            return Ok(());
        }
        let last = read_soa(record).map_or(0, |soa| soa.serial);
        Err(Fault::OtherSoa { first: soa.serial, last })
    }

    fn newest_serial(&self) -> u32 {
        self.newest.as_ref().map_or(0, |newest| newest.soa.serial)
    }

    #[inline]
    fn is_apex(&self, record: RecordRef<'_>) -> bool {
        name::eq(record.owner, self.request.zone.as_wire())
    }

    #[cold]
    fn leave_out(&mut self, record: RecordRef<'_>) {
        self.tally.left_out += 1;
        if self.tally.first_left_out.is_none() {
            self.tally.first_left_out = Some(shown(record.owner));
        }
    }
}
