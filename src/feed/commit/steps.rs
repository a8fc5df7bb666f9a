//! The steps of a commit.

use super::groups::Change;
use super::plan::Plan;
use super::publish::Needs;
use crate::feed::State;
use crate::owners::{Owners, Source, Stored};
use crate::packed::{self, MAX_BYTES, Place};
use crate::report::{Committed, Refused};

/// Smaller batches never build the zones anew.
const SMALL: usize = 16 << 10;
/// A batch that changes one part in so many of all that is said builds the zones anew.
const PART: usize = 4;

/// Zones at the limit of memory are made anew only if that saves one part in so many of the limit: it takes
/// time in proportion to all of them.
const SAVED: usize = 64;

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
    let gone = |change: &Change| change.old.map_or(0, |old| state.owners.at(old).size());
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
    // What a feed at its limit must always take, or it would stay there.
    let shrinks = staged.live() <= going;
    let grows = !shrinks || plan.needs.added > plan.needs.removed;
    if grows && !fits(state, &plan.needs, anew) {
        return Err(Refused::Bytes(state.limits.bytes));
    }
    let published = plan.publish(state, shrinks, now)?;
    take(state, staged, &changes);
    if !published {
        // The zone and the feed disagree, which the rules of both exclude: the owners are right.
        report.rebuilt = true;
        let none = Owners::with_hash(state.owners.hash().clone());
        Plan::new(state, &none, true, report).run(&[], 0)?.publish(state, true, now)?;
    }
    Ok(())
}

/// Whether the limit on memory allows what is needed. Versions that lie over others, and keep records that are
/// gone, are made anew if that helps.
fn fits(state: &mut State, needs: &Needs, anew: bool) -> bool {
    let limit = state.limits.bytes;
    let needed = needs.feed + needs.added;
    // The zones that are built replace those that there are.
    if anew || needed + state.zone_bytes <= limit {
        return needed <= limit;
    }
    // Somebody else may have folded them since.
    look_again(state);
    let saved = state.zone_bytes.saturating_sub(state.flat_bytes);
    if needed + state.zone_bytes > limit
        && needed + state.flat_bytes <= limit
        && saved >= limit / SAVED
    {
        state.zones.iter().for_each(|zone| drop(zone.live.compact()));
        look_again(state);
        state.flat_bytes = state.zone_bytes;
    }
    needed + state.zone_bytes <= limit
}

/// Notes the memory that the zones take now.
fn look_again(state: &mut State) {
    for zone in &mut state.zones {
        zone.memory = zone.live.zone().as_ref().map_or(0, |version| version.memory());
    }
    state.zone_bytes = state.zones.iter().map(|zone| zone.memory).sum();
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
