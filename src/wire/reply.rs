//! A reply: a growing buffer, with the flags and the OPT record held apart until it is finished.
//!
//! Plugins write records and set meaning (authoritative, rcode, failure); ids, echoed flags, OPT,
//! truncation and the bytes of failures are the business of the server's `finish` alone.

mod append;
mod belongs;
mod readdress;

use std::borrow::Cow;
use std::error::Error;

use crate::compress::Compressor;
use crate::edns::{Edns, EdnsOption, Options};
use crate::name::{self, NameBuf};
use crate::record::{Malformed, Message, Record, Records, Section};
use crate::{Class, HEADER, MAX_MESSAGE, Query, Rcode, Rtype, rdata};

pub use readdress::Draft;

/// A plugin could not answer: what the client is told, and what the operator is.
#[derive(Debug)]
pub struct Failure {
    /// The rcode of the reply.
    pub rcode: Rcode,
    /// An extended error for the client (RFC 8914): code and text.
    pub extended: Option<(u16, Cow<'static, str>)>,
    /// What went wrong, for the log.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure with an rcode only.
    pub const fn rcode(rcode: Rcode) -> Self {
        Self { rcode, extended: None, cause: None }
    }

    /// SERVFAIL with a cause for the log.
    pub fn servfail(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { rcode: Rcode::SERVFAIL, extended: None, cause: Some(cause.into()) }
    }

    /// Adds an extended error for the client.
    #[must_use]
    pub fn extended(mut self, code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        self.extended = Some((code, text.into()));
        self
    }
}

/// One record of a reply by place, as [`Reply::rearrange`] hands them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Section it goes to.
    pub section: Section,
    /// Type.
    pub rtype: Rtype,
    /// Time to live it is written with.
    pub ttl: u32,
    /// Offset of the record in the reply as it was.
    pub start: usize,
    /// Offset of its RDATA.
    pub rdata_at: usize,
    /// Offset behind it.
    pub end: usize,
}

/// The OPT record of a reply as far as plugins decide it.
#[derive(Default)]
pub struct ReplyOpt {
    /// Options in wire form.
    options: Vec<u8>,
    /// Whether a plugin or an upstream wrote an OPT record of its own, so that the client's
    /// options are not echoed.
    pub own: bool,
}

impl ReplyOpt {
    /// The options written so far.
    pub fn options(&self) -> Options<'_> {
        Options::new(&self.options)
    }

    /// The options in wire form.
    pub fn as_wire(&self) -> &[u8] {
        &self.options
    }

    /// Adds an option.
    pub fn push(&mut self, code: u16, data: &[u8]) {
        self.options.extend_from_slice(&code.to_be_bytes());
        self.options.extend_from_slice(&(data.len() as u16).to_be_bytes());
        self.options.extend_from_slice(data);
    }

    /// Keeps the options that `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(EdnsOption<'_>) -> bool) {
        let mut at = 0;
        while let Some(option) = Options::new(&self.options[at..]).next() {
            let len = 4 + option.data.len();
            if keep(option) {
                at += len;
            } else {
                self.options.drain(at..at + len);
            }
        }
    }

    fn reset(&mut self) {
        self.options.clear();
        self.own = false;
    }
}

/// A reply under way.
pub struct Reply {
    buf: Vec<u8>,
    scratch: Vec<u8>,
    expanded: Vec<u8>,
    items: Vec<Item>,
    compressor: Compressor,
    question_end: usize,
    counts: [u16; 3],
    plain_len: u32,
    rcode: Rcode,
    written: bool,
    silent: bool,
    /// AA.
    authoritative: bool,
    /// RA: recursion is available here.
    pub recursion_available: bool,
    /// RD, where it is to be another than the query's.
    pub recursion_desired: Option<bool>,
    /// AD.
    pub authentic_data: bool,
    /// TC as it came from an upstream or from records that found no room.
    pub truncated: bool,
    /// Whether the records came in a message from elsewhere (an upstream), so that AA and the like
    /// are that server's word and not ours.
    pub foreign: bool,
    /// The OPT record.
    pub opt: ReplyOpt,
    failure: Option<Failure>,
}

impl Default for Reply {
    fn default() -> Self {
        Self::new()
    }
}

impl Reply {
    /// An empty reply, to be started by [`Reply::begin`].
    pub fn new() -> Self {
        Self {
            buf: Vec::with_capacity(1024),
            scratch: Vec::new(),
            expanded: Vec::new(),
            items: Vec::new(),
            compressor: Compressor::default(),
            question_end: HEADER,
            counts: [0; 3],
            plain_len: 0,
            rcode: Rcode::NOERROR,
            written: false,
            silent: false,
            authoritative: false,
            recursion_available: false,
            recursion_desired: None,
            authentic_data: false,
            truncated: false,
            foreign: false,
            opt: ReplyOpt::default(),
            failure: None,
        }
    }

    /// How many octets it may grow to before it needs more memory.
    pub fn room(&self) -> usize {
        self.buf.capacity() + self.scratch.capacity() + self.expanded.capacity()
    }

    /// Starts the reply to `query`: its question in its own case, and nothing else.
    #[inline]
    pub fn begin(&mut self, query: &Query) {
        self.buf.clear();
        self.buf.extend_from_slice(&[0; HEADER]);
        self.buf.extend_from_slice(query.question());
        self.question_end = self.buf.len();
        self.plain_len = self.buf.len() as u32;
        self.opt.reset();
        self.failure = None;
        self.silent = false;
        self.written = false;
        self.clear_meaning();
    }

    fn clear_meaning(&mut self) {
        self.compressor.reset();
        self.counts = [0; 3];
        self.rcode = Rcode::NOERROR;
        self.authoritative = false;
        self.recursion_available = false;
        self.recursion_desired = None;
        self.authentic_data = false;
        self.truncated = false;
        self.foreign = false;
    }

    /// Forgets all records, flags and the rcode; the question stays.
    pub fn clear(&mut self) {
        self.buf.truncate(self.question_end);
        self.plain_len = self.question_end as u32;
        self.clear_meaning();
        self.opt.reset();
        self.failure = None;
        self.written = false;
        self.silent = false;
    }

    // --- meaning

    /// Whether the answer comes from this server's own data.
    #[inline]
    pub fn set_authoritative(&mut self, yes: bool) {
        self.authoritative = yes;
    }

    /// AA.
    #[inline]
    pub fn authoritative(&self) -> bool {
        self.authoritative
    }

    /// Sets the rcode and marks the reply as written.
    #[inline]
    pub fn set_rcode(&mut self, rcode: Rcode) {
        self.rcode = rcode;
        self.written = true;
    }

    /// The rcode, that of the failure if there is one.
    #[inline]
    pub fn rcode(&self) -> Rcode {
        match &self.failure {
            Some(failure) => failure.rcode,
            None => self.rcode,
        }
    }

    /// Whether a plugin wrote anything.
    #[inline]
    pub fn is_written(&self) -> bool {
        self.written
    }

    /// Gives up: the client gets the failure's rcode and no records.
    pub fn fail(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }

    /// Why there is no answer.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Takes the failure back, to try something else.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// The client gets nothing at all.
    pub fn silence(&mut self) {
        self.silent = true;
    }

    /// Whether the client gets nothing at all.
    #[inline]
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    // --- reading

    /// Header, question and records so far; the header is filled in by `finish`.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buf
    }

    /// Bytes so far.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a reply always has a header")]
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Offset behind the question.
    pub fn question_end(&self) -> usize {
        self.question_end
    }

    /// The question section's bytes.
    #[inline]
    pub fn question(&self) -> &[u8] {
        &self.buf[HEADER..self.question_end.max(HEADER)]
    }

    /// How many records each section has.
    #[inline]
    pub fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    /// The length the message would have without compression, OPT excluded: what CoreDNS reports.
    pub fn plain_len(&self) -> u32 {
        self.plain_len
    }

    /// The records of all sections.
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.buf, self.question_end, self.counts)
    }

    // --- writing

    /// Appends ready-made records. Compression pointers in them must be right for this message,
    /// whose question name is at offset 12; `plain_len` is their length without compression.
    ///
    /// Sections are written in order; what does not fit the largest message is dropped and marks
    /// the reply truncated.
    #[inline]
    pub fn push_raw(&mut self, section: Section, bytes: &[u8], count: u16, plain_len: u32) {
        if self.buf.len() + bytes.len() > MAX_MESSAGE {
            self.truncated = true;
            return;
        }
        debug_assert!(self.in_order(section), "sections are written in order");
        self.buf.extend_from_slice(bytes);
        self.counts[section as usize] += count;
        self.plain_len += plain_len;
        self.written = true;
    }

    /// The last `len` bytes written, to fix up pointers in ready-made records.
    #[inline]
    pub fn tail_mut(&mut self, len: usize) -> &mut [u8] {
        let start = self.buf.len() - len;
        &mut self.buf[start..]
    }

    /// Appends one record, compressing its names. `owner` and `rdata` hold uncompressed names.
    pub fn push(
        &mut self,
        section: Section,
        owner: &[u8],
        rtype: Rtype,
        class: Class,
        ttl: u32,
        rdata: &[u8],
    ) {
        debug_assert!(self.in_order(section), "sections are written in order");
        let start = self.buf.len();
        if start + owner.len() + 10 + rdata.len() > MAX_MESSAGE {
            self.truncated = true;
            return;
        }
        if self.compressor.is_empty() {
            self.compressor.remember(&self.buf, HEADER);
        }
        self.compressor.write(&mut self.buf, owner);
        self.buf.extend_from_slice(&rtype.0.to_be_bytes());
        self.buf.extend_from_slice(&class.0.to_be_bytes());
        self.buf.extend_from_slice(&ttl.to_be_bytes());
        let length_at = self.buf.len();
        self.buf.extend_from_slice(&[0, 0]);
        self.push_rdata(rtype, rdata);
        let length = (self.buf.len() - length_at - 2) as u16;
        self.buf[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        self.counts[section as usize] += 1;
        self.plain_len += (owner.len() + 10 + rdata.len()) as u32;
        self.written = true;
    }

    fn push_rdata(&mut self, rtype: Rtype, rdata: &[u8]) {
        let names = rdata::layout(rtype).filter(|layout| layout.compress);
        let Some((layout, mut at)) =
            names.and_then(|layout| Some((layout, layout.first_name(rdata, 0, rdata.len()).ok()?)))
        else {
            self.buf.extend_from_slice(rdata);
            return;
        };
        self.buf.extend_from_slice(&rdata[..at]);
        for _ in 0..layout.names {
            let Some(len) = rdata.get(at..).and_then(name::wire_len) else { break };
            self.compressor.write(&mut self.buf, &rdata[at..at + len]);
            at += len;
        }
        self.buf.extend_from_slice(&rdata[at..]);
    }

    fn in_order(&self, section: Section) -> bool {
        self.counts[section as usize + 1..].iter().all(|&count| count == 0)
    }

    /// Takes a whole message, an upstream's or a cached one, as the reply: its flags, rcode and
    /// records; the question stays the client's.
    ///
    /// The message must answer this question (same name ignoring case, type and class). Every name
    /// in it is checked. Its OPT record moves to [`Reply::opt`]; TSIG is dropped.
    pub fn load(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let view = Message::new(message)?;
        let end = view.questions_end()?;
        if view.counts()[0] != 1 || end != self.question_end {
            return Err(Malformed);
        }
        // Case is no part of a name, but type 65 is not type 97.
        let (name, kind) = message[HEADER..end].split_at(end - HEADER - 4);
        let (own_name, own_kind) = self.buf[HEADER..end].split_at(end - HEADER - 4);
        if kind != own_kind || !name::eq(name, own_name) {
            return Err(Malformed);
        }
        // Check everything before anything changes.
        let mut opt = None;
        let mut odd = false;
        let mut plain = end as u32;
        let mut last = end;
        let mut name = NameBuf::new();
        let mut scratch = std::mem::take(&mut self.expanded);
        let checked = view.records().try_for_each(|record| {
            let record = record?;
            odd |= opt.is_some();
            match record.rtype {
                Rtype::OPT if opt.is_none() && record.section == Section::Additional => {
                    opt = Some(Edns::read(&record)?);
                }
                Rtype::OPT => return Err(Malformed),
                Rtype::TSIG => odd = true,
                _ => {
                    let owner = if record.is_of_question() {
                        end - HEADER - 4
                    } else {
                        record.owner(&mut name)?;
                        name.as_wire().len()
                    };
                    scratch.clear();
                    rdata::expand(
                        record.rtype,
                        message,
                        record.rdata_at,
                        record.end,
                        &mut scratch,
                    )?;
                    plain += (owner + 10 + scratch.len()) as u32;
                    last = record.end;
                }
            }
            Ok(())
        });
        self.expanded = scratch;
        checked?;
        self.clear();
        self.set_flags(view.flags());
        let [_, answers, authorities, additionals] = view.counts();
        self.counts = [answers, authorities, additionals];
        if let Some(edns) = &opt {
            self.rcode.0 |= u16::from(edns.extended_rcode) << 4;
            self.opt.options.extend_from_slice(&message[edns.options_at..edns.end]);
            self.opt.own = true;
        }
        self.plain_len = plain;
        self.foreign = true;
        if odd {
            self.buf.extend_from_slice(&message[end..]);
            self.rearrange(|_, items| {
                items.retain(|item| !matches!(item.rtype, Rtype::OPT | Rtype::TSIG));
            });
        } else {
            self.buf.extend_from_slice(&message[end..last]);
            self.counts[2] -= u16::from(opt.is_some());
        }
        self.written = true;
        Ok(())
    }

    /// Takes the records of a message that this server built earlier (no OPT in it), with its
    /// section counts; names were checked then.
    #[inline]
    pub fn load_trusted(&mut self, records: &[u8], counts: [u16; 3], plain_len: u32) {
        self.buf.truncate(self.question_end);
        self.compressor.reset();
        self.buf.extend_from_slice(records);
        self.counts = counts;
        self.plain_len = plain_len;
        self.written = true;
    }

    /// The records as bytes, to be kept and given to [`Reply::load_trusted`] for the same question.
    pub fn record_bytes(&self) -> (&[u8], [u16; 3]) {
        (&self.buf[self.question_end..], self.counts)
    }

    fn set_flags(&mut self, flags: u16) {
        self.authoritative = flags & 0x0400 != 0;
        self.truncated = flags & 0x0200 != 0;
        self.recursion_available = flags & 0x0080 != 0;
        self.authentic_data = flags & 0x0020 != 0;
        self.rcode = Rcode(flags & 0x000F);
    }

    // --- editing in place

    /// Gives every record the TTL that `edit` returns for it.
    #[inline]
    pub fn edit_ttls(&mut self, mut edit: impl FnMut(Rtype, u32) -> u32) {
        let mut at = self.question_end;
        let total: u32 = self.counts.iter().map(|&count| u32::from(count)).sum();
        for _ in 0..total {
            let Ok(record) = Record::read(&self.buf, at, Section::Answer) else { return };
            let (ttl_at, end) = (record.ttl_at, record.end);
            let ttl = edit(record.rtype, record.ttl);
            self.buf[ttl_at..ttl_at + 4].copy_from_slice(&ttl.to_be_bytes());
            at = end;
        }
    }

    /// Swaps the TTL and RDATA of two records with RDATA of the same length; offsets are those of
    /// [`Record::ttl_at`]. Owner names stay, so no compression pointer breaks as long as neither
    /// RDATA holds a name.
    #[inline]
    pub fn swap_values(&mut self, a_ttl_at: usize, b_ttl_at: usize, rdata_len: usize) {
        // TTL (4), RDLENGTH (2) and RDATA lie side by side.
        for offset in 0..6 + rdata_len {
            self.buf.swap(a_ttl_at + offset, b_ttl_at + offset);
        }
    }

    /// Lets `plan` drop, reorder, move and re-time records, then writes the reply anew with fresh
    /// compression. The plan gets the reply as it was, which the offsets of its items are for.
    /// Memory is reused from call to call.
    pub fn rearrange(&mut self, plan: impl FnOnce(&[u8], &mut Vec<Item>)) {
        let mut items = std::mem::take(&mut self.items);
        items.clear();
        items.extend(self.records().filter_map(Result::ok).map(|record| Item {
            section: record.section,
            rtype: record.rtype,
            ttl: record.ttl,
            start: record.start,
            rdata_at: record.rdata_at,
            end: record.end,
        }));
        plan(&self.buf, &mut items);
        items.sort_by_key(|item| item.section);
        let old = std::mem::replace(&mut self.buf, std::mem::take(&mut self.scratch));
        let mut expanded = std::mem::take(&mut self.expanded);
        self.buf.clear();
        self.buf.extend_from_slice(&old[..self.question_end]);
        self.plain_len = self.question_end as u32;
        self.compressor.reset();
        self.counts = [0; 3];
        let mut owner = NameBuf::new();
        for item in &items {
            let Ok(record) = Record::read(&old, item.start, item.section) else { continue };
            expanded.clear();
            let readable = record.owner(&mut owner).is_ok()
                && rdata::expand(item.rtype, &old, item.rdata_at, item.end, &mut expanded).is_ok();
            if readable {
                self.push(
                    item.section,
                    owner.as_wire(),
                    item.rtype,
                    record.class,
                    item.ttl,
                    &expanded,
                );
            }
        }
        self.items = items;
        self.expanded = expanded;
        self.scratch = old;
    }

    /// Drops all records of a section.
    pub fn drop_section(&mut self, section: Section) {
        if self.count(section) == 0 {
            return;
        }
        if self.in_order(section) {
            self.cut(section);
        } else {
            self.rearrange(|_, items| items.retain(|item| item.section != section));
        }
    }

    /// Drops the last section: the reply ends earlier. Names before it cannot point into it,
    /// pointers go backwards.
    fn cut(&mut self, section: Section) {
        let mut expanded = std::mem::take(&mut self.expanded);
        let mut owner = NameBuf::new();
        let mut start = self.buf.len();
        let mut plain = 0;
        for record in self.records().filter_map(Result::ok).filter(|r| r.section == section) {
            start = start.min(record.start);
            expanded.clear();
            let readable = record.owner(&mut owner).is_ok()
                && rdata::expand(
                    record.rtype,
                    &self.buf,
                    record.rdata_at,
                    record.end,
                    &mut expanded,
                )
                .is_ok();
            if readable {
                plain += (owner.as_wire().len() + 10 + expanded.len()) as u32;
            }
        }
        self.expanded = expanded;
        self.buf.truncate(start);
        self.plain_len = self.plain_len.saturating_sub(plain);
        self.counts[section as usize] = 0;
        self.compressor.reset();
    }

    // --- finishing

    /// Drops records from the end until message and OPT fit `limit`; TC says that some are gone.
    pub fn truncate_to(&mut self, limit: usize) {
        if self.buf.len() <= limit {
            return;
        }
        let mut kept = [0; 3];
        let mut end = self.question_end;
        for record in self.records() {
            let Ok(record) = record else { break };
            if record.end > limit {
                break;
            }
            kept[record.section as usize] += 1;
            end = record.end;
        }
        self.buf.truncate(end);
        self.counts = kept;
        self.truncated = true;
        self.compressor.reset();
    }

    /// Appends the OPT record and counts it.
    pub fn push_opt(&mut self, udp_size: u16, extended_rcode: u8, dnssec_ok: bool, options: &[u8]) {
        let flags = if dnssec_ok { 0x80 } else { 0 };
        let [high, low] = udp_size.to_be_bytes();
        let [len_high, len_low] = (options.len() as u16).to_be_bytes();
        self.buf.extend_from_slice(&[
            0,
            0,
            41,
            high,
            low,
            extended_rcode,
            0,
            flags,
            0,
            len_high,
            len_low,
        ]);
        self.buf.extend_from_slice(options);
        self.counts[2] += 1;
    }

    /// Appends the OPT record with the options written to [`Reply::opt`].
    #[inline]
    pub fn push_own_opt(&mut self, udp_size: u16, extended_rcode: u8, dnssec_ok: bool) {
        let options = std::mem::take(&mut self.opt.options);
        self.push_opt(udp_size, extended_rcode, dnssec_ok, &options);
        self.opt.options = options;
    }

    /// Writes the header: the id and `flags` given, and the counts.
    pub fn seal(&mut self, id: u16, flags: u16) {
        let questions = u16::from(self.question_end > HEADER);
        let [answers, authorities, additionals] = self.counts;
        for (at, word) in
            [id, flags, questions, answers, authorities, additionals].into_iter().enumerate()
        {
            self.buf[2 * at..2 * at + 2].copy_from_slice(&word.to_be_bytes());
        }
    }

    /// Replaces everything by the bare header of a message that could not be parsed, plus its
    /// question where that much was readable.
    pub fn begin_rejection(&mut self, question: &[u8]) {
        self.buf.clear();
        self.buf.extend_from_slice(&[0; HEADER]);
        self.buf.extend_from_slice(question);
        self.question_end = self.buf.len();
        self.plain_len = self.buf.len() as u32;
        self.clear_meaning();
        self.opt.reset();
        self.failure = None;
        self.silent = false;
        self.written = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;

    fn query(text: &str) -> Query {
        let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(Name::from_text(text).unwrap().as_wire());
        bytes.extend_from_slice(&[0, 1, 0, 1]);
        let mut query = Query::new();
        query.receive(&bytes).unwrap();
        query
    }

    fn wire(text: &str) -> Vec<u8> {
        Name::from_text(text).unwrap().as_wire().to_vec()
    }

    fn owners(reply: &Reply) -> Vec<String> {
        let mut buf = NameBuf::new();
        reply
            .records()
            .map(|record| {
                record.unwrap().owner(&mut buf).unwrap();
                buf.to_name().to_string()
            })
            .collect()
    }

    #[test]
    fn names_are_compressed_and_read_back() {
        let query = query("www.example.org.");
        let mut reply = Reply::new();
        reply.begin(&query);
        let name = wire("www.example.org.");
        reply.push(Section::Answer, &name, Rtype::CNAME, Class::IN, 60, &wire("host.Example.org."));
        reply.push(
            Section::Answer,
            &wire("host.example.org."),
            Rtype::A,
            Class::IN,
            60,
            &[1, 2, 3, 4],
        );
        reply.push(
            Section::Authority,
            &wire("example.org."),
            Rtype::NS,
            Class::IN,
            60,
            &wire("ns.other.net."),
        );
        assert_eq!(owners(&reply), ["www.example.org.", "host.example.org.", "example.org."]);
        assert_eq!(&reply.bytes()[reply.question_end()..][..2], [0xC0, 12]);
        let plain = 33 + (17 + 10 + 18) + (18 + 10 + 4) + (13 + 10 + 14);
        assert_eq!(reply.plain_len(), plain);
        assert!(reply.len() < plain as usize);

        let before = reply.bytes().to_vec();
        reply.rearrange(|old, items| {
            assert_eq!(old, before);
            items.swap(0, 1);
            items[2].ttl = 7;
        });
        assert_eq!(owners(&reply), ["host.example.org.", "www.example.org.", "example.org."]);
        assert_eq!(reply.plain_len(), plain);
        let ttls: Vec<u32> = reply.records().map(|r| r.unwrap().ttl).collect();
        assert_eq!(ttls, [60, 60, 7]);

        reply.truncate_to(reply.len() - 1);
        assert!(reply.truncated);
        assert_eq!(reply.count(Section::Authority), 0);
    }

    #[test]
    fn a_dropped_section_no_longer_counts() {
        let query = query("www.example.org.");
        let (owner, host) = (wire("example.org."), wire("ns.example.org."));
        let write = |sections: &[Section]| {
            let mut reply = Reply::new();
            reply.begin(&query);
            for &section in sections {
                for ttl in 0..2 {
                    let (owner, rdata) = (&owner, &host);
                    reply.push(section, owner, Rtype::NS, Class::IN, ttl, rdata);
                }
            }
            reply
        };
        for left_out in Section::ALL {
            for dropped in Section::ALL {
                let there: Vec<Section> =
                    Section::ALL.into_iter().filter(|&section| section != left_out).collect();
                let stays: Vec<Section> =
                    there.iter().copied().filter(|&section| section != dropped).collect();
                let (mut reply, expected) = (write(&there), write(&stays));
                reply.drop_section(dropped);
                assert_eq!(reply.bytes(), expected.bytes(), "{dropped:?} of {there:?}");
                assert_eq!(reply.plain_len(), expected.plain_len(), "{dropped:?} of {there:?}");
                assert_eq!(reply.record_bytes().1, expected.record_bytes().1);
                // What follows is compressed against what is still there.
                reply.push(Section::Additional, &host, Rtype::A, Class::IN, 1, &[192, 0, 2, 1]);
                assert_eq!(owners(&reply).last().map(String::as_str), Some("ns.example.org."));
            }
        }
    }

    #[test]
    fn the_last_section_is_cut_off_in_place() {
        let query = query("www.example.org.");
        let mut reply = Reply::new();
        reply.begin(&query);
        // Bytes that writing anew would change: a name that is not compressed.
        let a =
            [&wire("www.example.org.")[..], &[0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]].concat();
        reply.push_raw(Section::Answer, &a, 1, a.len() as u32);
        let kept = reply.bytes().to_vec();
        reply.push_raw(Section::Authority, &a, 1, a.len() as u32);
        reply.drop_section(Section::Authority);
        assert_eq!(reply.bytes(), kept);
        assert_eq!(reply.plain_len() as usize, kept.len());
    }

    #[test]
    fn a_loaded_message_keeps_records_and_gives_up_its_opt() {
        let query = query("WWW.example.org.");
        let mut upstream = Reply::new();
        upstream.begin(&query);
        upstream.push(
            Section::Answer,
            &wire("www.example.org."),
            Rtype::A,
            Class::IN,
            9,
            &[192, 0, 2, 1],
        );
        upstream.opt.push(10, &[1; 8]);
        let options = upstream.opt.as_wire().to_vec();
        upstream.push_opt(1232, 0, true, &options);
        upstream.seal(1, 0x8580);
        let message = upstream.bytes().to_vec();

        let mut reply = Reply::new();
        reply.begin(&query);
        reply.load(&message).unwrap();
        assert_eq!(reply.count(Section::Answer), 1);
        assert_eq!(reply.count(Section::Additional), 0);
        assert_eq!(reply.opt.options().next().unwrap().code, 10);
        assert!(reply.authoritative() && reply.recursion_available);
        assert_eq!(reply.plain_len(), 33 + 17 + 14);

        for cut in 0..message.len() {
            assert!(reply.load(&message[..cut]).is_err(), "cut at {cut}");
        }
        let mut other_type = message.clone();
        other_type[30] ^= 0x20;
        assert!(reply.load(&other_type).is_err(), "another type");
        let other = self::query("xww.example.org.");
        reply.begin(&other);
        assert!(reply.load(&message).is_err(), "another question");
    }
}
