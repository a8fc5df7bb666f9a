//! A reply: a growing buffer, with the flags and the OPT record held apart until it is finished.
//!
//! Plugins write records and set meaning (authoritative, rcode, failure); ids, echoed flags, OPT,
//! truncation and the bytes of failures are the business of the server's `finish` alone.

mod aliases;
mod append;
mod belongs;
mod edit;
mod push;
mod readdress;

use std::borrow::Cow;
use std::error::Error;

use crate::compress::Compressor;
use crate::edns::{Edns, EdnsOption, Options};
use crate::name::{self, NameBuf};
use crate::record::{Message, Records, Section};
use crate::{HEADER, Malformed, Rcode, Request, Rtype, rdata};

pub use aliases::AliasChain;
pub use push::NewRecord;
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
    /// Where the fault lies.
    pub origin: Origin,
}

/// Where the fault of a failure lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// In this server: a bug, a bound, a configuration, a lack of resources.
    #[default]
    Server,
    /// With upstreams, or the network on the way to them: the resolution has failed in the sense of RFC
    /// 9520.
    Upstream,
}

impl Failure {
    /// A failure with an rcode only.
    pub const fn rcode(rcode: Rcode) -> Self {
        Self { rcode, extended: None, cause: None, origin: Origin::Server }
    }

    /// SERVFAIL with a cause for the log.
    pub fn servfail(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..Self::rcode(Rcode::SERVFAIL) }
    }

    /// SERVFAIL because no upstream gave a usable reply.
    pub fn unresolved(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { origin: Origin::Upstream, ..Self::servfail(cause) }
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
    /// The version of this server's own zones whose data completes an upstream's reply; zero if the
    /// reply has no such data. A cache must not serve the reply when they have changed.
    pub own_version: u32,
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
            own_version: 0,
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
    pub fn begin(&mut self, query: &Request) {
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
        self.own_version = 0;
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

    // --- whole messages

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
mod tests;
