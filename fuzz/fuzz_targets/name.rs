//! Names: text comes back from text, and compressed names are read as hickory-proto reads them.
#![no_main]

use hickory_proto::rr::Name as Theirs;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, DecodeError};
use libfuzzer_sys::fuzz_target;
use wire::{HEADER, Name, NameBuf, name};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(parsed) = std::str::from_utf8(bytes)
        .map_err(drop)
        .and_then(|text| Name::from_text(text).map_err(drop))
    {
        let again = Name::from_text(&parsed.to_string()).expect("what we print, we read");
        assert_eq!(again.as_wire(), parsed.as_wire(), "{parsed}");
    }
    // The first byte says where in the message the name starts. Its header is none that hickory
    // could read a name from: we refuse pointers into the header.
    let Some((&at, rest)) = bytes.split_first() else { return };
    let message = &[&[0xFF; HEADER], rest].concat();
    let at = HEADER + usize::from(at).min(rest.len());
    let mut buf = NameBuf::new();
    let ours = name::read(message, at, &mut buf);
    let mut decoder = BinDecoder::new(message).clone(at as u16);
    let theirs = Theirs::read(&mut decoder);
    match (ours, theirs) {
        (Ok(end), Ok(theirs)) => {
            assert_eq!(buf.as_wire(), theirs.to_bytes().expect("a name"));
            assert_eq!(end, decoder.index());
            assert_eq!(name::skip(message, at), Ok(end));
            assert_eq!(name::wire_len(buf.as_wire()), Some(buf.as_wire().len()));
            assert!(name::eq(buf.as_wire(), &buf.as_wire().to_ascii_uppercase()));
        }
        (Err(_), Err(_)) => {}
        // hickory also refuses a label that runs into the pointer that led to it. Reading it is
        // harmless: pointers go strictly backwards, so the end comes all the same.
        (Ok(_), Err(DecodeError::LabelOverlapsWithOther { .. })) => {}
        (ours, theirs) => panic!("at {at}: ours {ours:?}, hickory {theirs:?}"),
    }
});
