//! Finds the lines of conflicting records.
//!
//! The builder keeps no line numbers, because they would cost every zone time and memory. The text of a zone
//! with conflicts is read a second time instead.

use std::io::Read;

use wire::name;

use crate::master::{self, Includes, Options, ZoneError};
use crate::store::{ConflictSearch, Part, Unfit};

/// The errors of `unfit`, each at the last of its records, with the record that it conflicts with. `source` is
/// the text of the zone, from its start.
///
/// If the text has no such record, because it has changed, the error is one of the file as a whole.
pub fn locate(
    unfit: &[Unfit],
    source: &mut dyn Read,
    options: &Options<'_>,
    includes: &dyn Includes,
) -> Vec<ZoneError> {
    let mut searches: Vec<ConflictSearch<'_>> = unfit.iter().map(ConflictSearch::new).collect();
    // For each record of a conflict: the indexes of its conflicts, and its role in each.
    let mut parts: Vec<Vec<(usize, Part)>> = Vec::new();
    // A conflict has two records at most. Reading must end even if the text has become unreadable.
    let options = Options { max_errors: 2 * unfit.len() + master::MAX_ERRORS, ..*options };
    let places = master::places(source, &options, includes, &mut |record| {
        let of = |(at, search): (usize, &mut ConflictSearch<'_>)| Some((at, search.part(record)?));
        let found: Vec<(usize, Part)> = searches.iter_mut().enumerate().filter_map(of).collect();
        let wanted = !found.is_empty();
        if wanted {
            parts.push(found);
        }
        wanted
    });
    let mut errors: Vec<ZoneError> = unfit
        .iter()
        .enumerate()
        .map(|(at, one)| error(one, at, &parts, &places, &options))
        .collect();
    // In the order of the file; those of included files in the order of reading.
    let rank = |error: &ZoneError| {
        let same = |place: &ZoneError| place.file == error.file && place.line == error.line;
        places.iter().position(same)
    };
    errors.sort_by_key(rank);
    errors
}

fn error(
    unfit: &Unfit,
    at: usize,
    parts: &[Vec<(usize, Part)>],
    places: &[ZoneError],
    options: &Options<'_>,
) -> ZoneError {
    let mut error = ZoneError { file: options.file.to_owned(), ..ZoneError::default() };
    let mut related = Vec::new();
    for (found, place) in parts.iter().zip(places) {
        for (_, part) in found.iter().filter(|(of, _)| *of == at) {
            let place = place.clone();
            match part {
                Part::Last(label) => error = ZoneError { label: (*label).to_owned(), ..place },
                Part::First(label) => {
                    related.push(ZoneError { label: (*label).to_owned(), ..place });
                }
            }
        }
    }
    // One `$GENERATE` may make both records.
    if error.line == 0
        && let Some(only) = related.pop()
    {
        error = ZoneError { label: String::new(), ..only };
    }
    let is_apex = name::eq(unfit.owner.as_wire(), options.origin.as_wire());
    error.message = unfit.to_string();
    error.help = Some(unfit.help(is_apex).to_owned());
    error.related = related;
    error
}
