//! Completes every reply with what plugins do not do.
//!
//! This covers the id and echoed flags, the failure's rcode and extended error, the OPT record, and
//! truncation, in one place for every transport.

use wire::edns::option;
use wire::name;
use wire::{Class, NameBuf, NewRecord, Opcode, Query, Rcode, Rdata, Record, Reply, Rtype, Section};

/// Octets of an OPT record without options.
const BARE_OPT: usize = 11;

/// Completes the reply: after this its bytes can be sent.
#[inline]
pub(crate) fn finish(query: &Query, reply: &mut Reply) {
    if reply.failure().is_some() {
        fail(query, reply);
    }
    if query.tsig_at().is_some() && !reply.foreign {
        return refuse_key(query, reply);
    }
    let rcode = reply.rcode();
    match query.edns() {
        Some(edns) => {
            let dnssec_ok = edns.dnssec_ok;
            // RFC 6891 section 6.2.6: options are per hop; what an upstream said to us about its
            // cookie, connection or padding is not for our client.
            if reply.opt.own {
                reply.opt.retain(|opt| {
                    !matches!(opt.code, option::COOKIE | option::TCP_KEEPALIVE | option::PADDING)
                });
            }
            if !query.transport.is_datagram() {
                tell_keepalive(query, reply);
            }
            let opt_len = BARE_OPT + reply.opt.as_wire().len();
            reply.truncate_to(query.reply_limit().saturating_sub(opt_len));
            reply.push_own_opt(query.announced_udp_size(), rcode.extended_bits(), dnssec_ok);
        }
        // RFC 6891 section 7: no OPT in the query, no OPT in the reply.
        None => reply.truncate_to(query.reply_limit()),
    }
    reply.seal(query.id(), flags(query, reply, rcode));
}

/// A client that asks how long it may keep its connection is told (RFC 7828 section 3.3.2).
fn tell_keepalive(query: &Query, reply: &mut Reply) {
    if query.options().any(|opt| opt.code == option::TCP_KEEPALIVE) {
        reply.opt.push(option::TCP_KEEPALIVE, &query.keepalive.to_be_bytes());
    }
}

/// A reply without records that carries the failure's rcode, and its extended error if the client
/// can read one. The name of this server (RFC 5001) stays: failures are when it is asked for.
#[cold]
fn fail(query: &Query, reply: &mut Reply) {
    let Some(failure) = reply.take_failure() else { return };
    let mut opt = std::mem::take(&mut reply.opt);
    reply.clear();
    opt.retain(|opt| opt.code == option::NSID);
    opt.own = false;
    reply.opt = opt;
    reply.set_rcode(failure.rcode);
    if let Some((code, text)) = &failure.extended
        && query.edns().is_some()
    {
        let mut data = Vec::with_capacity(2 + text.len());
        data.extend_from_slice(&code.to_be_bytes());
        data.extend_from_slice(text.as_bytes());
        reply.opt.push(option::EXTENDED_ERROR, &data);
    }
}

/// The reply to a query that is signed with a key we do not have, which are all: NOTAUTH, and an
/// unsigned TSIG record that says BADKEY (RFC 8945 section 5.2.1). An upstream's reply to a signed
/// query that was passed on is not ours to judge.
#[cold]
fn refuse_key(query: &Query, reply: &mut Reply) {
    reply.clear();
    reply.set_rcode(Rcode::NOTAUTH);
    if let Some(edns) = query.edns() {
        reply.push_own_opt(query.announced_udp_size(), 0, edns.dnssec_ok);
    }
    if let Some((key, rdata)) = bad_key(query) {
        let tsig = NewRecord::new(key.as_wire(), 0, Rdata::Other(Rtype::TSIG, &rdata));
        reply.push(Section::Additional, tsig.class(Class::ANY));
    }
    reply.seal(query.id(), flags(query, reply, Rcode::NOTAUTH));
}

/// Key name and RDATA of the TSIG record that refuses the query's.
fn bad_key(query: &Query) -> Option<(NameBuf, Vec<u8>)> {
    let message = query.bytes();
    let record = Record::read(message, query.tsig_at()?, Section::Additional).ok()?;
    let (mut key, mut algorithm) = (NameBuf::new(), NameBuf::new());
    record.owner(&mut key).ok()?;
    let at = name::read(message, record.rdata_at, &mut algorithm).ok()?;
    let time_and_fudge = message.get(at..at + 8).filter(|_| at + 8 <= record.end)?;
    let mut rdata = algorithm.as_wire().to_vec();
    rdata.extend_from_slice(time_and_fudge);
    rdata.extend_from_slice(&[0, 0]); // no MAC
    rdata.extend_from_slice(&query.id().to_be_bytes());
    rdata.extend_from_slice(&Rcode::BADKEY.0.to_be_bytes());
    rdata.extend_from_slice(&[0, 0]); // no other data
    Some((key, rdata))
}

/// The second sixteen bits of the header (RFC 1035 section 4.1.1, RFC 4035 section 3).
#[inline]
fn flags(query: &Query, reply: &Reply, rcode: Rcode) -> u16 {
    let bit = |yes: bool, place: u32| u16::from(yes) << place;
    // RD and CD are a query's (RFC 1035 section 4.1.1); notifications have neither.
    let is_query = query.opcode() == Opcode::QUERY;
    let desired = || is_query && query.recursion_desired();
    bit(true, 15)
        | u16::from(query.opcode().0) << 11
        | bit(reply.authoritative(), 10)
        | bit(reply.truncated, 9)
        | bit(reply.recursion_desired.unwrap_or_else(desired), 8)
        | bit(reply.recursion_available, 7)
        | bit(reply.authentic_data, 5)
        | bit(is_query && query.checking_disabled(), 4)
        | u16::from(rcode.header_bits())
}

/// The reply to bytes that are not a query: a header, and the question if it could be read.
#[cold]
pub(crate) fn reject(query: &Query, reply: &mut Reply, rcode: Rcode) {
    let question = if query.question().len() > 4 { query.question() } else { &[] };
    reply.begin_rejection(question);
    reply.set_rcode(rcode);
    // Whatever it was, its RD comes back.
    reply.recursion_desired = Some(query.recursion_desired());
    reply.seal(query.id(), flags(query, reply, rcode));
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{HEADER, Message};

    /// The UDP payload size in the OPT record of the reply to a query that offers `offered`, in a block
    /// whose cap is `cap`.
    fn announced(offered: u16, cap: Option<u16>) -> u16 {
        let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 41];
        message.extend_from_slice(&offered.to_be_bytes());
        message.extend_from_slice(&[0; 6]);
        let (mut query, mut reply) = (Query::new(), Reply::new());
        query.receive(&message).unwrap();
        if let Some(cap) = cap {
            query.limit_udp_size(cap);
        }
        reply.begin(&query);
        finish(&query, &mut reply);
        assert!(Message::new(reply.bytes()).is_ok());
        let at = HEADER + 5 + 3;
        u16::from_be_bytes([reply.bytes()[at], reply.bytes()[at + 1]])
    }

    #[test]
    fn replies_announce_no_more_than_the_cap() {
        assert_eq!(announced(65_535, None), 1232);
        assert_eq!(announced(4096, None), 1232);
        assert_eq!(announced(800, None), 800);
        assert_eq!(announced(100, None), 512, "RFC 6891 section 6.2.3");
        assert_eq!(announced(4096, Some(4096)), 4096);
        assert_eq!(announced(65_535, Some(4096)), 4096);
        assert_eq!(announced(4096, Some(600)), 600);
    }
}
