//! A query: its bytes as they came, and the offsets of what they mean.

mod change;
mod metadata;
mod own;
mod size;
mod spans;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use change::Aside;
pub use change::Flag;
use metadata::Metadata;
pub use spans::{Span, SpanContext, Spans};

use crate::edns::{Edns, Options};
use crate::name::{self, NameBuf};
use crate::record::{Malformed, Record, Section};
use crate::slots::{Slot, Slots};
use crate::{Class, HEADER, MAX_MESSAGE, Opcode, Rcode, Rtype, SAFE_UDP_PAYLOAD, hash};

/// How a query came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Transport {
    /// Plain UDP.
    Udp,
    /// Plain TCP.
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484).
    Https,
    /// DNS over HTTP/3.
    Https3,
    /// DNS over QUIC (RFC 9250).
    Quic,
    /// CoreDNS's gRPC service.
    Grpc,
}

impl Transport {
    /// `udp` or `tcp`, as CoreDNS labels it in metrics and logs.
    pub const fn proto(self) -> &'static str {
        match self {
            Self::Udp | Self::Quic | Self::Https3 => "udp",
            Self::Tcp | Self::Tls | Self::Https | Self::Grpc => "tcp",
        }
    }

    /// Whether a reply is bounded by the client's UDP payload size.
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::Udp)
    }
}

/// The family of the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// IPv4.
    V4 = 1,
    /// IPv6.
    V6 = 2,
}

/// A moment on the server's clock: nanoseconds since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// How long ago `earlier` was; zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `after` from now.
    pub const fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(after.as_nanos() as u64))
    }
}

/// Why bytes did not become a query, and what to say to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Not a query at all: say nothing (short, or itself a response).
    Silence,
    /// Answer with this rcode and nothing but a header.
    Rcode(Rcode),
}

/// A query and where it came from.
pub struct Query {
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
    slots: Slots,
    metadata: Option<Metadata>,
    spans: Option<Box<Spans>>,
    /// Messages set aside, one behind the other.
    aside: Vec<u8>,
    asides: Vec<Aside>,
    /// Memory to write a changed message to.
    spare: Vec<u8>,
    /// The client.
    pub peer: SocketAddr,
    /// The address the query was sent to.
    pub local: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// How long its connection may be idle, in units of 100 ms (RFC 7828 section 3.1); of no
    /// meaning with a datagram.
    pub keepalive: u16,
    /// The worker that handles it: the index of its counters.
    pub worker: usize,
    /// When it was received.
    pub received: Moment,
    /// The latest known time: the batch's, or the moment a waiting query went on.
    pub now: Moment,
    /// The listener it came in by: which router an internal lookup asks.
    pub site: u16,
    /// The server block's key that matched: index of its zone and server labels.
    pub key: u16,
    /// Whether this runs in the background to renew an answer that was already given.
    pub refresh: bool,
    /// The link of the chain that wants to renew what it answered, and the query as that link saw
    /// it: plugins before it may have changed it, and bring back what the client sent.
    pub renewal: Option<(usize, Box<Self>)>,
    /// When to give up waiting for an answer.
    pub deadline: Option<Moment>,
    /// How many lookups of our own led to this one; bounds loops through the chain.
    pub depth: u8,
    /// The span that this query is a part of, if the one it was asked for is traced.
    pub within: Option<SpanContext>,
}

impl Default for Query {
    fn default() -> Self {
        Self::new()
    }
}

impl Query {
    /// An empty query, to be filled by [`Query::receive`].
    pub fn new() -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
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
            slots: Slots::default(),
            metadata: None,
            spans: None,
            aside: Vec::new(),
            asides: Vec::new(),
            spare: Vec::new(),
            peer: nowhere,
            local: nowhere,
            transport: Transport::Udp,
            keepalive: 0,
            worker: 0,
            received: Moment(0),
            now: Moment(0),
            site: 0,
            key: 0,
            refresh: false,
            renewal: None,
            deadline: None,
            depth: 0,
            within: None,
        }
    }

    /// The receive buffer: a transport writes the message here, then calls [`Query::parse`].
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
        self.buf.capacity() + self.spare.capacity() + self.aside.capacity()
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
        self.slots.reset();
        self.metadata = None;
        self.spans = None;
        self.within = None;
        self.edns = None;
        self.udp_cap = SAFE_UDP_PAYLOAD;
        self.tsig_at = None;
        self.zone_at = 0;
        self.depth = 0;
        self.refresh = false;
        self.renewal = None;
        self.deadline = None;
        self.aside.clear();
        self.asides.clear();
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

    /// Offset in [`Query::name`] of label `index`; `labels()` gives the root byte.
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

    /// The family of the client's address; IPv4 inside IPv6 counts as IPv4.
    pub fn family(&self) -> Family {
        match self.peer.ip().to_canonical() {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// The value a plugin keeps for this query.
    #[inline]
    pub fn slot<T: Default + Send + 'static>(&mut self, slot: Slot<T>) -> &mut T {
        self.slots.get(slot)
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
            let mut query = Query::new();
            query.buffer_mut().reserve(MAX_MESSAGE);
            query.receive(&question("www.example.org.", Rtype::A)).unwrap();
            if changed {
                query.rename(b"\x03new\x07example\x03org\x00").unwrap();
            }
            let (name, mut next) = (query.name().to_vec(), Query::new());
            query.leave_buffer_to(&mut next);
            assert_eq!(query.name(), name);
            assert!(query.room() < 512 && next.buf.capacity() >= MAX_MESSAGE, "{}", query.room());
        }
    }

    #[test]
    fn a_plain_question() {
        let mut query = Query::new();
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
        let mut query = Query::new();
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
    fn options_are_kept_in_order() {
        let mut bytes = question("a.", Rtype::A);
        bytes[11] = 1;
        bytes.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 9]);
        bytes.extend_from_slice(&[0, 3, 0, 0, 0xFF, 0xFE, 0, 1, 7]);
        let mut query = Query::new();
        query.receive(&bytes).unwrap();
        assert!(query.wants_dnssec());
        assert_eq!(query.udp_size(), 1232);
        let codes: Vec<u16> = query.options().map(|option| option.code).collect();
        assert_eq!(codes, [3, 0xFFFE]);
        query.limit_udp_size(1000);
        assert_eq!((query.udp_size(), query.reply_limit()), (1000, 1000));
        let mut twice = bytes.clone();
        bytes[37] = 2; // the second option now ends behind its record
        assert!(query.receive(&bytes).is_err(), "an option that runs over");
        twice[11] = 2;
        twice.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        assert!(query.receive(&twice).is_err(), "two OPT records");
    }

    #[test]
    fn slots_start_anew_with_each_query() {
        let mut query = Query::new();
        let slot = Slot::<u32>::new(1);
        query.receive(&question("a.", Rtype::A)).unwrap();
        *query.slot(slot) = 7;
        assert_eq!(*query.slot(slot), 7);
        query.receive(&question("a.", Rtype::A)).unwrap();
        assert_eq!(*query.slot(slot), 0);
    }
}
