//! The steps of a commit.

use super::groups::Change;
use super::plan::Plan;
use crate::feed::State;
use crate::owners::{Owners, Source, Stored};
use crate::packed::{self, MAX_BYTES, Place};
use crate::report::{Committed, Refused};

/// Smaller batches never build the zones anew.
const SMALL: usize = 16 << 10;
/// A batch that changes one part in so many of all that is said builds the zones anew.
const PART: usize = 4;

/// Makes a batch visible. `listed` are the sources that it lists, with the number of the list.
pub(crate) fn commit(
    state: &mut State,
    staged: &mut Owners,
    listed: &[(Source, u64)],
    now: u64,
    report: &mut Committed,
) -> Result<(), Refused> {
    let listing = |source: Source| state.listings.get(usize::from(source.0));
    if listed.iter().any(|&(source, number)| listing(source).map(|l| l.generation) != Some(number))
    {
        return Err(Refused::Superseded);
    }
    let changes = changes_of(state, staged, listed);
    let gone = |change: &Change| change.old.map_or(0, |old| state.owners.at(old).groups.len());
    let going: usize = changes.iter().map(gone).sum();
    let moved = staged.live() + going;
    let anew = !state.loaded || (moved > SMALL && moved * PART > state.owners.live());
    if state.owners.live().saturating_sub(going) + staged.live() > MAX_BYTES {
        return Err(Refused::Bytes(MAX_BYTES));
    }
    report.owners = changes.len();
    report.rebuilt = anew;
    let staged_bytes = staged.live().saturating_sub(going);
    let plan = Plan::new(state, staged, anew, report).run(&changes, staged_bytes)?;
    let published = plan.publish(state, now)?;
    take(state, staged, &changes);
    if !published {
        // The zone and the feed disagree, which the rules of both exclude: the owners are right.
        report.rebuilt = true;
        let none = Owners::with_hash(state.owners.hash().clone());
        Plan::new(state, &none, true, report).run(&[], 0)?.publish(state, now)?;
    }
    Ok(())
}

/// The owners that change, each once.
fn changes_of(state: &State, staged: &Owners, listed: &[(Source, u64)]) -> Vec<Change> {
    let mut changes = Vec::with_capacity(staged.len());
    for (place, stored) in staged.iter() {
        let old = state.owners.find(stored.source, stored.key);
        let new = (!stored.groups.is_empty()).then_some(place);
        if old.is_some() || new.is_some() {
            changes.push(Change { old, new });
        }
    }
    if !listed.is_empty() {
        let is_unseen = |owner: &Stored<'_>| {
            listed.iter().any(|(source, _)| *source == owner.source)
                && state.listings[usize::from(owner.source.0)].mark != owner.mark
                && staged.find(owner.source, owner.key).is_none()
        };
        let unseen = state.owners.iter().filter(|(_, owner)| is_unseen(owner));
        changes.extend(unseen.map(|(place, _)| Change { old: Some(place), new: None }));
    }
    changes
}

/// Moves the owners of a batch to the feed.
fn take(state: &mut State, staged: &mut Owners, changes: &[Change]) {
    let mark = |source: Source| state.listings.get(usize::from(source.0)).map_or(0, |l| l.mark);
    if state.owners.len() == 0 && changes.len() == staged.len() {
        std::mem::swap(&mut state.owners, staged);
        let stale = |(_, owner): &(Place, Stored<'_>)| owner.mark != mark(owner.source);
        let stale: Vec<(Place, u8)> = state
            .owners
            .iter()
            .filter(stale)
            .map(|(place, owner)| (place, mark(owner.source)))
            .collect();
        stale.into_iter().for_each(|(place, mark)| state.owners.set_mark(place, mark));
        return;
    }
    for change in changes {
        if let Some(old) = change.old {
            packed::release(&mut state.dictionary.suffixes, state.owners.at(old).groups);
            state.owners.remove(old);
        }
    }
    for new in changes.iter().filter_map(|change| change.new) {
        let owner = staged.at(new);
        state.owners.insert(owner.source, mark(owner.source), owner.key, owner.groups);
    }
    state.owners.tidy();
}
