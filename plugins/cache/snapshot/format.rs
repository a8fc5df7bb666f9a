//! The file format of a snapshot: a header, the entries with their lengths, and a SHA-256 digest.

use wire::edns::Subnet;
use wire::{Class, Family, Message, NameBuf, Rcode, Rtype, name, rdata};

use super::super::entry::{self, Content, Entry, Extras, Facts, Key};
use super::super::partition::Partition;

/// The first octets of a file, with the version of the format.
pub(super) const MAGIC: &[u8; 16] = b"catena cache 01\n";
pub(super) const DIGEST: usize = 32;

pub(super) fn digest(octets: &[u8]) -> ring::digest::Digest {
    ring::digest::digest(&ring::digest::SHA256, octets)
}

/// Builds a snapshot.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(unix: u64, zones: &str, view: &str) -> Self {
        let mut writer = Self(MAGIC.to_vec());
        writer.0.extend_from_slice(&unix.to_be_bytes());
        for text in [zones, view] {
            writer.length_prefixed(text.as_bytes());
        }
        writer
    }

    /// Writes a length and the octets.
    fn length_prefixed(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(&(octets.len() as u32).to_be_bytes());
        self.0.extend_from_slice(octets);
    }

    pub(super) fn push(&mut self, partition: Partition, entry: &Entry, expires: i64) {
        let (key, facts) = (entry.key(), entry.facts());
        let mut inner = Self(Vec::with_capacity(128));
        let flags = [
            partition == Partition::Denial,
            facts.authoritative,
            facts.recursion_available,
            facts.authentic_data,
            facts.truncated,
            facts.answering,
            facts.scope_zero,
        ];
        let flags = flags.iter().enumerate().fold(0, |all, (at, &set)| all | u8::from(set) << at);
        let out = &mut inner.0;
        out.push(flags);
        out.push(key.bits);
        out.extend_from_slice(&facts.rcode.0.to_be_bytes());
        out.extend_from_slice(&key.qtype.0.to_be_bytes());
        out.extend_from_slice(&key.class.0.to_be_bytes());
        out.extend_from_slice(&expires.to_be_bytes());
        out.extend_from_slice(&entry.lifetime().to_be_bytes());
        for count in entry.counts() {
            out.extend_from_slice(&count.to_be_bytes());
        }
        let subnet = entry.subnet();
        out.push(subnet.map_or(0, |subnet| subnet.family as u8));
        out.push(subnet.map_or(0, |subnet| subnet.bits));
        inner.length_prefixed(subnet.as_ref().map_or(&[], Subnet::octets));
        inner.length_prefixed(key.name);
        inner.length_prefixed(entry.wildcard().unwrap_or_default().as_bytes());
        inner.length_prefixed(entry.records());
        self.length_prefixed(&inner.0);
    }

    /// Ends the entries and adds the digest. Returns the whole file.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.length_prefixed(&[]);
        let digest = digest(&self.0);
        self.0.extend_from_slice(digest.as_ref());
        self.0
    }
}

/// Reads from the front of its octets.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn word(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn length_prefixed(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(u32::from_be_bytes(self.array()?)).ok()?;
        let (octets, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(octets)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.length_prefixed()?).ok()
    }
}

/// A snapshot with a valid digest.
pub(super) struct Saved<'a> {
    pub(super) zones: &'a str,
    pub(super) view: &'a str,
    rest: Cursor<'a>,
}

impl<'a> Saved<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Result<Self, &'static str> {
        if !octets.starts_with(MAGIC) {
            return Err("it is not a snapshot of this version");
        }
        let split = octets.len().checked_sub(DIGEST).filter(|&at| at >= MAGIC.len());
        let (body, told) = split.map(|at| octets.split_at(at)).ok_or("it is truncated")?;
        if digest(body).as_ref() != told {
            return Err("its checksum does not match");
        }
        let mut rest = Cursor(&body[MAGIC.len()..]);
        let head = |rest: &mut Cursor<'a>| {
            rest.array::<8>()?;
            Some((rest.text()?, rest.text()?))
        };
        let (zones, view) = head(&mut rest).ok_or("its header is corrupt")?;
        Ok(Self { zones, view, rest })
    }

    pub(super) fn entries(&self) -> SavedEntryIter<'a> {
        SavedEntryIter { rest: self.rest, done: false }
    }
}

/// Iterates over the entries. `None` is an entry that cannot be read.
pub(super) struct SavedEntryIter<'a> {
    rest: Cursor<'a>,
    done: bool,
}

impl SavedEntryIter<'_> {
    pub(super) fn is_done(&self) -> bool {
        self.done
    }
}

impl<'a> Iterator for SavedEntryIter<'a> {
    type Item = Option<SavedEntry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        match self.rest.length_prefixed() {
            Some(octets) if !octets.is_empty() => Some(SavedEntry::read(octets)),
            _ => {
                self.done = true;
                None
            }
        }
    }
}

/// One entry in a snapshot.
pub(super) struct SavedEntry<'a> {
    pub(super) partition: Partition,
    facts: Facts,
    bits: u8,
    qtype: Rtype,
    class: Class,
    pub(super) expires: i64,
    lifetime: u32,
    counts: [u16; 3],
    pub(super) subnet: Option<Subnet>,
    name: &'a [u8],
    wildcard: &'a str,
    records: &'a [u8],
}

impl<'a> SavedEntry<'a> {
    fn read(octets: &'a [u8]) -> Option<Self> {
        let mut from = Cursor(octets);
        let [flags, bits] = from.array()?;
        let is = |at: u8| flags >> at & 1 == 1;
        let rcode = Rcode(from.word()?);
        let (qtype, class) = (Rtype(from.word()?), Class(from.word()?));
        let expires = i64::from_be_bytes(from.array()?);
        let lifetime = u32::from_be_bytes(from.array()?);
        let counts = [from.word()?, from.word()?, from.word()?];
        let [family, length] = from.array()?;
        let octets = from.length_prefixed()?;
        let subnet = match family {
            0 => None,
            1 => Some(Subnet::new(Family::V4, length, octets)?),
            2 => Some(Subnet::new(Family::V6, length, octets)?),
            _ => return None,
        };
        let saved = Self {
            partition: if is(0) { Partition::Denial } else { Partition::Success },
            facts: Facts {
                rcode,
                authoritative: is(1),
                recursion_available: is(2),
                authentic_data: is(3),
                truncated: is(4),
                answering: is(5),
                scope_zero: is(6),
                failure: false,
            },
            bits,
            qtype,
            class,
            expires,
            lifetime,
            counts,
            subnet,
            name: from.length_prefixed()?,
            wildcard: from.text()?,
            records: from.length_prefixed()?,
        };
        from.0.is_empty().then_some(saved)
    }

    pub(super) fn key(&self) -> Key<'a> {
        let key = Key::new(self.name, self.qtype, self.class, self.bits);
        self.subnet.map_or(key, |subnet| key.within(subnet))
    }

    /// The content of the entry, if all of it parses as a message. The file is trusted no more than the
    /// network.
    pub(super) fn content(&self) -> Option<Content<'a>> {
        let lower = !self.name.iter().any(u8::is_ascii_uppercase);
        let known = self.bits & !(Key::DO | Key::CD) == 0;
        if name::wire_len(self.name) != Some(self.name.len()) || !lower || !known {
            return None;
        }
        let question = wire::HEADER + self.name.len() + 4;
        let plain_len = question + self.plain_records()?;
        let wildcard = (!self.wildcard.is_empty()).then(|| self.wildcard.into());
        Some(Content {
            ttl: self.lifetime,
            facts: self.facts,
            records: self.records,
            counts: self.counts,
            plain_len: u32::try_from(plain_len).ok()?,
            own_version: 0,
            extras: Extras { wildcard, last_positive: None, subnet: self.subnet },
        })
    }

    /// The length of the records without name compression.
    fn plain_records(&self) -> Option<usize> {
        let key = (self.name, self.qtype, self.class);
        let message = entry::message(key, self.counts, self.records);
        if message.len() > wire::MAX_MESSAGE {
            return None;
        }
        let (mut owner, mut data) = (NameBuf::new(), Vec::new());
        let (mut plain, mut end) = (0, message.len() - self.records.len());
        let mut records = 0;
        for record in Message::new(&message).ok()?.records() {
            let record = record.ok()?;
            record.owner(&mut owner).ok()?;
            data.clear();
            rdata::expand(record.rtype, record.message, record.rdata_at, record.end, &mut data)
                .ok()?;
            if record.ttl != self.lifetime || record.rtype == Rtype::OPT {
                return None;
            }
            plain += owner.as_wire().len() + 10 + data.len();
            end = record.end;
            records += 1;
        }
        let told: usize = self.counts.iter().map(|&count| usize::from(count)).sum();
        (records == told && end == message.len()).then_some(plain)
    }
}
