//! Adds records to a reply.
//!
//! Records of a section follow each other in a message. A record for a section that has later ones
//! behind it is therefore inserted before those, which are written anew. Records in order, as nearly
//! all are, are appended.

use super::Reply;
use crate::name;
use crate::record::Section;
use crate::{Class, HEADER, MAX_MESSAGE, Rdata};

/// A record to write. Names in it are uncompressed.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Owner.
    pub owner: &'a [u8],
    /// Class.
    pub class: Class,
    /// Time to live in seconds.
    pub ttl: u32,
    /// RDATA.
    pub rdata: Rdata<'a>,
}

impl<'a> NewRecord<'a> {
    /// A record of class IN.
    #[inline]
    pub const fn new(owner: &'a [u8], ttl: u32, rdata: Rdata<'a>) -> Self {
        Self { owner, class: Class::IN, ttl, rdata }
    }

    /// The same record in another class.
    #[inline]
    #[must_use]
    pub const fn class(self, class: Class) -> Self {
        Self { class, ..self }
    }
}

impl Reply {
    /// Adds a record of the question's name and class IN to the answer section.
    #[inline]
    pub fn answer(&mut self, ttl: u32, rdata: Rdata<'_>) {
        let owner = Owner::Question { len: self.question_name().len() };
        self.write(Section::Answer, owner, Class::IN, ttl, rdata);
    }

    /// Adds a record to a section, compressing its names. A record that does not fit the largest
    /// message is dropped and marks the reply truncated.
    pub fn push(&mut self, section: Section, record: NewRecord<'_>) {
        let NewRecord { owner, class, ttl, rdata } = record;
        let owner = if name::eq(owner, self.question_name()) {
            Owner::Question { len: owner.len() }
        } else {
            Owner::Name(owner)
        };
        self.write(section, owner, class, ttl, rdata);
    }

    /// Adds ready-made records: `lead`, the start of the first owner where that is no pointer, and
    /// `bytes`. Compression pointers in them must be right for this message, whose question name is at
    /// offset 12; `plain_len` is their length without compression.
    ///
    /// Returns the offset of `bytes`. Records that do not fit the largest message are dropped and mark
    /// the reply truncated.
    #[inline]
    pub fn push_raw(
        &mut self,
        section: Section,
        lead: &[u8],
        bytes: &[u8],
        count: u16,
        plain_len: usize,
    ) -> Option<usize> {
        if !self.ends_in(section) {
            return self
                .insert(section, |reply| reply.push_raw(section, lead, bytes, count, plain_len));
        }
        if !self.has_room(lead.len() + bytes.len()) {
            return None;
        }
        self.buf.extend_from_slice(lead);
        let start = self.buf.len();
        self.buf.extend_from_slice(bytes);
        self.counts[section as usize] += count;
        self.plain_len += plain_len as u32;
        self.written = true;
        Some(start)
    }

    /// The bytes from `start` on, to set pointers of ready-made records right.
    #[inline]
    pub fn raw_mut(&mut self, start: usize, len: usize) -> &mut [u8] {
        &mut self.buf[start..start + len]
    }

    /// Whether no later section has records.
    #[inline]
    pub(super) fn ends_in(&self, section: Section) -> bool {
        match section {
            Section::Answer => self.counts[1] == 0 && self.counts[2] == 0,
            Section::Authority => self.counts[2] == 0,
            Section::Additional => true,
        }
    }

    /// Whether `len` more octets fit; if not, the reply is truncated.
    #[inline]
    fn has_room(&mut self, len: usize) -> bool {
        let fits = self.buf.len() + len <= MAX_MESSAGE;
        self.truncated |= !fits;
        fits
    }

    /// Lets `write` add records to a section that later ones follow: these are taken out and added
    /// again behind them. What is before them keeps its place.
    #[cold]
    fn insert<T>(&mut self, section: Section, write: impl FnOnce(&mut Self) -> T) -> T {
        let mut later = self.drafts();
        later.retain(|draft| draft.section > section);
        for behind in [Section::Additional, Section::Authority] {
            if behind > section {
                self.drop_section(behind);
            }
        }
        let written = write(self);
        later.iter().for_each(|draft| self.push_draft(draft));
        written
    }

    /// The name in the question section.
    #[inline]
    fn question_name(&self) -> &[u8] {
        &self.buf[HEADER..(self.question_end - 4).max(HEADER)]
    }

    #[inline]
    fn write(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        class: Class,
        ttl: u32,
        rdata: Rdata<'_>,
    ) {
        if !self.ends_in(section) {
            return self.insert(section, |reply| reply.write(section, owner, class, ttl, rdata));
        }
        let plain_len = owner.len() + 10 + rdata.len();
        if !self.has_room(plain_len) {
            return;
        }
        let Self { buf, compressor, .. } = self;
        let mut write_name = |buf: &mut Vec<u8>, name: &[u8]| {
            if compressor.is_empty() {
                compressor.remember(buf, HEADER);
            }
            compressor.write(buf, name);
        };
        match owner {
            // RFC 1035 section 4.1.4: a pointer is two octets; the root is shorter.
            Owner::Question { len: 0 | 1 } => buf.push(0),
            Owner::Question { .. } => buf.extend_from_slice(&[0xC0, HEADER as u8]),
            Owner::Name(name) => write_name(buf, name),
        }
        let mut head = [0; 10];
        head[..2].copy_from_slice(&rdata.rtype().0.to_be_bytes());
        head[2..4].copy_from_slice(&class.0.to_be_bytes());
        head[4..8].copy_from_slice(&ttl.to_be_bytes());
        buf.extend_from_slice(&head);
        let start = buf.len();
        rdata.write_with(buf, write_name);
        let rdata_len = (buf.len() - start) as u16;
        buf[start - 2..start].copy_from_slice(&rdata_len.to_be_bytes());
        self.counts[section as usize] += 1;
        self.plain_len += plain_len as u32;
        self.written = true;
    }
}

/// The owner of a record to write.
#[derive(Clone, Copy)]
enum Owner<'a> {
    /// The question's name, of this length.
    Question { len: usize },
    /// Any name.
    Name(&'a [u8]),
}

impl Owner<'_> {
    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Question { len } => *len,
            Self::Name(name) => name.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::tests::question;
    use crate::{Message, Name, NameBuf, Request, Rtype, name, rdata};

    const QUESTION: &str = "WwW.Example.org.";
    const NAMES: [&[u8]; 6] = [
        name!("www.example.org."),
        name!("example.org."),
        name!("."),
        name!("a.b.www.example.org."),
        name!("host.example.net."),
        name!("b.host.example.net."),
    ];

    /// One step: a section, which names, and which kind of record.
    type Step = (usize, usize, usize, u8);

    /// Section, owner, type, TTL and uncompressed RDATA, in lower case.
    type Plain = (Section, Vec<u8>, Rtype, u32, Vec<u8>);

    fn kind(step: Step) -> Rdata<'static> {
        let (_, _, other, kind) = step;
        let name = NAMES[other];
        match kind {
            0 => Rdata::A([192, 0, 2, other as u8].into()),
            1 => Rdata::Cname(name),
            2 => Rdata::Mx { preference: 10, exchange: name },
            3 => Rdata::Srv { priority: 1, weight: 2, port: 3, target: name },
            4 => Rdata::Soa {
                mname: name,
                rname: NAMES[0],
                serial: 1,
                refresh: 2,
                retry: 3,
                expire: 4,
                minimum: 5,
            },
            _ => Rdata::Txt(&[b'x'; 300]),
        }
    }

    /// Does the step, and what must be found afterwards.
    fn step(step: Step, ttl: u32, reply: &mut Reply) -> Plain {
        let (section, owner, _, kind_of) = step;
        let section = Section::ALL[section];
        let asked = NAMES[0];
        match kind_of {
            // Ready-made records, with and without a label before the pointer.
            6 | 7 => {
                let lead: &[u8] = if kind_of == 6 { &[] } else { b"\x03raw" };
                let mut bytes = vec![0, 0, 0, 1, 0, 1, 0, 0, 0, ttl as u8, 0, 4, 192, 0, 2, 9];
                let plain = lead.len() + asked.len() + 14;
                let start = reply.push_raw(section, lead, &bytes, 1, plain).unwrap();
                reply.raw_mut(start, 2).copy_from_slice(&[0xC0, 12]);
                (section, [lead, asked].concat(), Rtype::A, ttl, bytes.split_off(12))
            }
            _ => {
                let (owner, rdata) = (NAMES[owner], kind(step));
                if section == Section::Answer && owner == asked {
                    reply.answer(ttl, rdata);
                } else {
                    reply.push(section, NewRecord::new(owner, ttl, rdata));
                }
                let mut plain = Vec::new();
                rdata.write(&mut plain);
                (section, owner.to_vec(), rdata.rtype(), ttl, plain)
            }
        }
    }

    /// What a client reads.
    fn read(reply: &mut Reply) -> Vec<Plain> {
        reply.seal(1, 0x8000);
        let message = Message::new(reply.bytes()).unwrap();
        let mut owner = NameBuf::new();
        message
            .records()
            .map(|record| {
                let record = record.unwrap();
                record.owner(&mut owner).unwrap();
                let mut plain = Vec::new();
                rdata::expand(record.rtype, reply.bytes(), record.rdata_at, record.end, &mut plain)
                    .unwrap();
                let lower = owner.as_wire().to_ascii_lowercase();
                (record.section, lower, record.rtype, record.ttl, plain.to_ascii_lowercase())
            })
            .collect()
    }

    proptest! {
        #[test]
        fn records_are_read_back_by_section_in_any_order_of_writing(
            steps in proptest::collection::vec((0..3usize, 0..6usize, 0..6usize, 0..8u8), 0..40)
        ) {
            let mut query = Request::new();
            query.receive(&question(QUESTION, Rtype::A)).unwrap();
            let mut reply = Reply::new();
            reply.begin(&query);
            let mut expected = Vec::new();
            for (ttl, what) in steps.into_iter().enumerate() {
                expected.push(step(what, ttl as u32, &mut reply));
            }
            expected.sort_by_key(|record| record.0);
            prop_assert_eq!(read(&mut reply), expected.clone());
            let plain: usize =
                expected.iter().map(|record| record.1.len() + 10 + record.4.len()).sum();
            prop_assert_eq!(reply.plain_len() as usize, reply.question_end() + plain);
            prop_assert!(!reply.truncated);
        }
    }

    #[test]
    fn a_full_message_drops_what_is_too_much() {
        let mut query = Request::new();
        query.receive(&question(".", Rtype::TXT)).unwrap();
        let mut reply = Reply::new();
        reply.begin(&query);
        let owner = Name::root();
        let text = [b'x'; 60_000];
        reply.push(Section::Additional, NewRecord::new(owner.as_wire(), 1, Rdata::Txt(&text)));
        reply.push(Section::Authority, NewRecord::new(owner.as_wire(), 2, Rdata::Txt(&text)));
        let counts = Section::ALL.map(|section| reply.count(section));
        assert_eq!((counts, reply.truncated), ([0, 1, 0], true), "the last sections go first");
        reply.answer(3, Rdata::Txt(&text[..1000]));
        assert_eq!(read(&mut reply).iter().map(|it| it.3).collect::<Vec<_>>(), [3, 2]);
    }
}
