//! Writes a database. Only the process that has the lock does.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use files::{Appender, Lock, PRIVATE};
use zone::Zone;

use crate::error::{Error, Kind};
use crate::format::{self, SALT};
use crate::log::{self, Header};
use crate::place::{Listing, Place};
use crate::read::{self, Position, Recovered};
use crate::snapshot;

/// The files of a database, open for writing.
pub(crate) struct Disk {
    place: Place,
    log: Option<Log>,
    /// Octets of each log.
    logs: BTreeMap<u64, u64>,
    /// The log that begins with the snapshot, and the octets of the snapshot.
    snapshot: Option<(u64, u64)>,
    /// The highest number that a log may have on the disk.
    highest: u64,
    lock: Lock,
}

/// The last log.
struct Log {
    file: Appender,
    number: u64,
    salt: [u8; SALT],
    frames: u64,
    /// The serial of the last version.
    serial: u32,
    /// Whether the next changes can follow. Otherwise its end is unknown, and they need a new log.
    is_sound: bool,
}

impl Disk {
    /// Takes the database for writing, and cuts a torn end off. Returns what it holds, if that is not
    /// what `known` lists.
    pub(crate) fn claim(
        place: &Place,
        known: &Listing,
        position: Option<&Position>,
    ) -> Result<(Self, Option<Recovered>), Error> {
        let directory = &place.directory;
        files::make_private_directory(directory)
            .map_err(|error| Error::system("make the directory", directory, &error))?;
        let path = place.lock();
        let lock = Lock::take(&path).map_err(|error| Error::system("lock", &path, &error))?;
        let lock = lock.ok_or_else(|| {
            let message =
                format!("`{}` is locked: another process writes this zone", path.display());
            Error::new(Kind::InUse, message)
        })?;
        // A server that is killed again and again while it writes snapshots must not fill the disk.
        files::remove_left_behind(&place.snapshot(), &lock);
        let listing = place.listing()?;
        let (again, position) = if listing == *known {
            (None, position.cloned())
        } else {
            let (recovered, position) = read::read(place, &listing)?;
            (Some(recovered), position)
        };
        let logs = listing.logs.iter().map(|(number, stamp)| (*number, stamp.size())).collect();
        let highest = listing.logs.last().map_or(0, |(number, _)| *number);
        let mut disk =
            Self { place: place.clone(), log: None, logs, snapshot: None, highest, lock };
        match position {
            Some(position) => disk.resume(&position, &listing)?,
            // Of a database that was never begun, or whose removal did not come to its end.
            None => disk.remove_logs(|_| true),
        }
        if listing.is_removed && (disk.log.is_some() || disk.logs.is_empty()) {
            remove(&place.removed());
        }
        Ok((disk, again))
    }

    fn resume(&mut self, position: &Position, listing: &Listing) -> Result<(), Error> {
        let path = self.place.log(position.log);
        let mut file =
            Appender::open(&path).map_err(|error| Error::system("open", &path, &error))?;
        if file.len() > position.len {
            file.cut(position.len).map_err(|error| Error::system("cut", &path, &error))?;
        }
        self.logs.insert(position.log, position.len);
        self.snapshot = listing.snapshot.map(|stamp| (position.snapshot, stamp.size()));
        self.remove_logs(|number| position.useless.contains(&number));
        self.log = Some(Log {
            file,
            number: position.log,
            salt: position.salt,
            frames: position.frames,
            serial: position.serial,
            is_sound: true,
        });
        Ok(())
    }

    /// The serial of the last version on the disk.
    pub(crate) fn serial(&self) -> Option<u32> {
        self.log.as_ref().map(|log| log.serial)
    }

    /// Octets of all files.
    pub(crate) fn size(&self) -> u64 {
        self.logs.values().sum::<u64>() + self.snapshot_size()
    }

    /// Octets of the snapshot.
    pub(crate) fn snapshot_size(&self) -> u64 {
        self.snapshot.map_or(0, |(_, size)| size)
    }

    /// Octets of the logs that a reader applies to the snapshot.
    pub(crate) fn log_size(&self) -> u64 {
        let first = self.snapshot.map_or(0, |(first, _)| first);
        self.logs.range(first..).map(|(_, size)| size).sum()
    }

    /// Appends changes that lead to `serial`, and brings them to the disk.
    pub(crate) fn append(&mut self, body: &[u8], serial: u32) -> Result<(), Error> {
        if self.log.as_ref().is_some_and(|log| !log.is_sound) {
            self.rotate()?;
        }
        let Some(log) = &mut self.log else {
            return Err(Error::new(
                Kind::Unclaimed,
                "there is no version that changes could follow",
            ));
        };
        let frame = log::seal(body, &log.salt, log.frames)?;
        if let Err(failed) = log.file.append(&frame) {
            log.is_sound = failed.is_clean;
            let path = self.place.log(log.number);
            return Err(Error::system("write to", &path, &failed.error));
        }
        log.frames += 1;
        log.serial = serial;
        self.logs.insert(log.number, log.file.len());
        Ok(())
    }

    /// Starts a new log that continues the last one. Returns its number.
    pub(crate) fn rotate(&mut self) -> Result<u64, Error> {
        let Some(log) = &mut self.log else {
            return Err(Error::new(Kind::Unclaimed, "there is no log to continue"));
        };
        // If this fails half way, the new log may be there and say how much of the last one counts: no
        // more may be added to that.
        log.is_sound = false;
        let header = Header {
            number: log.number + 1,
            continues: Some((log.number, log.file.len())),
            serial: log.serial,
            salt: new_salt()?,
        };
        let number = header.number;
        self.log = Some(self.create_log(&header)?);
        Ok(number)
    }

    /// Begins anew with a version that does not follow from the last one.
    ///
    /// On an error the old version may be on the disk or the new one: the database must be claimed again.
    pub(crate) fn replace(&mut self, zone: &Zone) -> Result<(), Error> {
        let number = self.highest + 1;
        let header = Header { number, continues: None, serial: zone.serial(), salt: new_salt()? };
        let log = self.create_log(&header)?;
        let size = write_snapshot(&self.place, zone, number)?;
        self.log = Some(log);
        self.snapshot = Some((number, size));
        self.remove_logs(|other| other < number);
        // The time of the lock is that of the beginning. Only a warning depends on it.
        let _ = self.lock.touch();
        Ok(())
    }

    /// Notes that the snapshot with this log is on the disk: older logs are of no use, but for the one
    /// before, which transfers may need.
    pub(crate) fn snapshot_written(&mut self, log: u64, size: u64) {
        self.snapshot = Some((log, size));
        let before = self.logs.range(..log).next_back().map(|(number, _)| *number);
        let most = 2 * size.max(LEAST_PAST);
        let kept = before.filter(|number| self.logs.get(number).is_some_and(|&len| len <= most));
        self.remove_logs(|other| other < log && Some(other) != kept);
    }

    fn create_log(&mut self, header: &Header) -> Result<Log, Error> {
        let path = self.place.log(header.number);
        self.highest = self.highest.max(header.number);
        let octets = header.write(&self.place.origin);
        files::replace_with(&path, PRIVATE, |file| file.write_all(&octets))
            .and_then(|()| files::sync_directory(&self.place.directory))
            .map_err(|error| Error::system("write", &path, &error))?;
        let file = Appender::open(&path).map_err(|error| Error::system("open", &path, &error))?;
        self.logs.insert(header.number, file.len());
        Ok(Log {
            file,
            number: header.number,
            salt: header.salt,
            frames: 0,
            serial: header.serial,
            is_sound: true,
        })
    }

    /// Removes logs. One that stays is removed another time.
    fn remove_logs(&mut self, is_useless: impl Fn(u64) -> bool) {
        let place = &self.place;
        self.logs.retain(|&number, _| !is_useless(number) || !remove(&place.log(number)));
    }

    /// Removes all files of the database but the lock.
    pub(crate) fn remove_all(&mut self) -> Result<(), Error> {
        let (path, removed) = (self.place.snapshot(), self.place.removed());
        self.log = None;
        // Under its other name the snapshot says that logs without it are no damage.
        if self.snapshot.take().is_some() {
            std::fs::rename(&path, &removed)
                .and_then(|()| files::sync_directory(&self.place.directory))
                .map_err(|error| Error::system("remove", &path, &error))?;
        }
        self.remove_logs(|_| true);
        if self.logs.is_empty() {
            files::sync_directory(&self.place.directory)
                .map_err(|error| Error::system("remove", &path, &error))?;
            remove(&removed);
        }
        Ok(())
    }
}

/// A log before the snapshot is kept if it has at most twice the octets of the snapshot, or of this.
const LEAST_PAST: u64 = 1 << 20;

fn remove(path: &Path) -> bool {
    match std::fs::remove_file(path) {
        Ok(()) => true,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn new_salt() -> Result<[u8; SALT], Error> {
    format::salt().ok_or_else(|| Error::new(Kind::System, "the system gives no random numbers"))
}

/// Writes the snapshot that begins the log with this number. Returns its octets.
pub(crate) fn write_snapshot(place: &Place, zone: &Zone, log: u64) -> Result<u64, Error> {
    let path = place.snapshot();
    let mut size = 0;
    files::replace_with(&path, PRIVATE, |file| {
        let mut counted = Counted { out: BufWriter::with_capacity(64 << 10, file), len: 0 };
        snapshot::write(zone, log, &mut counted)?;
        size = counted.len;
        counted.out.flush()
    })
    .and_then(|()| files::sync_directory(&place.directory))
    .map_err(|error| Error::system("write", &path, &error))?;
    Ok(size)
}

/// Counts the octets that are written.
struct Counted<W> {
    out: W,
    len: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(octets)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
