//! What a plan leads to: the next versions, and what the feed knows of them.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use wire::{Class, Rtype};
use zone::{Builder, Changes, RecordList, RecordRef};

use crate::disputed::{Disputed, Said};
use crate::feed::{FedZone, State};
use crate::origin::with_serial;
use crate::report::Refused;

/// What becomes of the zones.
pub(super) enum Target {
    /// Records that go and that come, by the number of the zone.
    Patch(BTreeMap<usize, (RecordList, RecordList)>),
    /// All records, for each zone.
    Build(Vec<Builder>),
}

/// What changes beside the records of the zones.
#[derive(Default)]
pub(super) struct Planned {
    pub(super) names: usize,
    pub(super) records: usize,
    /// Names and what is said of them if they are disputed.
    pub(super) disputed: Vec<(Box<[u8]>, Option<Said>)>,
    /// Numbers of zones, and the SOA record that is stated.
    pub(super) soas: BTreeMap<usize, Option<(u32, Vec<u8>)>>,
}

/// A complete plan.
pub(super) struct Ready {
    pub(super) target: Target,
    pub(super) planned: Planned,
    pub(super) needs: Needs,
}

/// Octets of memory that a plan needs.
pub(super) struct Needs {
    /// Of the feed without its zones.
    pub(super) feed: usize,
    /// Of records that come to zones that are changed. Those of zones that are built are known at their end.
    pub(super) added: usize,
    /// Of records that go.
    pub(super) removed: usize,
}

impl Ready {
    /// Publishes the next versions. `false` if a zone refused its changes. `shrinks`: owners state no more than
    /// before.
    ///
    /// # Errors
    /// The zones that were built are no zones, or exceed the limit: nothing changes.
    pub(super) fn publish(
        self,
        state: &mut State,
        shrinks: bool,
        now: u64,
    ) -> Result<bool, Refused> {
        let Self { target, planned, needs } = self;
        let published = match target {
            Target::Patch(mut changes) => {
                for &zone in planned.soas.keys() {
                    changes.entry(zone).or_default();
                }
                let mut published = true;
                for (zone, (removed, added)) in changes {
                    let stated = planned.soas.get(&zone).cloned();
                    published &= change(state, zone, stated, removed, added, now);
                }
                state.names = planned.names;
                state.records = planned.records;
                state.flat_bytes = (state.flat_bytes + needs.added).saturating_sub(needs.removed);
                for (name, said) in planned.disputed {
                    state.disputed.set(name, said);
                }
                published
            }
            Target::Build(builders) => {
                build(state, builders, planned, shrinks, now)?;
                true
            }
        };
        Ok(published)
    }
}

/// Publishes the changes of one zone. `false` if it refuses them.
fn change(
    state: &mut State,
    zone: usize,
    stated: Option<Option<(u32, Vec<u8>)>>,
    mut removed: RecordList,
    mut added: RecordList,
    now: u64,
) -> bool {
    let fed = &mut state.zones[zone];
    let serial = fed.origin.serial.next(fed.serial, now as u32);
    let owner = fed.origin.name.clone();
    let soa = |ttl, rdata| {
        let (owner, rtype, class) = (owner.as_wire(), Rtype::SOA, Class::IN);
        RecordRef { owner, rtype, class, ttl, rdata }
    };
    let (ttl, rdata) = fed.soa(fed.serial.unwrap_or(0));
    removed.push(soa(ttl, &rdata));
    if let Some(stated) = stated {
        fed.stated = stated;
    }
    let (ttl, rdata) = fed.soa(serial);
    added.push(soa(ttl, &rdata));
    fed.serial = Some(serial);
    let version = fed.live.change(Changes::of(removed, added));
    note_change(fed, now);
    let Ok(version) = version else {
        return false;
    };
    state.zone_bytes -= std::mem::replace(&mut fed.memory, version.memory());
    state.zone_bytes += fed.memory;
    true
}

/// Publishes zones that were built.
fn build(
    state: &mut State,
    builders: Vec<Builder>,
    mut planned: Planned,
    shrinks: bool,
    now: u64,
) -> Result<(), Refused> {
    let mut built = Vec::with_capacity(builders.len());
    for (number, (fed, mut builder)) in state.zones.iter().zip(builders).enumerate() {
        let serial = fed.origin.serial.next(fed.serial, now as u32);
        let stated = planned.soas.remove(&number).flatten();
        let (ttl, rdata) = stated.as_ref().unwrap_or(&fed.origin.soa);
        let rdata = &with_serial(rdata, serial);
        let (owner, rtype, class) = (fed.origin.name.as_wire(), Rtype::SOA, Class::IN);
        let soa = RecordRef { owner, rtype, class, ttl: *ttl, rdata };
        builder.add(soa).map_err(Refused::Unfit)?;
        let zone = builder.finish().map_err(|unfit| {
            let words: Vec<String> = unfit.iter().map(ToString::to_string).collect();
            Refused::Unfit(words.join("; "))
        })?;
        built.push((serial, stated, zone));
    }
    let memory: usize = built.iter().map(|(_, _, zone)| zone.memory()).sum();
    let grows = !shrinks || memory > state.zone_bytes;
    if grows && state.memory() + memory > state.limits.bytes {
        return Err(Refused::Bytes(state.limits.bytes));
    }
    for (fed, (serial, stated, zone)) in state.zones.iter_mut().zip(built) {
        (fed.serial, fed.stated, fed.memory) = (Some(serial), stated, zone.memory());
        fed.live.restore(zone, None);
        note_change(fed, now);
    }
    (state.loaded, state.zone_bytes, state.flat_bytes) = (true, memory, memory);
    (state.names, state.records) = (planned.names, planned.records);
    state.disputed = Disputed::default();
    for (name, said) in planned.disputed {
        state.disputed.set(name, said);
    }
    Ok(())
}

fn note_change(fed: &FedZone, now: u64) {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(now));
    fed.live.set_status(|status| {
        status.changed = time;
        status.checked = time;
    });
}
