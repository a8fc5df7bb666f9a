//! Both sides against each other, and against messages that another program signed.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use wire::{Malformed, Name};

use crate::{Algorithm, Key, Keyring, Session, Signed, Tsig, TsigError, VerifyError, sign, strip};

const NOW: u64 = 1_700_000_000;

fn key(algorithm: Algorithm) -> Key {
    Key::new(&Name::from_text("Key.Example.").unwrap(), algorithm, b"secret of both").unwrap()
}

/// A query for `www.example.org.` with an OPT record.
fn query() -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    bytes.extend_from_slice(b"\x03www\x07example\x03org\0\0\x01\0\x01");
    bytes.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn open(message: &[u8], key: &Key, now: u64) -> Result<Session, Malformed> {
    let mut keys = Keyring::new();
    keys.insert(key.clone()).unwrap();
    let Some(tsig) = Tsig::find(message)? else { return Err(Malformed) };
    Session::open(message, tsig.start, now, |name| keys.find(name).cloned())
}

/// A signed query and its session.
fn signed(key: &Key, at: u64) -> (Signed, Vec<u8>, Session) {
    let mut message = query();
    let signed = sign(&mut message, &Arc::new(key.clone()), at);
    let session = open(&message, key, NOW).unwrap();
    (signed, message, session)
}

fn reply(number: u8) -> Vec<u8> {
    let mut bytes = query();
    bytes.truncate(bytes.len() - 11);
    (bytes[2], bytes[7], bytes[11]) = (0x81, 1, 0);
    bytes.extend_from_slice(&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, number]);
    bytes
}

impl Session {
    /// Signs `message` as a server does that sent `unsigned` since the last signature. All have one id, so
    /// the original id of the record is that of the message.
    fn sign_after(&mut self, unsigned: &[Vec<u8>], message: &mut Vec<u8>, now: u64) {
        let mut whole = unsigned.concat();
        whole.extend_from_slice(message);
        let rdata = self.next_rdata(&whole, now);
        crate::record::append(message, self.key_name(), &rdata);
    }
}

#[test]
fn messages_that_another_program_signed_are_genuine() {
    let mut algorithm = Algorithm::Sha1;
    let mut asked: Option<(Signed, Session, Vec<u8>)> = None;
    let mut seen = 0;
    for line in include_str!("vectors.txt").lines().filter(|line| !line.starts_with('#')) {
        let (what, value) = line.split_once(' ').unwrap();
        if what == "algorithm" {
            algorithm = Algorithm::from_text(value).unwrap();
            continue;
        }
        let message = HEXLOWER.decode(value.as_bytes()).unwrap();
        if what == "request" {
            let session = open(&message, &key(algorithm), NOW + 299).unwrap();
            assert_eq!(session.error(), TsigError::NONE, "{algorithm}");
            let mut own = message.clone();
            strip(&mut own).unwrap();
            let signed = sign(&mut own, &Arc::new(key(algorithm)), NOW);
            // Names keep the case of their configuration there.
            assert_eq!(own.to_ascii_lowercase(), message.to_ascii_lowercase(), "{algorithm}");
            asked = Some((signed, session, Vec::new()));
            continue;
        }
        let (signed, session, stream) = asked.as_mut().unwrap();
        let mut own = message.clone();
        strip(&mut own).unwrap();
        session.sign(&mut own, NOW);
        assert_eq!(own, message, "{algorithm}");
        if stream.is_empty() {
            signed.verify(&message, NOW - 300).unwrap();
            stream.extend(message);
        } else {
            let mut verifier = signed.stream();
            assert_eq!(verifier.accept(stream, NOW), Ok(true));
            assert_eq!(verifier.accept(&message, NOW), Ok(true));
            seen += 1;
        }
    }
    assert_eq!(seen, Algorithm::ALL.len());
}

#[test]
fn errors_come_in_the_order_of_the_rfc() {
    for algorithm in Algorithm::ALL {
        let good = key(algorithm);
        let error = |key: &Key, at| signed(key, at).2;
        assert_eq!(error(&good, NOW).error(), TsigError::NONE);
        assert_eq!(error(&good, NOW).key().unwrap().name().to_string(), "key.example.");
        assert_eq!(error(&good, NOW - 300).error(), TsigError::NONE);
        assert_eq!(error(&good, NOW - 301).error(), TsigError::BADTIME);
        assert_eq!(error(&good, NOW + 301).error(), TsigError::BADTIME);
        assert!(error(&good, NOW + 301).key().is_none());

        let mut message = query();
        sign(&mut message, &Arc::new(good.clone()), NOW - 1000);
        let other = Key::new(good.name(), algorithm, b"another").unwrap();
        assert_eq!(
            open(&message, &other, NOW).unwrap().error(),
            TsigError::BADSIG,
            "before BADTIME"
        );
        let others = Key::new(&Name::root(), algorithm, b"secret of both").unwrap();
        assert_eq!(open(&message, &others, NOW).unwrap().error(), TsigError::BADKEY);

        let bits = 8 * algorithm.min_mac_len();
        let short = good.clone().truncated_to(bits).unwrap();
        let mut message = query();
        let asked = sign(&mut message, &Arc::new(short.clone()), NOW - 301);
        assert_eq!(open(&message, &good, NOW).unwrap().error(), TsigError::BADTIME, "first");
        let mut session = open(&message, &good, NOW - 1).unwrap();
        assert_eq!(session.error(), TsigError::BADTRUNC);
        let mut refusal = reply(1);
        session.sign(&mut refusal, NOW);
        let refused = asked.verify(&refusal, NOW).unwrap_err();
        let want =
            VerifyError::Refused { error: TsigError::BADTRUNC, server_time: None, signed: true };
        assert_eq!(refused, want);
        assert_eq!(open(&message, &short, NOW - 1).unwrap().error(), TsigError::NONE);
    }
}

#[test]
fn another_algorithm_is_a_bad_key_unless_the_key_takes_all() {
    let (mut message, one) = (query(), key(Algorithm::Sha256));
    sign(&mut message, &Arc::new(key(Algorithm::Sha1)), NOW);
    assert_eq!(open(&message, &one, NOW).unwrap().error(), TsigError::BADKEY);
    let mut session = open(&message, &one.with_any_algorithm(), NOW).unwrap();
    assert_eq!(session.error(), TsigError::NONE);
    let mut answer = reply(1);
    session.sign(&mut answer, NOW);
    assert_eq!(Tsig::find(&answer).unwrap().unwrap().algorithm.as_wire(), b"\x09hmac-sha1\0");
}

#[test]
fn refusals_say_why() {
    let own = key(Algorithm::Sha256);
    let refuse = |server: &Key, at| {
        let mut message = query();
        let asked = sign(&mut message, &Arc::new(own.clone()), at);
        let mut session = open(&message, server, NOW).unwrap();
        let mut refusal = reply(1);
        let before = refusal.len();
        let reserved = session.reserve();
        session.sign(&mut refusal, NOW);
        assert_eq!(refusal.len() - before, reserved);
        asked.verify(&refusal, NOW).unwrap_err()
    };
    let unsigned = |error| VerifyError::Refused { error, server_time: None, signed: false };
    let other = Key::new(own.name(), Algorithm::Sha256, b"another").unwrap();
    assert_eq!(refuse(&other, NOW), unsigned(TsigError::BADSIG));
    let others = Key::new(&Name::root(), Algorithm::Sha256, b"secret of both").unwrap();
    assert_eq!(refuse(&others, NOW), unsigned(TsigError::BADKEY));
    // The client's clock is wrong: it learns the server's time, and can verify that.
    let want =
        VerifyError::Refused { error: TsigError::BADTIME, server_time: Some(NOW), signed: true };
    assert_eq!(refuse(&own, NOW - 5000), want);
}

#[test]
fn refusals_that_are_not_signed_are_understood() {
    let good = key(Algorithm::Sha256);
    let mut message = query();
    let asked = sign(&mut message, &Arc::new(good), NOW);
    // A BADTIME error of nsd 4.6: without a MAC, which RFC 8945 section 5.2.3 wants.
    let mut rdata = b"\x0Bhmac-sha256\0".to_vec();
    rdata.extend_from_slice(&NOW.to_be_bytes()[2..]);
    rdata.extend_from_slice(&[1, 0x2C, 0, 0, 0x12, 0x34, 0, 18, 0, 6]);
    rdata.extend_from_slice(&(NOW + 900).to_be_bytes()[2..]);
    let mut refusal = reply(1);
    crate::record::append(&mut refusal, b"\x03key\x07example\0", &rdata);
    let want = VerifyError::Refused {
        error: TsigError::BADTIME,
        server_time: Some(NOW + 900),
        signed: false,
    };
    assert_eq!(asked.verify(&refusal, NOW), Err(want));
}

#[test]
fn malformed_records_are_no_signatures() {
    let good = key(Algorithm::Sha256);
    let (_, message, _) = signed(&good, NOW);
    let mut longer = message.clone();
    longer.push(0);
    assert!(open(&longer, &good, NOW).is_err(), "something follows");
    let start = Tsig::find(&message).unwrap().unwrap().start;
    let mut twice = message.clone();
    twice.extend_from_slice(&message[start..]);
    twice[11] += 1;
    assert!(open(&twice, &good, NOW).is_err(), "two records");
    let mut answer = message.clone();
    (answer[9], answer[11]) = (2, 0);
    assert!(open(&answer, &good, NOW).is_err(), "another section");
    for (at, value) in [(start + 15, 1), (start + 16, 1), (start + 20, 1)] {
        let mut wrong = message.clone();
        wrong[at] = value;
        assert!(Session::open(&wrong, start, NOW, |_| Some(Arc::new(good.clone()))).is_err());
    }
    for len in [0, 9, 15, 33] {
        let tsig = Tsig::find(&message).unwrap().unwrap();
        let mac: Vec<u8> = tsig.mac.iter().copied().chain([0]).take(len).collect();
        let mut wrong = message[..message.len() - 32 - 6].to_vec();
        let end = wrong.len();
        wrong[end - 2..].copy_from_slice(&(len as u16).to_be_bytes());
        wrong.extend_from_slice(&mac);
        wrong.extend_from_slice(&message[message.len() - 6..]);
        let rdata_len = message.len() - start - 23 - 32 + len;
        wrong[start + 21..start + 23].copy_from_slice(&(rdata_len as u16).to_be_bytes());
        assert!(Tsig::find(&wrong).unwrap().is_some());
        assert!(open(&wrong, &good, NOW).is_err(), "a MAC of {len} octets");
    }
}

#[test]
fn a_stream_has_signed_ends_and_few_unsigned_messages_between() {
    let good = key(Algorithm::Sha384);
    let (asked, _, mut session) = signed(&good, NOW);
    let mut first = reply(0);
    session.sign(&mut first, NOW);
    let mut stream = asked.stream();
    assert_eq!(stream.finish(), Err(VerifyError::Unsigned), "nothing came");
    assert_eq!(stream.accept(&first, NOW), Ok(true));
    stream.finish().unwrap();
    // Another server signs each hundredth message only.
    let unsigned: Vec<_> = (1..=100).map(reply).collect();
    for message in &unsigned[..99] {
        assert_eq!(stream.accept(message, NOW), Ok(false));
    }
    assert_eq!(stream.finish(), Err(VerifyError::Unsigned), "the last one is not");
    let mut over = stream.clone();
    assert_eq!(over.accept(&unsigned[99], NOW), Err(VerifyError::TooManyUnsigned));
    let mut last = reply(101);
    session.sign_after(&unsigned[..99], &mut last, NOW);
    assert_eq!(stream.accept(&last, NOW), Ok(true));
    stream.finish().unwrap();

    let mut unsigned_first = asked.stream();
    assert_eq!(unsigned_first.accept(&reply(0), NOW), Err(VerifyError::Unsigned));
    let (mut early, mut late) = (asked.stream(), asked.stream());
    assert!(matches!(early.accept(&first, NOW - 301), Err(VerifyError::BadTime { .. })));
    assert!(matches!(late.accept(&first, NOW + 301), Err(VerifyError::BadTime { .. })));
}

#[test]
fn messages_of_a_stream_neither_change_order_nor_get_lost() {
    let good = key(Algorithm::Sha224);
    let (asked, _, mut session) = signed(&good, NOW);
    let messages: Vec<Vec<u8>> = (0..4)
        .map(|number| {
            let mut message = reply(number);
            session.sign(&mut message, NOW + u64::from(number));
            message
        })
        .collect();
    let accepts = |order: &[usize]| {
        let mut stream = asked.stream();
        order.iter().all(|&at| stream.accept(&messages[at], NOW) == Ok(true))
    };
    assert!(accepts(&[0, 1, 2, 3]));
    for wrong in [&[0, 2][..], &[1], &[0, 1, 1], &[0, 1, 3], &[0, 0]] {
        assert!(!accepts(wrong), "{wrong:?}");
    }
}

/// Octets whose bits a signature does not cover: the id, which a forwarder may change, and the case of the
/// names in the TSIG record.
fn is_covered(message: &[u8], at: usize, bit: u8) -> bool {
    let start = Tsig::find(message).unwrap().unwrap().start;
    let algorithm = start + b"\x03key\x07example\0".len() + 10;
    let names = start..algorithm + b"\x0Bhmac-sha256\0".len();
    let is_name = names.contains(&at) && !(start + 13..algorithm).contains(&at);
    at >= 2 && !(is_name && bit == 5 && message[at].is_ascii_alphabetic())
}

proptest! {
    /// Whatever a request and its reply hold, they verify; with any bit changed they do not.
    #[test]
    fn a_changed_bit_is_refused(
        algorithm in prop::sample::select(Algorithm::ALL.to_vec()),
        secret in prop::collection::vec(any::<u8>(), 1..100),
        data in prop::collection::vec(any::<u8>(), 0..300),
        place in any::<prop::sample::Index>(),
        bit in 0..8u8,
        skew in 0..=300u64,
    ) {
        let name = Name::from_text("key.example.").unwrap();
        let key = Key::new(&name, algorithm, &secret).unwrap();
        let mut message = query();
        message.truncate(message.len() - 11);
        message[11] = 1;
        message.extend_from_slice(b"\0\xFF\xFF\0\x01\0\0\0\0");
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(&data);
        let bare = message.clone();
        let asked = sign(&mut message, &Arc::new(key.clone()), NOW - skew);
        let mut session = open(&message, &key, NOW).unwrap();
        prop_assert_eq!(session.error(), TsigError::NONE);
        let mut answer = bare.clone();
        session.sign(&mut answer, NOW);
        prop_assert_eq!(asked.verify(&answer, NOW + skew), Ok(()));
        let mut stripped = answer.clone();
        strip(&mut stripped).unwrap();
        prop_assert_eq!(&stripped, &bare);

        let at = place.index(message.len());
        let covered = is_covered(&message, at, bit);
        message[at] ^= 1 << bit;
        let good = open(&message, &key, NOW).is_ok_and(|session| session.error() == TsigError::NONE);
        prop_assert_eq!(good, !covered, "octet {}, bit {}", at, bit);

        let at = place.index(answer.len());
        let covered = is_covered(&answer, at, bit);
        answer[at] ^= 1 << bit;
        prop_assert_eq!(asked.verify(&answer, NOW).is_ok(), !covered, "octet {}, bit {}", at, bit);
    }

    /// No bytes make the readers panic.
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0..220usize) {
        let key = key(Algorithm::Sha256);
        let _ = Tsig::find(&bytes);
        let _ = Session::open(&bytes, start, NOW, |_| Some(Arc::new(key.clone())));
        let _ = strip(&mut bytes.clone());
        let mut message = query();
        let mut stream = sign(&mut message, &Arc::new(key.clone()), NOW).stream();
        let _ = stream.accept(&bytes, NOW);
    }
}
