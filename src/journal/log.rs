//! A log: a header, then frames of changes that were synced together.

use std::io::Read;
use std::path::Path;

use wire::Name;
use zone::{Changes, RecordList};

use crate::error::{Error, Kind};
use crate::format::{self, Fields, SALT, SUM};

const MAGIC: &[u8; 8] = b"CATLOG1\n";
/// Octets of a frame's mark, which are the first ones of the log's random number.
const MARK: usize = 8;
/// Octets of a frame before its changes: the mark, the length of the changes, the number of the frame.
const FRAME_HEAD: usize = MARK + 4 + 8;
/// Octets of all logs of a zone that are read at most.
const MAX_LOG: u64 = 4 << 30;
/// Octets of a header at most.
const MAX_HEADER: u64 = 512;

/// The header of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The number of this log.
    pub(crate) number: u64,
    /// The log that this one continues, and how much of that log counts; `None` if this one begins with a
    /// snapshot of its own.
    pub(crate) continues: Option<(u64, u64)>,
    /// The serial of the version that the first changes begin with.
    pub(crate) serial: u32,
    pub(crate) salt: [u8; SALT],
}

impl Header {
    pub(crate) fn write(&self, origin: &Name) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.number.to_be_bytes());
        let (before, len) = self.continues.unwrap_or_default();
        out.push(u8::from(self.continues.is_some()));
        out.extend_from_slice(&before.to_be_bytes());
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&self.serial.to_be_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(origin.as_wire());
        out.extend_from_slice(&format::sum(&[&out]));
        out
    }

    fn read(fields: &mut Fields<'_>, whole: &[u8], origin: &Name) -> Result<Self, &'static str> {
        let (header, name) = Self::fields(fields).ok_or("it has no whole header")?;
        let len = whole.len() - fields.0.len();
        let sum: [u8; SUM] = fields.array().ok_or("it has no whole header")?;
        if &whole[..MAGIC.len()] != MAGIC || sum != format::sum(&[&whole[..len]]) {
            return Err("its header is not the one that was written");
        }
        if name != origin.as_wire() {
            return Err("it belongs to another zone");
        }
        Ok(header)
    }

    fn fields<'a>(fields: &mut Fields<'a>) -> Option<(Self, &'a [u8])> {
        fields.take(MAGIC.len())?;
        let number = fields.u64()?;
        let continues = fields.u8()? != 0;
        let before = (fields.u64()?, fields.u64()?);
        let (serial, salt) = (fields.u32()?, fields.array()?);
        Some((
            Self { number, continues: continues.then_some(before), serial, salt },
            fields.name()?,
        ))
    }
}

/// The content of a log.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) header: Header,
    pub(crate) changes: Vec<Changes>,
    /// Number of frames.
    pub(crate) frames: u64,
    /// Octets up to the end of the last whole frame.
    pub(crate) len: u64,
    /// Octets behind that.
    pub(crate) torn: u64,
}

impl Content {
    /// The serial of the version after the last changes.
    pub(crate) fn serial(&self) -> u32 {
        self.changes.last().and_then(Changes::to_serial).unwrap_or(self.header.serial)
    }
}

/// Reads the header of a log.
pub(crate) fn header(path: &Path, number: u64, origin: &Name) -> Result<Header, Error> {
    let failed = |error| Error::system("read", path, &error);
    let mut octets = Vec::new();
    let file = files::open(path, MAX_LOG).map_err(failed)?;
    file.take(MAX_HEADER).read_to_end(&mut octets).map_err(failed)?;
    parse_header(&mut Fields(&octets), &octets, path, number, origin)
}

fn parse_header(
    fields: &mut Fields<'_>,
    octets: &[u8],
    path: &Path,
    number: u64,
    origin: &Name,
) -> Result<Header, Error> {
    let header = Header::read(fields, octets, origin).map_err(|why| Error::corrupt(path, why))?;
    if header.number != number {
        return Err(Error::corrupt(path, format_args!("it is log {}", header.number)));
    }
    Ok(header)
}

/// Reads a log. Of one that another continues, `counts` octets count.
pub(crate) fn read(
    path: &Path,
    number: u64,
    origin: &Name,
    counts: Option<u64>,
) -> Result<Content, Error> {
    let mut octets =
        files::read(path, MAX_LOG).map_err(|error| Error::system("read", path, &error))?;
    if let Some(counts) = counts {
        let whole = usize::try_from(counts).ok().filter(|&len| len <= octets.len());
        let Some(len) = whole else {
            return Err(Error::corrupt(path, format_args!("it ends before octet {counts}")));
        };
        octets.truncate(len);
    }
    let mut fields = Fields(&octets);
    let header = parse_header(&mut fields, &octets, path, number, origin)?;
    let mut content = Content { header, changes: Vec::new(), frames: 0, len: 0, torn: 0 };
    let mut serial = content.header.serial;
    loop {
        content.len = (octets.len() - fields.0.len()) as u64;
        if fields.0.is_empty() {
            return Ok(content);
        }
        let rest = fields.0;
        let salt = &content.header.salt;
        let Some(body) = frame(&mut fields, salt, content.frames) else {
            if counts.is_some() || has_frame_behind(rest, salt, content.frames) {
                let at = content.len;
                return Err(Error::corrupt(
                    path,
                    format_args!("the changes at octet {at} are not those that were written"),
                ));
            }
            content.torn = rest.len() as u64;
            return Ok(content);
        };
        let whole = changes(body, &mut serial, &mut content.changes);
        if whole.is_none() {
            let at = content.len;
            return Err(Error::corrupt(
                path,
                format_args!("the changes at octet {at} do not follow those before"),
            ));
        }
        content.frames += 1;
    }
}

/// Takes the next frame; `None` if it is not whole.
fn frame<'a>(fields: &mut Fields<'a>, salt: &[u8; SALT], number: u64) -> Option<&'a [u8]> {
    let head = fields.take(FRAME_HEAD)?;
    let mut read = Fields(head);
    let mark = read.take(MARK)?;
    let len = read.u32()? as usize;
    if mark != &salt[..MARK] || read.u64()? != number {
        return None;
    }
    let body = fields.take(len)?;
    (fields.array()? == format::sum(&[salt, head, body])).then_some(body)
}

/// Whether a whole frame with a higher number follows somewhere: what is not whole before it was
/// confirmed once. Frames are written one after the other, so a torn one is the last.
fn has_frame_behind(rest: &[u8], salt: &[u8; SALT], number: u64) -> bool {
    (1..rest.len().saturating_sub(FRAME_HEAD)).any(|at| {
        let mut fields = Fields(&rest[at..]);
        if !fields.0.starts_with(&salt[..MARK]) {
            return false;
        }
        let found = fields.0[MARK + 4..].first_chunk().map(|octets| u64::from_be_bytes(*octets));
        found.is_some_and(|found| found > number && frame(&mut fields, salt, found).is_some())
    })
}

/// Reads the changes of a frame.
fn changes(body: &[u8], serial: &mut u32, into: &mut Vec<Changes>) -> Option<()> {
    let mut fields = Fields(body);
    while !fields.0.is_empty() {
        let (from, to) = (fields.u32()?, fields.u32()?);
        let (removed, added) = (fields.u32()? as usize, fields.u32()? as usize);
        let removed = RecordList::from_wire(fields.take(removed)?.to_vec())?;
        let added = RecordList::from_wire(fields.take(added)?.to_vec())?;
        let changes = Changes::of(removed, added);
        let chained = from == *serial
            && changes.from_serial() == Some(from)
            && changes.to_serial() == Some(to);
        if !chained {
            return None;
        }
        into.push(changes);
        *serial = to;
    }
    Some(())
}

/// Appends changes to the body of a frame.
pub(crate) fn push(body: &mut Vec<u8>, changes: &Changes) -> Result<(u32, u32), Error> {
    let (removed, added) = (changes.removed().as_wire(), changes.added().as_wire());
    let lengths = u32::try_from(removed.len()).ok().zip(u32::try_from(added.len()).ok());
    let serials = changes.from_serial().zip(changes.to_serial());
    let (Some((removed_len, added_len)), Some((from, to))) = (lengths, serials) else {
        return Err(Error::new(Kind::Unchained, "changes without a SOA record cannot be kept"));
    };
    for number in [from, to, removed_len, added_len] {
        body.extend_from_slice(&number.to_be_bytes());
    }
    body.extend_from_slice(removed);
    body.extend_from_slice(added);
    Ok((from, to))
}

/// Makes a frame of a body.
pub(crate) fn seal(body: &[u8], salt: &[u8; SALT], number: u64) -> Result<Vec<u8>, Error> {
    let len = u32::try_from(body.len()).map_err(|_| {
        Error::new(Kind::Busy, "these changes are larger than a log can have at once")
    })?;
    let mut out = Vec::with_capacity(FRAME_HEAD + body.len() + SUM);
    out.extend_from_slice(&salt[..MARK]);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    let sum = format::sum(&[salt, &out, body]);
    out.extend_from_slice(body);
    out.extend_from_slice(&sum);
    Ok(out)
}
