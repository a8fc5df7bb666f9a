//! The order in which entries have to go: lists through their places.

/// No place.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) hash: u64,
    /// Index of its space in [`Spaces::list`].
    pub(super) space: u32,
    pub(super) queue: Queue,
    /// Neighbours in the line of all, and in that of the space.
    pub(super) all: Links,
    pub(super) own: Links,
}

#[derive(Clone, Copy)]
pub(super) struct Links {
    newer: u32,
    older: u32,
}

pub(super) const ALONE: Links = Links { newer: NONE, older: NONE };

/// Where in its life an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// New, and not asked for since.
    Probation = 0,
    /// Asked for again.
    Resident = 1,
}

/// A line from its newest to its oldest member.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) newest: u32,
    pub(super) oldest: u32,
    pub(super) len: usize,
}

pub(super) type Lines = [Line; 2];

pub(super) const EMPTY: Lines = [Line { newest: NONE, oldest: NONE, len: 0 }; 2];

/// Who is next to go: the oldest on probation, unless less than a tenth are.
pub(super) fn oldest(lines: &Lines) -> Option<u32> {
    let [probation, resident] = lines;
    let on_probation = probation.len * 10 > count(lines) || resident.len == 0;
    let line = if on_probation { probation } else { resident };
    (line.oldest != NONE).then_some(line.oldest)
}

pub(super) fn count(lines: &Lines) -> usize {
    lines[0].len + lines[1].len
}

pub(super) fn push(
    line: &mut Line,
    places: &mut [Place],
    at: u32,
    links: fn(&mut Place) -> &mut Links,
) {
    *links(&mut places[at as usize]) = Links { newer: NONE, older: line.newest };
    match line.newest {
        NONE => line.oldest = at,
        second => links(&mut places[second as usize]).newer = at,
    }
    line.newest = at;
    line.len += 1;
}

pub(super) fn unlink(
    line: &mut Line,
    places: &mut [Place],
    at: u32,
    links: fn(&mut Place) -> &mut Links,
) {
    let Links { newer, older } = *links(&mut places[at as usize]);
    match newer {
        NONE => line.newest = older,
        newer => links(&mut places[newer as usize]).older = older,
    }
    match older {
        NONE => line.oldest = newer,
        older => links(&mut places[older as usize]).newer = newer,
    }
    line.len -= 1;
}
