//! A query and its reply, read as the lines of a log need them.

use std::io::Write;
use std::net::IpAddr;

use wire::{Query, Rcode, Reply};

use super::class::Kind;

/// What there is to tell about a query.
pub(super) struct Seen<'a> {
    pub(super) query: &'a Query,
    pub(super) reply: &'a Reply,
    pub(super) kind: Kind,
}

/// Octets of an OPT record without options, and of an option without data.
const BARE_OPT: usize = 11;
const BARE_OPTION: usize = 4;

impl Seen<'_> {
    /// The rcode, unless nothing is sent.
    pub(super) fn rcode(&self) -> Option<Rcode> {
        (!self.reply.is_silent()).then(|| self.reply.rcode())
    }

    /// The size of the reply without compression. An OPT record counts if a plugin or an upstream
    /// wrote one, as in CoreDNS.
    pub(super) fn reply_size(&self) -> usize {
        if self.reply.is_silent() {
            return 0;
        }
        if let Some(failure) = self.reply.failure() {
            let extended = match &failure.extended {
                Some((_, text)) if self.query.edns().is_some() => {
                    BARE_OPT + BARE_OPTION + 2 + text.len()
                }
                _ => 0,
            };
            return self.reply.question_end() + extended;
        }
        let opt = &self.reply.opt;
        let own = opt.own || !opt.as_wire().is_empty();
        self.reply.plain_len() as usize + if own { BARE_OPT + opt.as_wire().len() } else { 0 }
    }

    /// The UDP payload size that the client offers; what a stream carries without an offer.
    pub(super) fn buffer_size(&self) -> u16 {
        match self.query.transport.proto() {
            "tcp" => u16::MAX,
            _ => self.query.udp_size(),
        }
    }

    /// The seconds it took so far.
    pub(super) fn seconds(&self) -> f64 {
        self.query.now.since(self.query.received).as_secs_f64()
    }

    /// Whether the server will have to truncate the reply. It does so last of all.
    fn is_too_long(&self) -> bool {
        let opt = self.query.edns().map_or(0, |_| BARE_OPT + self.reply.opt.as_wire().len());
        self.reply.len() + opt > self.query.reply_limit()
    }

    /// The flags of the reply that will be set, joined by commas; `false` if nothing is sent.
    pub(super) fn flags(&self, line: &mut Vec<u8>) -> bool {
        if self.reply.is_silent() {
            return false;
        }
        // A failure forgets what was written before it.
        let (query, reply, failed) = (self.query, self.reply, self.reply.failure().is_some());
        line.extend_from_slice(b"qr");
        for (set, flag) in [
            (!failed && reply.authoritative(), b",aa"),
            (!failed && (reply.truncated || self.is_too_long()), b",tc"),
            (query.recursion_desired(), b",rd"),
            (!failed && reply.recursion_available, b",ra"),
            (!failed && reply.authentic_data, b",ad"),
            (query.checking_disabled(), b",cd"),
        ] {
            if set {
                line.extend_from_slice(flag);
            }
        }
        true
    }
}

/// Writes an address; one of IPv6 in brackets (RFC 3986 section 3.2.2).
pub(super) fn address(line: &mut Vec<u8>, address: IpAddr) {
    // Writing to a vector does not fail.
    let _ = match address.to_canonical() {
        IpAddr::V4(address) => write!(line, "{address}"),
        IpAddr::V6(address) => write!(line, "[{address}]"),
    };
}
