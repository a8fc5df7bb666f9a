//! Signed messages: TSIG records are read as hickory-proto reads them; what one side signs, the other verifies; and
//! with any bit changed it does not.
#![no_main]

use std::sync::{Arc, LazyLock};

use hickory_proto::op::Message;
use libfuzzer_sys::fuzz_target;
use tsig::{Algorithm, Key, Keyring, Session, Tsig, TsigError, parse_key_file, sign, strip};
use wire::Name;

const NOW: u64 = 1_700_000_000;
const OWNER: &[u8] = b"\x03key\x07example\0";

/// A key of each algorithm.
static KEYS: LazyLock<Vec<Arc<Key>>> = LazyLock::new(|| {
    let name = Name::from_wire(OWNER).expect("a name");
    let make =
        |algorithm| Key::new(&name, algorithm, b"known to this target alone").expect("a key");
    Algorithm::ALL.into_iter().map(make).map(Arc::new).collect()
});

fuzz_target!(|input: &[u8]| {
    reads_as_hickory_does(input);
    if let Ok(text) = std::str::from_utf8(input) {
        key_file(text);
    }
    let [selector, bit, high, low, message @ ..] = input else { return };
    if message.len() < wire::HEADER || message.len() > 60_000 {
        return;
    }
    let key = &KEYS[usize::from(*selector) % KEYS.len()];
    let place = usize::from(u16::from_be_bytes([*high, *low]));
    signs_and_verifies(key, message, place, 1 << (bit % 8));
});

fn reads_as_hickory_does(bytes: &[u8]) {
    let found = Tsig::find(bytes);
    if let Ok(Some(ours)) = &found {
        let opened = Session::open(bytes, ours.start, NOW, |_| Some(Arc::clone(&KEYS[2])));
        assert!(
            opened.is_err() || opened.is_ok_and(|it| it.error() != TsigError::NONE),
            "a forgery"
        );
    }
    // hickory also reads the RDATA of other records, so it refuses more.
    let (Ok(found), Ok(theirs)) = (found, Message::from_vec(bytes)) else { return };
    let (Some(ours), Some(theirs)) = (found, theirs.signature()) else { return };
    let data = &theirs.data;
    assert_eq!(data.time, ours.time);
    assert_eq!(data.fudge, ours.fudge);
    assert_eq!(data.mac, ours.mac);
    assert_eq!(data.oid, ours.original_id);
    assert_eq!(data.other, ours.other);
}

/// Keys that are read sign what they verify.
fn key_file(text: &str) {
    let Ok(keys) = parse_key_file(text) else { return };
    let mut ring = Keyring::new();
    for key in keys {
        ring.insert(key).expect("names are unique in a file");
    }
    for key in ring.iter() {
        let mut message = vec![0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        sign(&mut message, key, NOW);
        let session = Session::open(&message, 12, NOW, |name| ring.find(name).cloned());
        assert_eq!(session.expect("well-formed").error(), TsigError::NONE);
    }
}

fn signs_and_verifies(key: &Arc<Key>, bare: &[u8], place: usize, bit: u8) {
    let mut message = bare.to_vec();
    let signed = sign(&mut message, key, NOW);
    let open = |message: &[u8]| {
        let tsig = Tsig::find(message).ok()??;
        Session::open(message, tsig.start, NOW, |_| Some(Arc::clone(key))).ok()
    };
    // The counts of the header may not be those of the records.
    let Some(mut session) = open(&message).filter(|_| starts_at(&message) == Some(bare.len()))
    else {
        return;
    };
    assert_eq!(session.error(), TsigError::NONE);
    let mut reply = bare.to_vec();
    session.sign(&mut reply, NOW);
    assert_eq!(signed.verify(&reply, NOW), Ok(()));
    let mut stripped = reply.clone();
    strip(&mut stripped).expect("well-formed");
    assert_eq!(stripped, bare);

    for (whole, is_reply) in [(&mut message, false), (&mut reply, true)] {
        let at = place % whole.len();
        whole[at] ^= bit;
        let accepted = if is_reply {
            signed.verify(whole, NOW).is_ok()
        } else {
            open(whole).is_some_and(|session| session.error() == TsigError::NONE)
        };
        assert!(!accepted || !is_covered(bare.len(), whole, at, bit), "octet {at}, bit {bit}");
    }
}

fn starts_at(message: &[u8]) -> Option<usize> {
    Tsig::find(message).ok()?.map(|tsig| tsig.start)
}

/// A signature does not cover the id, which a forwarder may change, nor the case of its names.
fn is_covered(start: usize, message: &[u8], at: usize, bit: u8) -> bool {
    let algorithm = start + OWNER.len() + 10;
    let is_name = (start..start + OWNER.len()).contains(&at)
        || (algorithm..algorithm + Algorithm::Sha256.wire().len()).contains(&at);
    at >= 2 && !(is_name && bit == 0x20 && message[at].is_ascii_alphabetic())
}
