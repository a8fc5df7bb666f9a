//! The envelope of a reply: everything about a message that plugins do not decide.
//!
//! It closes around each message of the reply, for every transport, in two steps. `settle` decides what the
//! message says: the rcode and extended error of a failure, the refusal of a signature. `seal` packs it: room
//! for a signature, truncation, the OPT record, id and flags, the signature. Limits look at it in between, so
//! that nothing is signed that is not sent. `signature` judges the query's.

use exchange::Query;
use wire::edns::option;
use wire::{Opcode, Rcode, Reply};

/// Octets of an OPT record without options.
const BARE_OPT: usize = 11;
/// Octets of an EDNS option without data.
const OPTION_HEADER: usize = 4;
/// Padded replies are a multiple of this long.
const BLOCK: usize = 468;

/// Decides what a message of the reply says; its rcode is final after this.
#[inline]
pub(crate) fn settle(query: &mut Query, reply: &mut Reply) {
    if reply.failure().is_some() {
        fail(query, reply);
    }
    if query.state.signer.is_some() {
        review(query, reply);
    }
}

#[cold]
fn review(query: &mut Query, reply: &mut Reply) {
    let Some(mut signer) = query.state.signer.take() else { return };
    signer.review(query, reply);
    query.state.signer = Some(signer);
}

/// Packs a settled message: after this its bytes can be sent.
#[inline]
pub(crate) fn seal(query: &mut Query, reply: &mut Reply) {
    if query.state.signer.is_some() {
        return seal_signed(query, reply);
    }
    complete(query, reply, 0);
}

#[cold]
fn seal_signed(query: &mut Query, reply: &mut Reply) {
    let Some(mut signer) = query.state.signer.take() else { return };
    let reserved = signer.reserve(reply);
    complete(query, reply, reserved.unwrap_or(0));
    if reserved.is_some() {
        if reply.truncated && query.client.transport.is_datagram() {
            cut(reply);
            complete(query, reply, reserved.unwrap_or(0));
        }
        signer.sign(query, reply);
        // The counts include the signature now.
        reply.seal(query.id(), flags(query, reply, reply.rcode()));
    }
    query.state.signer = Some(signer);
}

/// Leaves a reply that is signed and does not fit with the question alone, TC and NOERROR (RFC 8945 section
/// 5.3).
fn cut(reply: &mut Reply) {
    let opt = std::mem::take(&mut reply.opt);
    let (authoritative, foreign) = (reply.authoritative(), reply.foreign);
    let (desired, available) = (reply.recursion_desired, reply.recursion_available);
    reply.clear();
    reply.set_authoritative(authoritative);
    (reply.recursion_desired, reply.recursion_available) = (desired, available);
    reply.opt = opt;
    reply.foreign = foreign;
    reply.truncated = true;
}

/// Truncation, OPT record and header; leaves `reserved` octets free.
#[inline]
fn complete(query: &Query, reply: &mut Reply, reserved: usize) {
    let rcode = reply.rcode();
    let limit = query.reply_limit() - reserved.min(query.reply_limit());
    match query.edns() {
        Some(edns) => {
            let dnssec_ok = edns.dnssec_ok;
            // RFC 6891 section 6.2.6: options are per hop. Cookie, connection and padding of an upstream
            // are not for the client.
            if reply.opt.own {
                reply.opt.retain(|opt| {
                    !matches!(opt.code, option::COOKIE | option::TCP_KEEPALIVE | option::PADDING)
                });
            }
            if query.client.transport.carries_keepalive() {
                tell_keepalive(query, reply);
            }
            let opt_len = BARE_OPT + reply.opt.as_wire().len();
            reply.truncate_to(limit.saturating_sub(opt_len));
            if query.client.transport.pads() {
                pad(query, reply, limit, reserved);
            }
            reply.push_own_opt(query.announced_udp_size(), rcode.extended_bits(), dnssec_ok);
        }
        // RFC 6891 section 7: no OPT in the query, no OPT in the reply.
        None => reply.truncate_to(limit),
    }
    reply.seal(query.id(), flags(query, reply, rcode));
}

/// Empties a settled message and marks it as truncated: what a rate limit lets slip, so that a client with
/// a genuine address asks again over TCP.
#[cold]
pub(crate) fn slip(reply: &mut Reply) {
    let (rcode, desired, foreign) = (reply.rcode(), reply.recursion_desired, reply.foreign);
    reply.clear();
    reply.set_rcode(rcode);
    reply.recursion_desired = desired;
    reply.foreign = foreign;
    reply.truncated = true;
}

/// Answers a client that asks how long it may keep its connection (RFC 7828 section 3.3.2).
fn tell_keepalive(query: &Query, reply: &mut Reply) {
    if query.options().any(|opt| opt.code == option::TCP_KEEPALIVE) {
        reply.opt.push(option::TCP_KEEPALIVE, &query.client.keepalive.to_be_bytes());
    }
}

/// Pads the reply for a client that pads its queries: "responders SHOULD pad to a multiple of 468 octets" (RFC
/// 8467 section 4.1), with the signature that is to come.
fn pad(query: &Query, reply: &mut Reply, limit: usize, reserved: usize) {
    if !query.options().any(|opt| opt.code == option::PADDING) {
        return;
    }
    let bare = reply.bytes().len() + BARE_OPT + reply.opt.as_wire().len() + OPTION_HEADER;
    let padded = (bare + reserved).next_multiple_of(BLOCK) - reserved;
    if let Some(octets) = padded.min(limit).checked_sub(bare) {
        // "The PADDING octets SHOULD be set to 0x00." (RFC 7830 section 3)
        reply.opt.push(option::PADDING, &[0; BLOCK][..octets]);
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

/// Settles the reply to bytes that are not a query: a header, and the question if it could be read.
#[cold]
pub(crate) fn settle_rejection(query: &Query, reply: &mut Reply, rcode: Rcode) {
    let question = if query.question().len() > 4 { query.question() } else { &[] };
    reply.begin_rejection(question);
    reply.set_rcode(rcode);
    // Whatever it was, its RD comes back.
    reply.recursion_desired = Some(query.recursion_desired());
}

/// Packs the reply to bytes that are not a query.
#[cold]
pub(crate) fn seal_rejection(query: &Query, reply: &mut Reply) {
    reply.seal(query.id(), flags(query, reply, reply.rcode()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{HEADER, Message, Transport};

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
        settle(&mut query, &mut reply);
        seal(&mut query, &mut reply);
        assert!(Message::new(reply.bytes()).is_ok());
        let at = HEADER + 5 + 3;
        u16::from_be_bytes([reply.bytes()[at], reply.bytes()[at + 1]])
    }

    /// The length of the reply over `transport` to a query with a padding option, or without one.
    fn length(transport: Transport, pads: bool, answers: usize) -> usize {
        let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1];
        message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0]);
        let option: &[u8] = if pads { &[0, 6, 0, 12, 0, 2, 0, 0] } else { &[0, 0] };
        message.extend_from_slice(option);
        let (mut query, mut reply) = (Query::new(), Reply::new());
        query.receive(&message).unwrap();
        query.client.transport = transport;
        reply.begin(&query);
        for _ in 0..answers {
            reply.answer(60, wire::Rdata::Txt(&[7; 200]));
        }
        settle(&mut query, &mut reply);
        seal(&mut query, &mut reply);
        let padded = Message::new(reply.bytes()).unwrap();
        assert!(padded.records().all(|record| record.is_ok()));
        reply.bytes().len()
    }

    #[test]
    fn replies_are_padded_where_they_are_encrypted_and_the_client_pads() {
        let bare = length(Transport::Tls, false, 0);
        assert_eq!(bare, HEADER + 5 + BARE_OPT);
        for transport in [Transport::Tls, Transport::Https, Transport::Quic] {
            assert_eq!(length(transport, true, 0), BLOCK);
            assert_eq!(length(transport, true, 2), BLOCK);
            assert_eq!(length(transport, true, 4), 2 * BLOCK);
        }
        for transport in [Transport::Udp, Transport::Tcp] {
            assert_eq!(length(transport, true, 0), bare);
        }
        assert_eq!(length(Transport::Tls, true, 308), 140 * BLOCK, "the longest that there is");
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
