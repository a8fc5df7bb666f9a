//! Encodes answers as keys and values in Redis. Pure: time is an argument.
//!
//! A value contains its expiry as a point in time, not as a time to live, so a late write or a copy
//! does not extend it. Values come from outside, so they are checked in full.

use std::fmt::Write;

use chain::Setup;
use exchange::Query;
use ring::digest::{Context, SHA256};
use wire::answer::{Answer, AnswerKind};
use wire::name::Text;
use wire::{HEADER, Malformed, Rcode, Reply};

/// The version of the format of keys and values. Servers with other versions do not see these.
const FORM: u8 = 1;
/// The octets of version, time and lifetime in a value, before the message.
const PREAMBLE: usize = 13;

/// The key of a question: `catena:1:GROUP:BITS:CLASS:TYPE:NAME`, where BITS is 1 for DO and 2 for CD.
/// It contains the whole question, and no hash.
pub(super) fn key(group: &str, query: &Query) -> Vec<u8> {
    let bits = u8::from(query.wants_dnssec()) | u8::from(query.checking_disabled()) << 1;
    let mut key = String::with_capacity(64 + query.name().len());
    // Writing to a string cannot fail.
    let _ = write!(
        key,
        "catena:{FORM}:{group}:{bits}:{}:{}:{}",
        query.qclass().0,
        query.qtype().0,
        Text(query.name())
    );
    key.into_bytes()
}

/// The identity of a server block, whose answers may differ from those of others: its zones, ports,
/// addresses and view, as they are written. Servers with the same Corefile share their answers.
pub(super) fn group(setup: &Setup<'_>) -> String {
    let mut digest = Context::new(&SHA256);
    let mut add = |kind: &[u8], text: &[u8]| {
        for bytes in [kind, text] {
            digest.update(&(bytes.len() as u32).to_be_bytes());
            digest.update(bytes);
        }
    };
    let mut keys: Vec<(String, u16)> =
        setup.keys().iter().map(|key| (key.zone.to_string(), key.port())).collect();
    keys.sort();
    for (zone, port) in keys {
        add(b"key", format!("{zone} {port}").as_bytes());
    }
    for (kind, word) in setup.audience() {
        add(kind.as_bytes(), word.as_bytes());
    }
    let hash = digest.finish();
    hash.as_ref()[..8].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A value for `reply`, whose records all have the TTL `ttl`, `now` milliseconds after 1970.
pub(super) fn encode(reply: &Reply, now: u64, ttl: u32) -> Vec<u8> {
    let (records, counts) = reply.record_bytes();
    let question = reply.question();
    let mut value = Vec::with_capacity(PREAMBLE + HEADER + question.len() + records.len());
    value.push(FORM);
    value.extend_from_slice(&now.saturating_add(u64::from(ttl) * 1000).to_be_bytes());
    value.extend_from_slice(&ttl.to_be_bytes());
    // RFC 1034 section 6.2.1: cached data is not authoritative. A server's own data is.
    let authoritative = reply.authoritative() && !reply.foreign;
    let flags = 0x8000
        | u16::from(authoritative) << 10
        | u16::from(reply.recursion_available) << 7
        | u16::from(reply.authentic_data) << 5
        | reply.rcode().0 & 15;
    for word in [0, flags, 1, counts[0], counts[1], counts[2]] {
        value.extend_from_slice(&word.to_be_bytes());
    }
    value.extend_from_slice(question);
    value.extend_from_slice(records);
    value
}

/// Loads `value`, `now` milliseconds after 1970, into `reply`, which has the question of `query`.
/// Returns whether it did: an expired value, or one that expires too soon for a renewal, is not used. No
/// TTL is longer than `longest` seconds, whatever the clocks say.
///
/// # Errors
/// The value is invalid, or no answer to this question. `reply` does not change.
pub(super) fn load_value(
    value: &[u8],
    now: u64,
    longest: u32,
    query: &Query,
    reply: &mut Reply,
) -> Result<bool, Malformed> {
    let (&[FORM], rest) = value.split_first_chunk::<1>().ok_or(Malformed)? else {
        return Err(Malformed);
    };
    let (&until, rest) = rest.split_first_chunk::<8>().ok_or(Malformed)?;
    let (&lifetime, message) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
    let lifetime = u32::from_be_bytes(lifetime).min(longest);
    // Rounded to the nearest second, because the clocks of two servers differ by milliseconds.
    let left = u64::from_be_bytes(until).saturating_sub(now).saturating_add(500) / 1000;
    let left = left.min(u64::from(lifetime)) as u32;
    // A renewal replaces an entry that expires soon. A value of the same age is of no use to it.
    if left == 0 || query.state.refresh && left <= lifetime / 2 {
        return Ok(false);
    }
    if let Err(malformed) = load(message, now / 1000, query, reply) {
        reply.clear();
        return Err(malformed);
    }
    reply.edit_ttls(|_, _| left);
    reply.authentic_data &= query.wants_dnssec() || query.authentic_data();
    // AA was set by the server that wrote the value, which is one of ours.
    reply.foreign = !reply.authoritative();
    Ok(true)
}

/// Loads a message if it can be a stored answer to this question.
fn load(message: &[u8], unix: u64, query: &Query, reply: &mut Reply) -> Result<(), Malformed> {
    let flags = message.get(2..4).and_then(|flags| flags.first_chunk()).ok_or(Malformed)?;
    // QR must be set; opcode, TC, RD, Z and CD must be zero.
    if u16::from_be_bytes(*flags) & 0xFB50 != 0x8000 {
        return Err(Malformed);
    }
    reply.load(message)?;
    if reply.opt.own || !matches!(reply.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN) {
        return Err(Malformed);
    }
    if !reply.authoritative() {
        // This server writes nothing else, but others can write to Redis, too.
        reply.keep_what_belongs();
    }
    let answer = Answer::of(query, reply, || unix)?;
    let is_answer = match answer.kind {
        AnswerKind::Answer => answer.answering,
        AnswerKind::NameError | AnswerKind::NoData => answer.is_lasting(),
        AnswerKind::Delegation | AnswerKind::Failure | AnswerKind::Other => false,
    };
    if is_answer { Ok(()) } else { Err(Malformed) }
}
