//! The values of a query and its reply that log lines show.

use std::io::Write;
use std::net::IpAddr;

use exchange::Query;
use wire::{Rcode, Reply};

/// A query and its reply, for a log line.
pub struct LogRecord<'a> {
    /// The query.
    pub query: &'a Query,
    /// The reply; `None` if it is not known yet.
    pub reply: Option<&'a Reply>,
}

/// Octets of an OPT record without options, and of an option without data.
const BARE_OPT: usize = 11;
const BARE_OPTION: usize = 4;

impl LogRecord<'_> {
    /// The rcode, unless nothing is sent.
    pub fn rcode(&self) -> Option<Rcode> {
        let reply = self.reply.filter(|reply| !reply.is_silent())?;
        Some(reply.rcode())
    }

    /// The size of the reply without compression. An OPT record counts if a plugin or an upstream
    /// wrote one, as in CoreDNS.
    pub fn reply_size(&self) -> usize {
        let Some(reply) = self.reply.filter(|reply| !reply.is_silent()) else { return 0 };
        if let Some(failure) = reply.failure() {
            let extended = match &failure.extended {
                Some((_, text)) if self.query.edns().is_some() => {
                    BARE_OPT + BARE_OPTION + 2 + text.len()
                }
                _ => 0,
            };
            return reply.question_end() + extended;
        }
        let opt = &reply.opt;
        let own = opt.own || !opt.as_wire().is_empty();
        reply.plain_len() as usize + if own { BARE_OPT + opt.as_wire().len() } else { 0 }
    }

    /// The UDP payload size that the client offers; over a stream without an offer, its maximum.
    pub fn buffer_size(&self) -> u16 {
        match self.query.client.transport.proto() {
            "tcp" => u16::MAX,
            _ => self.query.udp_size(),
        }
    }

    /// The seconds since the query was received.
    pub fn seconds(&self) -> f64 {
        self.query.client.now.since(self.query.client.received).as_secs_f64()
    }

    /// Whether the server will truncate the reply, which happens after all plugins.
    fn is_too_long(&self, reply: &Reply) -> bool {
        let opt = self.query.edns().map_or(0, |_| BARE_OPT + reply.opt.as_wire().len());
        reply.len() + opt > self.query.reply_limit()
    }

    /// Writes the flags of the reply as it will be sent, joined by commas; `false` if nothing is sent.
    pub fn flags(&self, line: &mut Vec<u8>) -> bool {
        let Some(reply) = self.reply.filter(|reply| !reply.is_silent()) else { return false };
        // A failure discards the reply that was written before it.
        let (query, failed) = (self.query, reply.failure().is_some());
        line.extend_from_slice(b"qr");
        for (set, flag) in [
            (!failed && reply.authoritative(), b",aa"),
            (!failed && (reply.truncated || self.is_too_long(reply)), b",tc"),
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
pub fn address(line: &mut Vec<u8>, address: IpAddr) {
    // Writing to a vector does not fail.
    let _ = match address.to_canonical() {
        IpAddr::V4(address) => write!(line, "{address}"),
        IpAddr::V6(address) => write!(line, "[{address}]"),
    };
}
