//! Reading the records of a message where they lie.

use crate::name::{self, NameBuf};
use crate::{Class, HEADER, Malformed, Rtype};

/// The three sections of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who is responsible, or why there is no answer.
    Authority,
    /// What helps to use the rest.
    Additional,
}

impl Section {
    /// All sections in the order of the message.
    pub const ALL: [Self; 3] = [Self::Answer, Self::Authority, Self::Additional];
}

/// One record inside a message.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The whole message: names may point into it.
    pub message: &'a [u8],
    /// Where the record is listed.
    pub section: Section,
    /// Offset of the owner name.
    pub start: usize,
    /// Type.
    pub rtype: Rtype,
    /// Class.
    pub class: Class,
    /// Time to live in seconds.
    pub ttl: u32,
    /// Offset of the four TTL bytes.
    pub ttl_at: usize,
    /// Offset of the RDATA.
    pub rdata_at: usize,
    /// Offset behind the RDATA.
    pub end: usize,
}

impl<'a> Record<'a> {
    /// The RDATA as it lies there, compressed names and all.
    pub fn rdata(&self) -> &'a [u8] {
        &self.message[self.rdata_at..self.end]
    }

    /// Reads the owner name.
    pub fn owner(&self, into: &mut NameBuf) -> Result<(), Malformed> {
        name::read(self.message, self.start, into).map(drop)
    }

    /// Whether its owner is written as a pointer to the question's name, as most are.
    #[inline]
    pub fn is_of_question(&self) -> bool {
        self.owner_pointer() == Some(HEADER)
    }

    /// Where its owner points to, if it is nothing but a pointer.
    #[inline]
    pub(crate) fn owner_pointer(&self) -> Option<usize> {
        let &[high, low] = self.message.get(self.start..)?.first_chunk()?;
        (high >= 0xC0).then(|| usize::from(high & 0x3F) << 8 | usize::from(low))
    }

    /// Reads the record that starts at `at`.
    pub fn read(message: &'a [u8], at: usize, section: Section) -> Result<Self, Malformed> {
        let fixed = name::skip(message, at)?;
        let head: &[u8; 10] =
            message.get(fixed..).and_then(|rest| rest.first_chunk()).ok_or(Malformed)?;
        let rdata_at = fixed + 10;
        let end = rdata_at + usize::from(u16::from_be_bytes([head[8], head[9]]));
        if end > message.len() {
            return Err(Malformed);
        }
        Ok(Self {
            message,
            section,
            start: at,
            rtype: Rtype(u16::from_be_bytes([head[0], head[1]])),
            class: Class(u16::from_be_bytes([head[2], head[3]])),
            ttl: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            ttl_at: fixed + 4,
            rdata_at,
            end,
        })
    }
}

/// A read-only view of a whole message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes `bytes` as a message; they must at least hold a header.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() < HEADER { Err(Malformed) } else { Ok(Self { bytes }) }
    }

    /// The bytes of the message.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The message ID.
    pub fn id(&self) -> u16 {
        self.word(0)
    }

    /// The sixteen bits of flags, opcode and rcode.
    pub fn flags(&self) -> u16 {
        self.word(2)
    }

    /// QDCOUNT, ANCOUNT, NSCOUNT and ARCOUNT.
    pub fn counts(&self) -> [u16; 4] {
        [self.word(4), self.word(6), self.word(8), self.word(10)]
    }

    /// Where the question section ends.
    pub fn questions_end(&self) -> Result<usize, Malformed> {
        let mut at = HEADER;
        for _ in 0..self.word(4) {
            at = name::skip(self.bytes, at)? + 4;
            if at > self.bytes.len() {
                return Err(Malformed);
            }
        }
        Ok(at)
    }

    /// The records of all sections; ends after the first malformed one.
    pub fn records(&self) -> Records<'a> {
        match self.questions_end() {
            Ok(at) => Records::new(self.bytes, at, [self.word(6), self.word(8), self.word(10)]),
            Err(_) => {
                Records { broken: true, ..Records::new(self.bytes, self.bytes.len(), [0; 3]) }
            }
        }
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }
}

/// Walks records; yields one error and ends when the bytes break off.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    message: &'a [u8],
    at: usize,
    left: [u16; 3],
    broken: bool,
}

impl<'a> Records<'a> {
    /// Records that start at `at`, `left` of them in each section.
    pub fn new(message: &'a [u8], at: usize, left: [u16; 3]) -> Self {
        Self { message, at, left, broken: false }
    }

    /// Where the next record would start.
    pub fn position(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            self.broken = false;
            self.left = [0; 3];
            return Some(Err(Malformed));
        }
        let index = self.left.iter().position(|&left| left > 0)?;
        self.left[index] -= 1;
        match Record::read(self.message, self.at, Section::ALL[index]) {
            Ok(record) => {
                self.at = record.end;
                Some(Ok(record))
            }
            Err(broken) => {
                self.left = [0; 3];
                Some(Err(broken))
            }
        }
    }
}
