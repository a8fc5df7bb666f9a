//! The message that is sent to an upstream, and whether a received message is the reply to it.

use std::io;
use std::ops::Range;

use exchange::Query;
use telemetry::metrics::Worker;
use wire::edns::option;
use wire::record::{Record, Records};
use wire::{
    HEADER, MIN_UDP_PAYLOAD, Malformed, Opcode, Rcode, Rtype, SAFE_UDP_PAYLOAD, Section, name,
};

use net::random;

/// The largest UDP payload size in a query to an upstream: larger datagrams are fragmented on the
/// way, and fragments can be forged (DNS flag day 2020). A larger answer comes over TCP.
const MAX_ADVERTISED: u16 = SAFE_UDP_PAYLOAD;

/// A client's query as it is sent to upstreams.
pub(crate) struct Question {
    /// The message; id and the name's case change from attempt to attempt.
    pub(crate) message: Vec<u8>,
    end: usize,
    /// Where the EDNS options are, if they may be changed.
    options: Option<Range<usize>>,
    /// The name in the client's case; empty unless the case may be mixed.
    client: Vec<u8>,
    /// Whether the case is mixed now.
    mixed: bool,
    /// Whether the client asked over a connection.
    pub(crate) connected: bool,
    /// Whether the sections of the reply mean what they do in a reply to a query.
    pub(crate) ordinary: bool,
    /// The worker whose metrics count it.
    pub(crate) worker: Worker,
}

impl Question {
    /// The query's message with flags, OPT and options as they are. Bytes behind the last record
    /// stay here.
    ///
    /// Errors: the records cannot be walked, although they were when the query came.
    pub(crate) fn new(query: &Query, mix_case: bool) -> Result<Self, Malformed> {
        let bytes = query.bytes();
        let head: &[u8; HEADER] = bytes.first_chunk().ok_or(Malformed)?;
        let count = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let end = query.question_end();
        let mut records = Records::new(bytes, end, [count(6), count(8), count(10)]);
        for record in records.by_ref() {
            record?;
        }
        let mut message = Vec::with_capacity(records.position());
        message.extend_from_slice(bytes.get(..records.position()).ok_or(Malformed)?);
        if let Some(edns) = query.edns()
            // A signature covers the OPT record and the name as they are (RFC 8945 section 4.3.3).
            && query.tsig_at().is_none()
            && let Some(size) = message.get_mut(edns.at + 3..edns.at + 5)
        {
            let lowered = edns.udp_size.clamp(MIN_UDP_PAYLOAD, MAX_ADVERTISED);
            size.copy_from_slice(&lowered.to_be_bytes());
        }
        let free = query.edns().filter(|_| query.tsig_at().is_none());
        let mixable = mix_case && query.tsig_at().is_none();
        Ok(Self {
            message,
            end,
            options: free.map(|edns| edns.options_at..edns.end),
            client: if mixable { query.original_name().to_vec() } else { Vec::new() },
            mixed: false,
            connected: query.client.transport.proto() == "tcp",
            ordinary: query.opcode() == Opcode::QUERY && !query.qtype().is_transfer(),
            worker: query.client.worker,
        })
    }

    /// Sets a new id, and over UDP a new case of the name if configured.
    ///
    /// Errors: no random numbers.
    pub(crate) fn renew(&mut self, udp: bool) -> io::Result<()> {
        self.message[..2].copy_from_slice(&random::bytes::<2>()?);
        if self.client.is_empty() {
            return Ok(());
        }
        let name = &mut self.message[HEADER..self.end - 4];
        name.copy_from_slice(&self.client);
        self.mixed = udp;
        if udp {
            let bits = random::bytes::<32>()?;
            for (at, byte) in name.iter_mut().enumerate() {
                // Length bytes are below 64 and so no letters.
                if byte.is_ascii_alphabetic() && bits[at / 8] >> (at % 8) & 1 == 1 {
                    *byte ^= 0x20;
                }
            }
        }
        Ok(())
    }

    /// Whether the query is a zone transfer.
    pub(crate) fn is_transfer(&self) -> bool {
        let qtype = self.message[..self.end].last_chunk::<4>();
        qtype.is_some_and(|&[high, low, ..]| Rtype(u16::from_be_bytes([high, low])).is_transfer())
    }

    /// Removes edns-tcp-keepalive: it is for this hop only, and over QUIC it is a protocol error (RFC
    /// 9250 section 5.5.2). A signed message stays unchanged.
    pub(crate) fn drop_keepalive(&mut self) {
        let Some(options) = &mut self.options else { return };
        let mut at = options.start;
        while at < options.end {
            let Some(&[c1, c2, l1, l2]) = self.message[at..].first_chunk::<4>() else { return };
            let end = at + 4 + usize::from(u16::from_be_bytes([l1, l2]));
            if u16::from_be_bytes([c1, c2]) != option::TCP_KEEPALIVE {
                at = end;
                continue;
            }
            self.message.drain(at..end);
            options.end -= end - at;
            // Shorter than it was, so it fits.
            let length = (options.end - options.start) as u16;
            self.message[options.start - 2..options.start].copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Judges what came back.
    ///
    /// RFC 5452 section 9.1: id, question name, class and type must match; the address and port
    /// do because the socket is connected.
    pub(crate) fn judge(&self, reply: &[u8]) -> Verdict {
        let (Some(head), Some(sent)) =
            (reply.first_chunk::<HEADER>(), self.message.first_chunk::<HEADER>())
        else {
            return Verdict::Foreign;
        };
        // QR set, opcode as sent (RFC 1035 section 4.1.1).
        if head[..2] != sent[..2] || head[2] & 0xF8 != sent[2] & 0x78 | 0x80 {
            return Verdict::Foreign;
        }
        let count = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        if count(4) == 0 {
            // Servers that could not read the query, or do not want to, may answer with a header
            // (RFC 6891 section 7: FORMERR from those without EDNS).
            let rcode = Rcode(u16::from(head[3] & 0x0F));
            let bare = count(6) | count(8) == 0 && count(10) <= 1;
            let refuses =
                matches!(rcode, Rcode::FORMERR | Rcode::SERVFAIL | Rcode::NOTIMP | Rcode::REFUSED);
            return if bare && refuses { Verdict::Refusal(rcode) } else { Verdict::Foreign };
        }
        let sent = &self.message[HEADER..self.end];
        let Some(question) = reply.get(HEADER..self.end) else { return Verdict::Foreign };
        if count(4) != 1 {
            return Verdict::Foreign;
        }
        if question == sent {
            return Verdict::Ours;
        }
        let (name, rest) = question.split_at(question.len() - 4);
        let (sent_name, sent_rest) = sent.split_at(sent.len() - 4);
        if rest != sent_rest || !name::eq(name, sent_name) {
            Verdict::Foreign
        } else if self.mixed {
            Verdict::OtherCase
        } else {
            Verdict::Ours
        }
    }

    /// The name in the client's case, if the reply needs it restored.
    pub(crate) fn client_case(&self) -> Option<&[u8]> {
        self.mixed.then_some(&self.client)
    }
}

/// What a datagram or message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The reply.
    Ours,
    /// The reply, by a server that repeats no question.
    Refusal(Rcode),
    /// The reply but for the name's case: forged, or by a server that does not keep it.
    OtherCase,
    /// Forged, late or garbage.
    Foreign,
}

/// Gives the owner names that repeat the question's case the client's instead: the whole name or
/// an end of it. Names in record data stay.
pub(crate) fn restore_case(message: &mut [u8], client: &[u8]) {
    let Some(head) = message.first_chunk::<HEADER>() else { return };
    let count = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let total = u32::from(count(6)) + u32::from(count(8)) + u32::from(count(10));
    let mut at = HEADER + client.len() + 4;
    if message.len() < at {
        return;
    }
    message[HEADER..HEADER + client.len()].copy_from_slice(client);
    for _ in 0..total {
        let Ok(record) = Record::read(message, at, Section::Answer) else { return };
        let (start, end) = (record.start, record.end);
        if let Some(len) = name::wire_len(&message[start..])
            && len <= client.len()
            && let tail = &client[client.len() - len..]
            && name::eq(&message[start..start + len], tail)
        {
            message[start..start + len].copy_from_slice(tail);
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::Name;

    fn query(text: &str, edns: bool) -> Query {
        let mut bytes = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
        bytes.extend_from_slice(Name::from_text(text).unwrap().as_wire());
        bytes.extend_from_slice(&[0, 65, 0, 1]);
        if edns {
            bytes.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 4, 0, 3, 0, 0]);
        }
        bytes.extend_from_slice(b"junk");
        let mut query = Query::new();
        query.receive(&bytes).unwrap();
        query
    }

    fn reply(question: &Question) -> Vec<u8> {
        let mut reply = question.message.clone();
        reply[2] |= 0x80;
        reply
    }

    #[test]
    fn the_query_goes_out_with_a_new_id_and_a_safe_size() {
        let query = query("www.example.org.", true);
        let mut question = Question::new(&query, false).unwrap();
        let ids: std::collections::HashSet<[u8; 2]> = (0..50)
            .map(|_| {
                question.renew(true).unwrap();
                [question.message[0], question.message[1]]
            })
            .collect();
        assert!(ids.len() > 40);
        let mut expected = query.bytes()[..query.bytes().len() - 4].to_vec();
        let at = query.edns().unwrap().at;
        expected[at + 3..at + 5].copy_from_slice(&1232u16.to_be_bytes());
        assert_eq!(question.message[2..], expected[2..], "junk stays here, options go along");
    }

    #[test]
    fn only_the_reply_to_the_question_is_taken() {
        let query = query("www.example.org.", false);
        let mut question = Question::new(&query, false).unwrap();
        question.renew(true).unwrap();
        let good = reply(&question);
        assert_eq!(question.judge(&good), Verdict::Ours);
        assert_eq!(question.judge(&good.to_ascii_uppercase()[..good.len()]).is_ours(), {
            // The id may hold letters: then it is another id.
            good[..4] == good.to_ascii_uppercase()[..4]
        });
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            question.judge(&bytes)
        };
        assert_eq!(with(0, good[0] ^ 1), Verdict::Foreign, "id");
        assert_eq!(with(2, good[2] & 0x7F), Verdict::Foreign, "a query");
        assert_eq!(with(2, good[2] | 0x20), Verdict::Foreign, "another opcode");
        assert_eq!(with(5, 2), Verdict::Foreign, "two questions");
        assert_eq!(with(13, b'x'), Verdict::Foreign, "another name");
        // Type 65 and type 97 differ as upper and lower case do.
        assert_eq!(with(good.len() - 3, 97), Verdict::Foreign, "another type");
        assert_eq!(with(good.len() - 1, 3), Verdict::Foreign, "another class");
        for cut in 0..good.len() {
            assert_eq!(question.judge(&good[..cut]), Verdict::Foreign, "cut at {cut}");
        }
        let mut bare = good[..HEADER].to_vec();
        bare[5] = 0;
        assert_eq!(question.judge(&bare), Verdict::Foreign, "no question and no error");
        bare[3] = 5;
        assert_eq!(question.judge(&bare), Verdict::Refusal(Rcode::REFUSED));
    }

    impl Verdict {
        fn is_ours(self) -> bool {
            self == Self::Ours
        }
    }

    #[test]
    fn mixed_case_must_come_back_and_is_undone() {
        let query = query("A-Long-Name.Example.org.", false);
        let mut question = Question::new(&query, true).unwrap();
        question.renew(true).unwrap();
        let mut bytes = reply(&question);
        assert_eq!(question.judge(&bytes), Verdict::Ours);
        let mut other = bytes.clone();
        other[13] ^= 0x20;
        assert_eq!(question.judge(&other), Verdict::OtherCase);
        // A record whose owner is written out in the question's case.
        let name = question.message[HEADER..question.end - 4].to_vec();
        bytes[7] = 1;
        bytes.extend_from_slice(&name);
        bytes.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]);
        restore_case(&mut bytes, query.original_name());
        assert_eq!(&bytes[HEADER..HEADER + name.len()], query.original_name());
        let owner = bytes.len() - 14 - name.len();
        assert_eq!(&bytes[owner..owner + name.len()], query.original_name());
        question.renew(false).unwrap();
        assert_eq!(&question.message[HEADER..question.end - 4], query.original_name());
        assert!(question.client_case().is_none());
    }

    #[test]
    fn keepalive_is_taken_out_and_nothing_else() {
        // Options 3 and 65001 with something in them, and keepalive between, before and behind.
        let (nsid, local) = (&[0, 3, 0, 1, 7][..], &[0xFD, 0xE9, 0, 2, 8, 9][..]);
        let (empty, full) = (&[0, 11, 0, 0][..], &[0, 11, 0, 2, 0, 100][..]);
        let cases = [
            (vec![empty], vec![]),
            (vec![nsid, local], vec![nsid, local]),
            (vec![full, nsid, empty, full, local, empty], vec![nsid, local]),
            (vec![], vec![]),
        ];
        let with = |options: Vec<&[u8]>| {
            let mut bytes = query("www.example.org.", true).bytes().to_vec();
            bytes.truncate(bytes.len() - 4 - 6);
            let options = options.concat();
            bytes.extend_from_slice(&(options.len() as u16).to_be_bytes());
            bytes.extend_from_slice(&options);
            let mut query = Query::new();
            query.receive(&bytes).unwrap();
            Question::new(&query, false).unwrap()
        };
        for (before, after) in cases {
            let mut question = with(before);
            question.drop_keepalive();
            assert_eq!(question.message, with(after).message);
            question.drop_keepalive();
            assert!(!question.is_transfer());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_from_an_upstream_do_harm(mut bytes: Vec<u8>) {
            let query = query("a.", false);
            let question = Question::new(&query, true).unwrap();
            question.judge(&bytes);
            restore_case(&mut bytes, query.original_name());
        }
    }
}
