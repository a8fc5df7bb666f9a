//! The plan: what is answered of each name, and how that differs from the zones.

use std::collections::BTreeMap;

use wire::name::NameBuf;
use wire::{Class, Rtype};
use zone::{Builder, RecordRef, Zone};

use super::groups::{Both, Change, Group};
use super::publish::{Needs, Planned, Ready, Target};
use crate::disputed::Said;
use crate::feed::{FedZone, State};
use crate::owners::Owners;
use crate::packed::{self, Head};
use crate::report::{Committed, LeftOut, Refused};
use crate::union::{Records, Union};

/// The next versions while they are made.
pub(super) struct Plan<'s> {
    both: Both<'s>,
    report: &'s mut Committed,
    target: Target,
    planned: Planned,
    // Of the name that is looked at:
    name: NameBuf,
    current: Records,
    said: Records,
    union: Union,
    error: Option<Refused>,
}

impl<'s> Plan<'s> {
    /// A plan that changes nothing yet. `anew`: it builds all zones.
    pub(super) fn new(
        state: &'s State,
        staged: &'s Owners,
        anew: bool,
        report: &'s mut Committed,
    ) -> Self {
        let mut planned = Planned::default();
        let target = if anew {
            let builder = |zone: &FedZone| match &*zone.live.zone() {
                Some(version) => Builder::like(version),
                None => Builder::new(&zone.origin.name, 0),
            };
            Target::Build(state.zones.iter().map(builder).collect())
        } else {
            (planned.names, planned.records) = (state.names, state.records);
            Target::Patch(BTreeMap::new())
        };
        Self {
            both: Both { state, staged },
            report,
            target,
            planned,
            name: NameBuf::new(),
            current: Records::default(),
            said: Records::default(),
            union: Union::default(),
            error: None,
        }
    }

    /// Looks at all names. `more` are the octets of the batch that stay.
    ///
    /// # Errors
    /// A limit is exceeded. Whether the memory suffices is up to the caller: [`Ready::needs`].
    pub(super) fn run(mut self, changes: &[Change], more: usize) -> Result<Ready, Refused> {
        let groups = match self.target {
            Target::Patch(_) => self.both.changed_groups(changes),
            Target::Build(_) => self.both.all_groups(changes),
        };
        for group in groups.chunk_by(|a, b| a.hash == b.hash) {
            self.same_hash(group);
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        let limits = self.both.state.limits;
        if self.planned.names > limits.names {
            return Err(Refused::Names(limits.names));
        }
        if self.planned.records > limits.records {
            return Err(Refused::Records(limits.records));
        }
        let Self { both: Both { state, .. }, target, planned, report, .. } = self;
        if report.rebuilt {
            report.added = planned.records;
            report.removed = state.records;
        }
        let said = planned.disputed.iter().filter_map(|(_, said)| said.as_ref());
        let feed = state.memory() + more + said.map(Said::size).sum::<usize>();
        let (mut added, mut removed) = (0, 0);
        if let Target::Patch(changes) = &target {
            for (gone, come) in changes.values() {
                removed += gone.as_wire().len();
                added += come.as_wire().len();
            }
        }
        Ok(Ready { target, planned, needs: Needs { feed, added, removed } })
    }

    /// Looks at the names that have one hash: nearly always one.
    fn same_hash(&mut self, groups: &[Group]) {
        let Some(&first) = groups.first() else {
            return;
        };
        let mut name = NameBuf::new();
        self.both.read_name(first, &mut name);
        let mut other = NameBuf::new();
        let mut is_same = |group: &Group| {
            self.both.read_name(*group, &mut other);
            other.as_wire() == name.as_wire()
        };
        if groups[1..].iter().all(&mut is_same) {
            self.name = name;
            return self.look_at(groups);
        }
        let (same, others): (Vec<Group>, Vec<Group>) = groups.iter().partition(|&g| is_same(g));
        self.name = name;
        self.look_at(&same);
        self.same_hash(&others);
    }

    /// Decides what is answered of one name.
    fn look_at(&mut self, groups: &[Group]) {
        let state = self.both.state;
        let Some(zone) = state.by_name.find_name(self.name.as_wire()).map(|zone| zone.number)
        else {
            return;
        };
        self.current.clear();
        self.said.clear();
        let mut was_disputed = false;
        if let Target::Patch(_) = self.target {
            if let Some(version) = &*state.zones[zone].live.zone() {
                read_current(version, self.name.as_wire(), &mut self.current);
            }
            was_disputed = state.disputed.read(self.name.as_wire(), &mut self.said);
            if !was_disputed {
                self.said.copy(&self.current);
            }
        }
        for &group in groups {
            self.say(group);
        }
        self.said.settle();
        self.union.decide(&self.said);
        if let Some(rtype) = self.union.too_many {
            let name = packed::to_name(self.name.as_wire());
            self.error.get_or_insert(Refused::Set(name, rtype));
        }
        self.note_soa(zone);
        for &(at, why) in &self.union.left_out {
            let rtype = self.said.items()[at].rtype;
            let name = &self.name;
            self.report.leave_out(1, || LeftOut { name: name.to_name(), rtype, why });
        }
        if self.union.disputed || was_disputed {
            let said =
                self.union.disputed.then(|| Said::new(&self.said, self.union.left_out.len()));
            self.planned.disputed.push((self.name.as_wire().into(), said));
        }
        let (before, after) = (self.current.items().len(), self.union.served.len());
        self.planned.names += usize::from(after > 0);
        self.planned.names -= usize::from(before > 0);
        self.planned.records += after;
        self.planned.records -= before;
        self.write(zone);
    }

    /// Adds what a group says, or takes it back.
    fn say(&mut self, group: Group) {
        let anew = matches!(self.target, Target::Build(_));
        let count = if anew || group.is_staged() { 1 } else { -1 };
        let dictionary = &self.both.state.dictionary;
        let (bytes, at) = self.both.bytes(group);
        let mut at = packed::skip_name(bytes, at);
        loop {
            let head = Head::read(bytes, at);
            let ttl = head.ttl(dictionary, bytes);
            self.said.push(head.rtype, ttl, count, |into| {
                at = head.read_rdata(&dictionary.suffixes, bytes, into);
            });
            if head.last {
                return;
            }
        }
    }

    /// Notes the SOA record that is stated, if this is the apex.
    fn note_soa(&mut self, zone: usize) {
        let fed = &self.both.state.zones[zone];
        if fed.origin.name.as_wire() != self.name.as_wire() {
            return;
        }
        let stated = self.union.soa.map(|(at, ttl)| {
            let item = &self.said.items()[at];
            (ttl, self.said.rdata(item).to_vec())
        });
        if matches!(self.target, Target::Build(_)) || stated != fed.stated {
            self.planned.soas.insert(zone, stated);
        }
    }

    /// Writes the records of the name, or how they differ from the current ones.
    fn write(&mut self, zone: usize) {
        let owner = self.name.as_wire();
        let (said, current) = (&self.said, &self.current);
        let record = |rtype, ttl, rdata| RecordRef { owner, rtype, class: Class::IN, ttl, rdata };
        let changes = match &mut self.target {
            Target::Patch(changes) => changes,
            Target::Build(builders) => {
                for &(at, ttl) in &self.union.served {
                    let item = &said.items()[at];
                    let added = builders[zone].add(record(item.rtype, ttl, said.rdata(item)));
                    if let Err(why) = added {
                        self.error.get_or_insert(Refused::Unfit(why));
                    }
                }
                return;
            }
        };
        let mut before = current.items().iter().peekable();
        let mut after = self.union.served.iter().peekable();
        loop {
            let key = |item| (item, said.folded(item));
            let next = after.peek().map(|&&(at, _)| key(&said.items()[at]));
            let order = match (before.peek(), next) {
                (None, None) => return,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(old), Some((new, folded))) => {
                    old.rtype.cmp(&new.rtype).then_with(|| current.folded(old).cmp(folded))
                }
            };
            let old = if order.is_le() { before.next() } else { None };
            let new = if order.is_ge() { after.next() } else { None };
            if let (Some(old), Some((_, ttl))) = (old, new)
                && old.ttl == *ttl
            {
                continue;
            }
            let (removed, added) = changes.entry(zone).or_default();
            if let Some(old) = old {
                removed.push(record(old.rtype, old.ttl, current.rdata(old)));
                self.report.removed += 1;
            }
            if let Some(&(at, ttl)) = new {
                let item = &said.items()[at];
                added.push(record(item.rtype, ttl, said.rdata(item)));
                self.report.added += 1;
            }
        }
    }
}

/// Reads the records of a name, but for the SOA record, which the feed makes.
fn read_current(zone: &Zone, name: &[u8], into: &mut Records) {
    zone.each_record_at(name, |record| {
        if record.rtype != Rtype::SOA {
            into.push(record.rtype, record.ttl, 1, |rdata| rdata.extend_from_slice(record.rdata));
        }
    });
    into.settle();
}
