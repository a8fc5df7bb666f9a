//! Signed messages, through the door that every transport uses.

use tsig::{Algorithm, Key, Keyring, Tsig, TsigError, VerifyError};

use super::*;

/// A key whose secret is `secret`.
fn key(name: &str, secret: &[u8]) -> Arc<Key> {
    Arc::new(Key::new(&Name::from_text(name).unwrap(), Algorithm::Sha256, secret).unwrap())
}

/// The keys of the block.
fn keys() -> Option<Arc<BlockKeys>> {
    let mut keys = Keyring::new();
    keys.insert(Key::clone(&key("key.", b"right"))).unwrap();
    Some(Arc::new(BlockKeys::new(keys)))
}

#[test]
fn a_reply_of_several_messages_is_signed_as_one_stream() {
    let site = listener_with("mine.", Several(4), keys());
    let mut axfr = message(0, MINE, 252);
    let signed = tsig::sign(&mut axfr, &key("KEY.", b"right"), 300);
    let all = several(&site, Some(9), &axfr);
    assert_eq!(all.len(), 4);
    let mut stream = signed.stream();
    for message in &all {
        assert_eq!((message[7], stream.accept(message, 0)), (1, Ok(true)));
    }
    stream.finish().unwrap();
    // The order is part of the signature.
    let mut stream = signed.stream();
    stream.accept(&all[0], 0).unwrap();
    assert_eq!(stream.accept(&all[2], 0), Err(VerifyError::BadMac));
}

#[test]
fn a_refused_signature_gets_one_message_and_no_data() {
    let site = listener_with("mine.", Several(4), keys());
    let without = listener("mine.", Several(4));
    for (site, key, at, error) in [
        (&site, key("key.", b"wrong"), 0, TsigError::BADSIG),
        (&site, key("other.", b"right"), 0, TsigError::BADKEY),
        (&site, key("key.", b"right"), 301, TsigError::BADTIME),
        (&without, key("key.", b"right"), 0, TsigError::BADKEY),
    ] {
        let mut axfr = message(0, MINE, 252);
        let signed = tsig::sign(&mut axfr, &key, at);
        let all = several(site, Some(9), &axfr);
        assert_eq!(all.len(), 1, "{error}");
        let reply = &all[0];
        assert_eq!((reply[3] & 15, reply[7], reply[11]), (9, 0, 1), "NOTAUTH, and a TSIG record");
        assert_eq!(Tsig::find(reply).unwrap().unwrap().error, error);
        let refused = signed.verify(reply, 0).unwrap_err();
        assert!(matches!(refused, VerifyError::Refused { error: it, .. } if it == error));
    }
}

#[test]
fn an_update_with_a_refused_signature_changes_nothing() {
    let seen = Arc::new(AtomicUsize::new(0));
    let site = listener_with("mine.", Limiter(Verdict::Send, Arc::clone(&seen)), keys());
    let rcode = |update: &[u8]| answer(&site, update, Transport::Tcp).unwrap()[3] & 15;
    let bare = message(5, MINE, 6);
    let signed = |secret: &[u8]| {
        let mut update = bare.clone();
        let signed = tsig::sign(&mut update, &key("key.", secret), 0);
        (signed, update)
    };
    let (asked, good) = signed(b"right");
    let reply = answer(&site, &good, Transport::Tcp).unwrap();
    asked.verify(&reply, 0).unwrap();
    assert_eq!(reply[3] & 15, Rcode::YXDOMAIN.0 as u8, "the plugin's word");
    assert_eq!(rcode(&signed(b"wrong").1), Rcode::NOTAUTH.0 as u8);
    // A record that cannot be read is no signature.
    let mut malformed = good;
    let at = malformed.len() - 1;
    malformed[at] = 1;
    assert_eq!(rcode(&malformed), Rcode::FORMERR.0 as u8);
}
