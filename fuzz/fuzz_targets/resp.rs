//! Replies of Redis: one is read when it is whole and not before, and what was read is what was there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redis::resp::{self, Value};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some((value, length))) = resp::reply(rest) {
        for cut in [0, length / 2, length - 1] {
            assert_eq!(resp::reply(&rest[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(resp::reply(&rest[..length]), Ok(Some((value.clone(), length))));
        let again = written(&value);
        assert_eq!(resp::reply(&again), Ok(Some((value, again.len()))));
        rest = &rest[length..];
    }
});

/// The value in the one form that Redis writes it in.
fn written(value: &Value) -> Vec<u8> {
    let line = |kind: u8, text: &[u8]| [&[kind], text, b"\r\n"].concat();
    match value {
        Value::Status(text) => line(b'+', text),
        Value::Error(text) => line(b'-', text),
        Value::Integer(number) => line(b':', number.to_string().as_bytes()),
        Value::Bulk(bytes) => {
            [&line(b'$', bytes.len().to_string().as_bytes())[..], bytes, b"\r\n"].concat()
        }
        Value::Null => line(b'$', b"-1"),
    }
}
