//! The second reading: the places of the records that were found.

use std::collections::HashMap;
use std::io::Read;

use super::finding::{Draft, Spot};
use crate::RecordRef;
use crate::master::{self, Includes, MAX_ERRORS, Options, ZoneError};

/// A record that is looked for.
struct Search<'d> {
    spot: &'d Spot,
    /// How many more equal ones are skipped.
    skip: usize,
    place: Option<ZoneError>,
}

/// The findings at their places. What the text does not have, because it has changed meanwhile or one
/// `$GENERATE` made several of the records, is said about the file as a whole.
pub(super) fn locate(
    drafts: Vec<Draft>,
    source: &mut dyn Read,
    options: &Options<'_>,
    includes: &dyn Includes,
) -> Vec<(Draft, ZoneError)> {
    let mut searches: Vec<Search<'_>> = Vec::new();
    for draft in &drafts {
        let related = draft.related.iter().map(|(spot, _)| spot);
        for spot in draft.at.iter().chain(related) {
            searches.push(Search { spot, skip: spot.nth, place: None });
        }
    }
    find(&mut searches, source, options, includes);
    let mut places: Vec<Option<ZoneError>> =
        searches.into_iter().map(|search| search.place).collect();
    places.reverse();
    let located = drafts.into_iter().map(|draft| {
        let whole = || ZoneError { file: options.file.to_owned(), ..ZoneError::default() };
        let mut at = draft.at.as_ref().and_then(|_| places.pop().flatten()).unwrap_or_else(whole);
        at.related = draft
            .related
            .iter()
            .filter_map(|(_, label)| {
                let place = places.pop().flatten()?;
                Some(ZoneError { label: label.clone(), ..place })
            })
            .collect();
        // Of two records that are the same to the rule the later one is the mistake.
        if draft.either && at.line > 0 {
            at = later_first(at);
        }
        at.label.clone_from(&draft.label);
        at.message.clone_from(&draft.message);
        at.help = Some(draft.help.clone()).filter(|help| !help.is_empty());
        (draft, at)
    });
    located.collect()
}

/// Swaps the place and the related one, if the related one is later in the same file.
fn later_first(mut at: ZoneError) -> ZoneError {
    match at.related.pop() {
        Some(first)
            if first.file == at.file && (first.line, first.column) > (at.line, at.column) =>
        {
            let related = vec![ZoneError { label: first.label.clone(), ..at }];
            ZoneError { related, ..first }
        }
        first => {
            at.related.extend(first);
            at
        }
    }
}

fn find(
    searches: &mut [Search<'_>],
    source: &mut dyn Read,
    options: &Options<'_>,
    includes: &dyn Includes,
) {
    if searches.is_empty() {
        return;
    }
    let mut by_owner: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    for (at, search) in searches.iter().enumerate() {
        by_owner.entry(search.spot.owner.to_ascii_lowercase()).or_default().push(at);
    }
    // Reading must end even if the text has become unreadable.
    let options = Options { max_errors: searches.len() + MAX_ERRORS, ..*options };
    // For each record with a place: the searches that it ends.
    let mut hits: Vec<Vec<usize>> = Vec::new();
    let mut open = vec![true; searches.len()];
    let mut owner = Vec::new();
    let places = master::places(source, &options, includes, &mut |record| {
        owner.clear();
        owner.extend(record.owner.iter().map(u8::to_ascii_lowercase));
        let Some(wanted) = by_owner.get(&owner) else { return false };
        let mut ended = Vec::new();
        for &at in wanted {
            let search = &mut searches[at];
            if !open[at] || !is_meant(search.spot, record) {
                continue;
            }
            match search.skip.checked_sub(1) {
                Some(left) => search.skip = left,
                None => {
                    open[at] = false;
                    ended.push(at);
                }
            }
        }
        let found = !ended.is_empty();
        if found {
            hits.push(ended);
        }
        found
    });
    for (ended, place) in hits.into_iter().zip(places) {
        for at in ended {
            searches[at].place = Some(place.clone());
        }
    }
}

fn is_meant(spot: &Spot, record: RecordRef<'_>) -> bool {
    match &spot.what {
        None => true,
        Some((rtype, rdata)) => *rtype == record.rtype && rdata.as_slice() == record.rdata,
    }
}
