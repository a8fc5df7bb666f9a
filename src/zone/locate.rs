//! Where in its file the records are that make a zone unfit.
//!
//! No record keeps its line while a zone is loaded: that would cost every zone time and memory. The
//! text of an unfit zone is read a second time instead.

use std::io::Read;

use wire::name;

use crate::master::{self, Includes, Options, ZoneError};
use crate::store::{ConflictSearch, Part, Unfit};

/// The errors of `unfit`, each at the record that is one too many; the record that it does not go with
/// is beside it. `source` is the text that the zone was read from, from its start.
///
/// What is not found, because the text is another one by now or has no such record, is an error of the
/// file as a whole.
pub fn locate(
    unfit: &[Unfit],
    source: &mut dyn Read,
    options: &Options<'_>,
    includes: &dyn Includes,
) -> Vec<ZoneError> {
    let mut searches: Vec<ConflictSearch<'_>> = unfit.iter().map(ConflictSearch::new).collect();
    // For each record with a part: in which conflicts, and which part.
    let mut parts: Vec<Vec<(usize, Part)>> = Vec::new();
    // Each conflict has two records at most, and a text that cannot be read any more has no end.
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
    // As they stand in the file; included ones in the order in which they are found.
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
    // A `$GENERATE` that makes both has one place.
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
