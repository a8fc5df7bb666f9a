//! The message of a query: its bytes as received, and the offsets of their parts.

mod change;
mod original;
mod size;

pub use change::Flag;
use original::Original;

use crate::edns::{Edns, Options};
use crate::name::{self, NameBuf};
use crate::record::{Record, Section};
use crate::{Class, HEADER, MAX_MESSAGE, Malformed, Opcode, Rcode, Rtype, SAFE_UDP_PAYLOAD, hash};

/// Why bytes did not become a query, and what to say to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Not a query at all: say nothing (short, or itself a response).
    Silence,
    /// Answer with this rcode and nothing but a header.
    Rcode(Rcode),
}

/// The message of a query.
pub struct Request {
    buf: Vec<u8>,
    folded: NameBuf,
    starts: [u8; 128],
    hashes: [u64; 128],
    labels: u8,
    zone_at: u8,
    qtype: Rtype,
    qclass: Class,
    question_end: usize,
    edns: Option<Edns>,
    /// The largest UDP reply, whatever the client offers.
    udp_cap: u16,
    tsig_at: Option<usize>,
    /// Saved messages, one behind the other.
    saved: Vec<u8>,
    originals: Vec<Original>,
    /// Memory to write a changed message to.
    spare: Vec<u8>,
}

impl Default for Request {
    fn default() -> Self {
        Self::new()
    }
}

impl Request {
    /// An empty request, to be filled by [`Request::receive`].
    pub const fn new() -> Self {
        Self {
            buf: Vec::new(),
            folded: NameBuf::new(),
            starts: [0; 128],
            hashes: [0; 128],
            labels: 0,
            zone_at: 0,
            qtype: Rtype(0),
            qclass: Class(0),
            question_end: HEADER,
            edns: None,
            udp_cap: SAFE_UDP_PAYLOAD,
            tsig_at: None,
            saved: Vec::new(),
            originals: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// The receive buffer: a transport writes the message here, then calls [`Request::parse`].
    pub fn buffer_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Leaves the receive buffer, which has room for any message, to `next`, and keeps a copy of the
    /// message that is as large as that.
    pub fn leave_buffer_to(&mut self, next: &mut Self) {
        next.buf.clear();
        next.buf.extend_from_slice(&self.buf);
        std::mem::swap(&mut self.buf, &mut next.buf);
        // A message that was changed has left that buffer already.
        if self.spare.capacity() > next.buf.capacity() {
            std::mem::swap(&mut self.spare, &mut next.buf);
        }
    }

    /// How many octets messages may have before they need more memory.
    pub fn room(&self) -> usize {
        self.buf.capacity() + self.spare.capacity() + self.saved.capacity()
    }

    /// Takes a copy of `message` and parses it.
    pub fn receive(&mut self, message: &[u8]) -> Result<(), Rejection> {
        self.buf.clear();
        self.buf.extend_from_slice(&message[..message.len().min(MAX_MESSAGE)]);
        self.parse()
    }

    /// Reads the buffer. The checks and their order are those of the wire filter that CoreDNS
    /// inherits: responses are ignored, unknown opcodes are NOTIMP, odd counts are FORMERR.
    pub fn parse(&mut self) -> Result<(), Rejection> {
        self.edns = None;
        self.udp_cap = SAFE_UDP_PAYLOAD;
        self.tsig_at = None;
        self.zone_at = 0;
        self.saved.clear();
        self.originals.clear();
        self.labels = 0;
        self.question_end = HEADER;
        let Some(header) = self.buf.first_chunk::<HEADER>() else {
            return Err(Rejection::Silence);
        };
        if header[2] & 0x80 != 0 {
            return Err(Rejection::Silence);
        }
        if !matches!(Opcode(header[2] >> 3 & 0x0F), Opcode::QUERY | Opcode::NOTIFY) {
            return Err(Rejection::Rcode(Rcode::NOTIMP));
        }
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let (answers, authorities, additionals) = (count(6), count(8), count(10));
        if count(4) != 1 || answers > 1 || authorities > 1 || additionals > 2 {
            return Err(Rejection::Rcode(Rcode::FORMERR));
        }
        self.parse_body(answers, authorities, additionals)
            .map_err(|Malformed| Rejection::Rcode(Rcode::FORMERR))
    }

    /// Reads the buffer as an UPDATE message (RFC 2136 section 2), which [`Request::parse`] rejects. The
    /// question is the zone section; its other sections have any number of records.
    ///
    /// # Errors
    /// It is another message, or malformed.
    pub fn parse_update(&mut self) -> Result<(), Rejection> {
        if let Err(rejection) = self.parse()
            && (rejection != Rejection::Rcode(Rcode::NOTIMP) || self.opcode() != Opcode::UPDATE)
        {
            return Err(rejection);
        }
        let formerr = Rejection::Rcode(Rcode::FORMERR);
        let [prerequisites, updates, additionals] = self.record_counts();
        if self.buf[4..6] != [0, 1] {
            return Err(formerr);
        }
        self.parse_body(prerequisites, updates, additionals).map_err(|Malformed| formerr)
    }

    fn parse_body(
        &mut self,
        answers: u16,
        authorities: u16,
        additionals: u16,
    ) -> Result<(), Malformed> {
        let question = &self.buf[HEADER..];
        let len = name::wire_len(question).ok_or(Malformed)?;
        let fixed: &[u8; 4] = question[len..].first_chunk().ok_or(Malformed)?;
        self.qtype = Rtype(u16::from_be_bytes([fixed[0], fixed[1]]));
        self.qclass = Class(u16::from_be_bytes([fixed[2], fixed[3]]));
        self.folded.set_folded(&question[..len]);
        self.question_end = HEADER + len + 4;
        self.index_labels();
        if answers | authorities | additionals == 0 {
            return Ok(());
        }
        let mut at = self.question_end;
        for (section, count) in Section::ALL.into_iter().zip([answers, authorities, additionals]) {
            for _ in 0..count {
                let record = Record::read(&self.buf, at, section)?;
                at = record.end;
                match (section, record.rtype) {
                    (Section::Additional, Rtype::OPT) if self.edns.is_none() => {
                        self.edns = Some(Edns::read(&record)?);
                    }
                    (_, Rtype::OPT) => return Err(Malformed),
                    (Section::Additional, Rtype::TSIG) => self.tsig_at = Some(record.start),
                    // TSIG is the last record of the message or nothing (RFC 8945 section 5.1).
                    (_, Rtype::TSIG) => return Err(Malformed),
                    _ => {}
                }
                if self.tsig_at.is_some_and(|tsig| tsig != record.start) {
                    return Err(Malformed);
                }
            }
        }
        Ok(())
    }

    /// Notes where each label starts and the hash of the name from there on.
    #[inline]
    fn index_labels(&mut self) {
        let padded = self.folded.padded();
        let mut at = 0;
        let mut count = 0;
        while padded[at] != 0 {
            self.starts[count] = at as u8;
            at += 1 + usize::from(padded[at]);
            count += 1;
        }
        self.starts[count] = at as u8;
        self.labels = count as u8;
        let mut hash = hash::root();
        self.hashes[count] = hash;
        for index in (0..count).rev() {
            hash = hash::child_padded(hash, padded, usize::from(self.starts[index]));
            self.hashes[index] = hash;
        }
    }

    /// The message as received (or as a plugin changed it).
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buf
    }

    /// The name asked for, lower-cased, in wire form.
    #[inline]
    pub fn name(&self) -> &[u8] {
        self.folded.as_wire()
    }

    /// The name asked for in the client's own case.
    #[inline]
    pub fn original_name(&self) -> &[u8] {
        &self.buf[HEADER..self.question_end.max(HEADER + 4) - 4]
    }

    /// The question section's bytes.
    #[inline]
    pub fn question(&self) -> &[u8] {
        &self.buf[HEADER..self.question_end]
    }

    /// Offset behind the question.
    #[inline]
    pub fn question_end(&self) -> usize {
        self.question_end
    }

    /// Type asked for.
    #[inline]
    pub fn qtype(&self) -> Rtype {
        self.qtype
    }

    /// Class asked for.
    #[inline]
    pub fn qclass(&self) -> Class {
        self.qclass
    }

    /// How many labels the name has, the root excluded.
    #[inline]
    pub fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    /// Offset in [`Request::name`] of label `index`; `labels()` gives the root byte.
    #[inline]
    pub fn label_at(&self, index: usize) -> usize {
        usize::from(self.starts[index])
    }

    /// The hash of the name from label `index` on; the same as [`hash::name`] of it.
    #[inline]
    pub fn suffix_hash(&self, index: usize) -> u64 {
        self.hashes[index]
    }

    /// The name from label `index` on.
    #[inline]
    pub fn suffix(&self, index: usize) -> &[u8] {
        &self.folded.as_wire()[usize::from(self.starts[index])..]
    }

    /// The zone of the server block that answers, as the router found it.
    pub fn zone(&self) -> &[u8] {
        self.suffix(usize::from(self.zone_at))
    }

    /// Notes that the zone starts at label `index`.
    #[inline]
    pub fn set_zone(&mut self, index: usize) {
        self.zone_at = index as u8;
    }

    /// The message ID.
    #[inline]
    pub fn id(&self) -> u16 {
        self.buf.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id))
    }

    /// Opcode.
    #[inline]
    pub fn opcode(&self) -> Opcode {
        Opcode(self.flag_byte(2) >> 3 & 0x0F)
    }

    /// Whether it is a question: opcode QUERY, and no transfer.
    #[inline]
    pub fn is_question(&self) -> bool {
        self.opcode() == Opcode::QUERY && !self.qtype.is_transfer()
    }

    /// RD: recursion desired.
    #[inline]
    pub fn recursion_desired(&self) -> bool {
        self.flag_byte(2) & 0x01 != 0
    }

    /// AD: the client understands authentic data (RFC 6840 section 5.7).
    #[inline]
    pub fn authentic_data(&self) -> bool {
        self.flag_byte(3) & 0x20 != 0
    }

    /// CD: checking disabled.
    #[inline]
    pub fn checking_disabled(&self) -> bool {
        self.flag_byte(3) & 0x10 != 0
    }

    #[inline]
    fn flag_byte(&self, at: usize) -> u8 {
        self.buf.get(at).copied().unwrap_or(0)
    }

    /// The OPT record, if the client sent one.
    #[inline]
    pub fn edns(&self) -> Option<&Edns> {
        self.edns.as_ref()
    }

    /// The EDNS options in the order they were sent.
    pub fn options(&self) -> Options<'_> {
        match &self.edns {
            Some(edns) => edns.options(&self.buf),
            None => Options::new(&[]),
        }
    }

    /// DO: the client wants DNSSEC records.
    #[inline]
    pub fn wants_dnssec(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// Offset of the TSIG record.
    pub fn tsig_at(&self) -> Option<usize> {
        self.tsig_at
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Name;

    pub(crate) fn question(text: &str, qtype: Rtype) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(Name::from_text(text).unwrap().as_wire());
        bytes.extend_from_slice(&qtype.0.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes
    }

    #[test]
    fn the_receive_buffer_is_left_to_the_next() {
        for changed in [false, true] {
            let mut query = Request::new();
            query.buffer_mut().reserve(MAX_MESSAGE);
            query.receive(&question("www.example.org.", Rtype::A)).unwrap();
            if changed {
                query.rename(b"\x03new\x07example\x03org\x00").unwrap();
            }
            let (name, mut next) = (query.name().to_vec(), Request::new());
            query.leave_buffer_to(&mut next);
            assert_eq!(query.name(), name);
            assert!(query.room() < 512 && next.buf.capacity() >= MAX_MESSAGE, "{}", query.room());
        }
    }

    #[test]
    fn a_plain_question() {
        let mut query = Request::new();
        query.receive(&question("WWW.Example.org.", Rtype::AAAA)).unwrap();
        assert_eq!(query.name(), b"\x03www\x07example\x03org\x00");
        assert_eq!(query.original_name(), b"\x03WWW\x07Example\x03org\x00");
        assert_eq!(query.qtype(), Rtype::AAAA);
        assert_eq!((query.id(), query.labels()), (0x1234, 3));
        for index in 0..=3 {
            assert_eq!(query.suffix_hash(index), hash::name(query.suffix(index)));
        }
        assert_eq!(query.udp_size(), 512);
    }

    #[test]
    fn rejections_are_those_of_the_filter() {
        let mut query = Request::new();
        let good = question("a.", Rtype::A);
        let formerr = Err(Rejection::Rcode(Rcode::FORMERR));
        assert_eq!(query.receive(&good[..11]), Err(Rejection::Silence));
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        assert_eq!(query.receive(&with(2, 0x80)), Err(Rejection::Silence), "a response");
        assert_eq!(query.receive(&with(2, 5 << 3)), Err(Rejection::Rcode(Rcode::NOTIMP)), "update");
        assert_eq!(query.receive(&with(2, 4 << 3)), Ok(()), "notify");
        assert_eq!(query.receive(&with(5, 0)), formerr, "no question");
        assert_eq!(query.receive(&with(5, 2)), formerr, "two questions");
        assert_eq!(query.receive(&with(7, 2)), formerr, "two answers");
        assert_eq!(query.receive(&with(11, 1)), formerr, "a record that is not there");
        assert_eq!(query.receive(&good[..good.len() - 1]), formerr, "cut off");
        assert_eq!(query.receive(&with(12, 0xC0)), formerr, "a pointer in the question");
    }

    #[test]
    fn updates_have_any_number_of_records() {
        let mut query = Request::new();
        let mut update = question("example.org.", Rtype::SOA);
        (update[2], update[9]) = (5 << 3, 3);
        for last in 1..=3 {
            update.extend_from_slice(&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, last]);
        }
        let parse = |query: &mut Request, bytes: &[u8]| {
            query.buffer_mut().clear();
            query.buffer_mut().extend_from_slice(bytes);
            query.parse_update()
        };
        assert_eq!(parse(&mut query, &update), Ok(()));
        assert_eq!((query.opcode(), query.qtype()), (Opcode::UPDATE, Rtype::SOA));
        assert!(!query.is_question());
        let formerr = Err(Rejection::Rcode(Rcode::FORMERR));
        assert_eq!(parse(&mut query, &update[..update.len() - 1]), formerr, "cut off");
        update[5] = 2;
        assert_eq!(parse(&mut query, &update), formerr, "two zones");
        assert_eq!(parse(&mut query, &update[..11]), Err(Rejection::Silence), "short");
        (update[2], update[5]) = (2 << 3, 1);
        assert_eq!(parse(&mut query, &update), Err(Rejection::Rcode(Rcode::NOTIMP)), "status");
    }

    #[test]
    fn options_are_kept_in_order() {
        let mut bytes = question("a.", Rtype::A);
        bytes[11] = 1;
        bytes.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 9]);
        bytes.extend_from_slice(&[0, 3, 0, 0, 0xFF, 0xFE, 0, 1, 7]);
        let mut query = Request::new();
        query.receive(&bytes).unwrap();
        assert!(query.wants_dnssec());
        assert_eq!(query.udp_size(), 1232);
        let codes: Vec<u16> = query.options().map(|option| option.code).collect();
        assert_eq!(codes, [3, 0xFFFE]);
        query.limit_udp_size(1000);
        assert_eq!((query.udp_size(), query.announced_udp_size()), (1000, 1000));
        let mut twice = bytes.clone();
        bytes[37] = 2; // the second option now ends behind its record
        assert!(query.receive(&bytes).is_err(), "an option that runs over");
        twice[11] = 2;
        twice.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        assert!(query.receive(&twice).is_err(), "two OPT records");
    }
}
