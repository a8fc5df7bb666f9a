//! A batch: what owners say from now on, visible at once when it is committed.

use wire::name::{self, NameBuf};
use wire::{Class, NewRecord, Rtype};

use crate::commit;
use crate::feed::{Feed, State};
use crate::owners::{MAX_KEY, Owner, Owners, Source};
use crate::packed;
use crate::report::{Committed, LeftOut, MAX_PACKED, Refused, Why};

/// Changes of a feed that belong together. Dropped without a commit, it changes nothing.
///
/// Several batches may be open at a time: the one that is committed last has the last word about the owners
/// that it changes.
pub struct Batch<'f> {
    feed: &'f Feed,
    /// What owners say; owners that go say nothing.
    staged: Owners,
    /// The sources that the batch lists, and the number of the list.
    listed: Vec<(Source, u64)>,
    report: Committed,
    failed: Option<Refused>,
    taken: bool,
}

impl Feed {
    /// Begins a batch.
    pub fn begin(&self) -> Batch<'_> {
        Batch {
            feed: self,
            staged: Owners::with_hash(self.hash().clone()),
            listed: Vec::new(),
            report: Committed::default(),
            failed: None,
            taken: false,
        }
    }
}

impl Batch<'_> {
    /// From now on the owner states these records and no others. Records that cannot be answered are left
    /// out and reported by [`Batch::commit`]. No record means [`Batch::remove`].
    ///
    /// An owner that says the same as before, in the same order, costs nothing later. State the addresses
    /// of a name before the records that point to it: that is the compact order. TTLs above 2^31 - 1 become
    /// that number (RFC 2181 section 8).
    ///
    /// The feed is locked while `records` runs, which must not call it.
    ///
    /// # Errors
    /// The key is too long: the batch stays as it was. Or the batch exceeds a limit, and can only be
    /// dropped.
    pub fn upsert<'r>(
        &mut self,
        owner: Owner<'_>,
        records: impl IntoIterator<Item = NewRecord<'r>>,
    ) -> Result<(), Refused> {
        self.check(&owner)?;
        let mut state = self.feed.state();
        // A panic of the iterator may have left something behind.
        let State { dictionary, packer, .. } = &mut *state;
        packed::release(&mut dictionary.suffixes, packer.bytes());
        packer.clear();
        let mut intake = Intake::new(&mut state, &mut self.report);
        records.into_iter().for_each(|record| intake.take(&record));
        self.stage(&mut state, owner);
        drop(state);
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// The owner states nothing any more.
    ///
    /// # Errors
    /// As [`Batch::upsert`].
    pub fn remove(&mut self, owner: Owner<'_>) -> Result<(), Refused> {
        self.upsert(owner, [])
    }

    /// From now on the batch lists all owners of a source: those that it does not [`upsert`](Self::upsert)
    /// after this call go when it is committed. What it said of the source before is void. Owners that
    /// another batch upserts meanwhile stay.
    ///
    /// A list may take its time, page by page: the batch holds only what differs from what the feed has.
    pub fn list(&mut self, source: Source) {
        let state = &mut *self.feed.state();
        let Some(listing) = state.listings.get_mut(usize::from(source.0)) else {
            return;
        };
        listing.generation += 1;
        listing.mark = listing.mark.wrapping_add(1);
        let generation = listing.generation;
        // The marks have all been used: old ones must not look new.
        if listing.mark == 0 {
            listing.mark = 1;
            let places: Vec<_> = state
                .owners
                .iter()
                .filter(|(_, owner)| owner.source == source)
                .map(|(place, _)| place)
                .collect();
            places.into_iter().for_each(|place| state.owners.set_mark(place, 0));
        }
        let void: Vec<_> = self
            .staged
            .iter()
            .filter(|(_, owner)| owner.source == source)
            .map(|(place, _)| place)
            .collect();
        for place in void {
            packed::release(&mut state.dictionary.suffixes, self.staged.at(place).groups);
            self.staged.remove(place);
        }
        self.staged.tidy();
        self.listed.retain(|(listed, _)| *listed != source);
        self.listed.push((source, generation));
    }

    /// Removes the owners of a source whose key `keep` refuses. Owners that this batch upserts before or
    /// later are not asked for. The feed is locked meanwhile: `keep` must not call it.
    pub fn retain(&mut self, source: Source, mut keep: impl FnMut(&[u8]) -> bool) {
        let state = self.feed.state();
        for (_, owner) in state.owners.iter() {
            if owner.source == source
                && !keep(owner.key)
                && self.staged.find(source, owner.key).is_none()
            {
                self.staged.insert(source, 0, owner.key, &[]);
            }
        }
    }

    /// Makes all of it visible, each zone at once. `now` is the Unix time in seconds, for serial numbers.
    ///
    /// Readers see the version before or the one after, and are never held up. A change of a few owners
    /// takes microseconds. The first batch, and one that changes a quarter of all that is said, builds the
    /// zones anew: some microseconds for each name, during which other batches wait. Call it off the
    /// threads that answer queries then.
    ///
    /// # Errors
    /// A limit is exceeded, or another batch began to list a source that this one lists: nothing changes.
    pub fn commit(mut self, now: u64) -> Result<Committed, Refused> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let mut report = std::mem::take(&mut self.report);
        let mut state = self.feed.state();
        commit::commit(&mut state, &mut self.staged, &self.listed, now, &mut report)?;
        self.taken = true;
        drop(state);
        Ok(report)
    }

    fn check(&self, owner: &Owner<'_>) -> Result<(), Refused> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let len = owner.key().len();
        if len > MAX_KEY { Err(Refused::Key(len)) } else { Ok(()) }
    }

    /// Notes what the packer has as what the owner says.
    fn stage(&mut self, state: &mut State, owner: Owner<'_>) {
        let (source, key) = (owner.source, owner.key());
        let suffixes = &mut state.dictionary.suffixes;
        let before = state.owners.find(source, key);
        let staged = self.staged.find(source, key);
        if let Some(place) = staged {
            packed::release(suffixes, self.staged.at(place).groups);
            self.staged.remove(place);
            self.staged.tidy();
        }
        let groups = state.packer.bytes();
        match before {
            Some(place) if staged.is_none() && state.owners.at(place).groups == groups => {
                packed::release(suffixes, groups);
                let mark = state.listings.get(usize::from(source.0)).map_or(0, |list| list.mark);
                state.owners.set_mark(place, mark);
            }
            None if groups.is_empty() => {}
            _ => self.staged.insert(source, 0, key, groups),
        }
        state.packer.clear();
        let limit = state.limits.bytes.min(MAX_PACKED);
        if self.staged.live() > limit {
            self.failed = Some(Refused::Bytes(limit));
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.taken && self.staged.len() > 0 {
            let mut state = self.feed.state();
            for (_, owner) in self.staged.iter() {
                packed::release(&mut state.dictionary.suffixes, owner.groups);
            }
        }
    }
}

/// Checks the records of one owner and packs them.
struct Intake<'s> {
    state: &'s mut State,
    report: &'s mut Committed,
    /// The last owner name, in lower case, and whether it is an apex.
    name: NameBuf,
    is_apex: Option<bool>,
    rdata: Vec<u8>,
}

impl<'s> Intake<'s> {
    fn new(state: &'s mut State, report: &'s mut Committed) -> Self {
        Self { state, report, name: NameBuf::new(), is_apex: None, rdata: Vec::new() }
    }

    fn take(&mut self, record: &NewRecord<'_>) {
        let rtype = record.rdata.rtype();
        if let Err(why) = self.check(record, rtype) {
            self.report.leave_out(1, || LeftOut {
                name: packed::to_name(record.owner),
                rtype,
                why,
            });
            return;
        }
        // RFC 2181 section 8: "a maximum value of 2147483647".
        let ttl = record.ttl.min(i32::MAX as u32);
        let State { packer, dictionary, .. } = &mut *self.state;
        packer.push(dictionary, self.name.as_wire(), (rtype, ttl), &self.rdata);
    }

    fn check(&mut self, record: &NewRecord<'_>, rtype: Rtype) -> Result<(), Why> {
        if record.class != Class::IN || is_foreign(rtype) {
            return Err(Why::Foreign);
        }
        if name::wire_len(record.owner) != Some(record.owner.len()) {
            return Err(Why::Malformed);
        }
        if self.is_apex.is_none() || !name::eq(self.name.as_wire(), record.owner) {
            self.name.set_folded(record.owner);
            let zone = self.state.by_name.find_name(self.name.as_wire());
            self.is_apex = zone.map(|zone| zone.name.as_wire() == self.name.as_wire());
        }
        match (self.is_apex, rtype) {
            (None, _) => return Err(Why::Outside),
            (Some(true), Rtype::CNAME) => return Err(Why::AliasAtApex),
            (Some(false), Rtype::SOA) => return Err(Why::SoaBelowApex),
            _ => {}
        }
        self.rdata.clear();
        record.rdata.write(&mut self.rdata);
        if packed::is_valid(rtype, &self.rdata) { Ok(()) } else { Err(Why::Malformed) }
    }
}

/// Types that no feed holds: the signatures and proofs that a signer makes, pseudo records, and types of
/// queries (RFC 6895 section 3.1).
fn is_foreign(rtype: Rtype) -> bool {
    matches!(
        rtype,
        Rtype::RRSIG
            | Rtype::SIG
            | Rtype::NXT
            | Rtype::NSEC
            | Rtype::NSEC3
            | Rtype::NSEC3PARAM
            | Rtype::OPT
    ) || matches!(rtype.0, 0 | 128..=255)
}
