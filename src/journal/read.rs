//! Reads a database: the snapshot, and the logs that follow it.

use std::collections::BTreeMap;
use std::sync::Arc;

use zone::{Changes, Zone};

use crate::error::Error;
use crate::log::{self, Content};
use crate::place::{Listing, Place};
use crate::snapshot;

/// What a database holds.
#[derive(Default)]
pub struct Recovered {
    /// The last version; `None` if nothing was written yet.
    pub zone: Option<Zone>,
    /// Changes that led to it, oldest first: those since the snapshot, and those of the log before.
    pub history: Vec<Changes>,
    /// What was cut off, for the log: the end of the last log is torn if the process died while it wrote.
    pub cut: Option<String>,
}

/// Where the next changes go.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    /// The number of the last log.
    pub(crate) log: u64,
    /// Octets of it that count.
    pub(crate) len: u64,
    /// Its frames.
    pub(crate) frames: u64,
    pub(crate) salt: [u8; crate::format::SALT],
    /// The serial of the last version.
    pub(crate) serial: u32,
    /// The log that begins with the snapshot.
    pub(crate) snapshot: u64,
    /// Logs that nothing needs any more, or that never came into use.
    pub(crate) useless: Vec<u64>,
}

/// Reads the files of a listing.
pub(crate) fn read(
    place: &Place,
    listing: &Listing,
) -> Result<(Recovered, Option<Position>), Error> {
    let path = place.snapshot();
    if listing.snapshot.is_none() {
        return without_snapshot(place, listing).map(|()| (Recovered::default(), None));
    }
    let snapshot::Content { mut zone, log: first } = snapshot::read(&path, &place.origin)?;
    let mut headers = BTreeMap::new();
    for (number, _) in &listing.logs {
        headers.insert(*number, log::header(&place.log(*number), *number, &place.origin)?);
    }
    if !headers.contains_key(&first) {
        return Err(Error::corrupt(&place.log(first), "it is missing"));
    }
    let mut chain = vec![first];
    let next = |log: u64| {
        let continues = |(_, header): &(&u64, &log::Header)| {
            header.continues.is_some_and(|(before, _)| before == log)
        };
        headers.iter().find(continues).map(|(number, header)| (*number, header))
    };
    let mut contents: Vec<Content> = Vec::new();
    while let Some(&number) = chain.last() {
        let counts = next(number).and_then(|(_, header)| header.continues).map(|(_, len)| len);
        let path = place.log(number);
        let content = log::read(&path, number, &place.origin, counts)?;
        let before = contents.last().map_or_else(|| zone.serial(), Content::serial);
        if content.header.serial != before {
            return Err(Error::corrupt(&path, "it does not follow what is before it"));
        }
        contents.push(content);
        if let Some((following, _)) = next(number) {
            if following <= number {
                return Err(Error::corrupt(&place.log(following), "it continues a later log"));
            }
            chain.push(following);
        } else {
            break;
        }
    }
    let mut recovered = Recovered { history: past(place, &headers, first), ..Recovered::default() };
    let mut useless = Vec::new();
    for (&number, header) in &headers {
        if number > first && !chain.contains(&number) {
            let path = place.log(number);
            let unused = log::read(&path, number, &place.origin, None)?;
            if header.continues.is_some() || !unused.changes.is_empty() {
                return Err(Error::corrupt(&path, "the snapshot that it follows is missing"));
            }
            useless.push(number);
        } else if number < first && Some(number) != before(&headers, first) {
            useless.push(number);
        }
    }
    let Some(last) = contents.last() else {
        return Err(Error::corrupt(&place.log(first), "it is missing"));
    };
    if last.torn > 0 {
        recovered.cut = Some(format!(
            "the last {} octets of `{}` are not whole changes: the process or the machine stopped \
             before they were confirmed; they are cut off",
            last.torn,
            place.log(last.header.number).display()
        ));
    }
    let position = Position {
        log: last.header.number,
        len: last.len,
        frames: last.frames,
        salt: last.header.salt,
        serial: last.serial(),
        snapshot: first,
        useless,
    };
    for content in contents {
        let path = place.log(content.header.number);
        for changes in content.changes {
            zone =
                Arc::new(zone).apply(&changes).map_err(|refused| Error::corrupt(&path, refused))?;
            recovered.history.push(changes);
        }
    }
    recovered.zone = Some(zone);
    Ok((recovered, Some(position)))
}

/// Logs without a snapshot are those of a database that was never begun.
fn without_snapshot(place: &Place, listing: &Listing) -> Result<(), Error> {
    for (number, _) in &listing.logs {
        let content = log::read(&place.log(*number), *number, &place.origin, None)?;
        if content.header.continues.is_some() || !content.changes.is_empty() {
            return Err(Error::corrupt(
                &place.snapshot(),
                "it is missing, and there are changes to it",
            ));
        }
    }
    Ok(())
}

/// The log that ends where the snapshot begins.
fn before(headers: &BTreeMap<u64, log::Header>, first: u64) -> Option<u64> {
    headers.get(&first)?.continues.map(|(before, _)| before)
}

/// The changes of the log before the snapshot, which only transfers need: none if they cannot be read.
fn past(place: &Place, headers: &BTreeMap<u64, log::Header>, first: u64) -> Vec<Changes> {
    let Some((before, len)) = headers.get(&first).and_then(|header| header.continues) else {
        return Vec::new();
    };
    let read = log::read(&place.log(before), before, &place.origin, Some(len));
    read.map(|content| content.changes).unwrap_or_default()
}
