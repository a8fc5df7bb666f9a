//! Reads a database: the snapshot, and the logs that follow it.

use std::collections::BTreeMap;
use std::sync::Arc;

use zone::{Changes, Zone};

use crate::error::Error;
use crate::log::{self, Content};
use crate::place::{Listing, Place};
use crate::snapshot;

/// Files are read this often at most while they change. A process that writes replaces a snapshot after
/// megabytes of changes only.
const MAX_TRIES: u32 = 8;

/// What a database holds.
#[derive(Default)]
pub struct Recovered {
    /// The last version; `None` if nothing was written yet.
    pub zone: Option<Zone>,
    /// Changes that led to it, oldest first: those since the snapshot, and those of the log before.
    pub history: Vec<Changes>,
    /// What was left out, for the log: the end of the last log is torn if the process died while it wrote,
    /// or is writing now.
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

/// Reads the files that there are, which another process may be writing: if they change meanwhile, what was
/// found does not fit together, and they are read again.
///
/// # Errors
/// Those of `read`.
pub(crate) fn beside_a_writer<T>(
    place: &Place,
    mut read: impl FnMut(&Listing) -> Result<T, Error>,
) -> Result<(Listing, T), Error> {
    let mut listing = place.listing()?;
    let mut tries = MAX_TRIES;
    loop {
        tries -= 1;
        let failed = match read(&listing) {
            Ok(found) => return Ok((listing, found)),
            Err(error) => error,
        };
        let now = place.listing()?;
        if now == listing || tries == 0 {
            return Err(failed);
        }
        listing = now;
    }
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
            "the last {} octets of `{}` are not whole changes: they were not confirmed before the \
             process or the machine stopped, or are being written now; they are left out",
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

/// Logs without a snapshot are those of a database that was never begun, or that was being removed.
fn without_snapshot(place: &Place, listing: &Listing) -> Result<(), Error> {
    if listing.is_removed {
        return Ok(());
    }
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn files_that_change_meanwhile_are_read_again() {
        let folder: PathBuf =
            std::env::temp_dir().join(format!("catena-beside-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let place = Place::new(&folder, &wire::Name::from_text("zone.test.").unwrap());
        let damaged = || Error::corrupt(&place.snapshot(), "it is being replaced");
        // As often as the files change.
        let mut reads = 0u64;
        let (listing, found) = beside_a_writer(&place, |listing| {
            reads += 1;
            if reads < 4 {
                std::fs::write(place.log(reads), "").unwrap();
                return Err(damaged());
            }
            Ok(listing.logs.len())
        })
        .unwrap();
        assert_eq!((reads, found, listing), (4, 3, place.listing().unwrap()));
        // Once if they do not.
        reads = 0;
        let failed = beside_a_writer(&place, |_| -> Result<(), Error> {
            reads += 1;
            Err(damaged())
        });
        assert_eq!((reads, failed.err().unwrap().kind()), (1, Kind::Corrupt));
        // Not for ever.
        let failed = beside_a_writer(&place, |_| -> Result<(), Error> {
            reads += 1;
            std::fs::write(place.log(reads + 10), "").unwrap();
            Err(damaged())
        });
        assert_eq!(
            (reads, failed.err().unwrap().kind()),
            (1 + u64::from(MAX_TRIES), Kind::Corrupt)
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
