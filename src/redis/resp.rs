//! The protocol of Redis (RESP), to the extent that simple commands need it: encodes commands and
//! decodes replies. It must never know sockets.

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A word such as `OK`.
    Status(Vec<u8>),
    /// The server's reason for a refusal.
    Error(Vec<u8>),
    /// A number.
    Integer(i64),
    /// Any bytes.
    Bulk(Vec<u8>),
    /// The key has no value.
    Null,
}

/// The bytes are no reply, or the reply is longer than any value of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The longest accepted value, in bytes: a DNS message and a header of its writer.
pub const LONGEST_VALUE: usize = 66_000;
/// The longest line of a reply, in bytes: a status, an error, a number, a length.
const LONGEST_LINE: usize = 1024;

/// A command with its arguments.
pub fn encode(parts: &[&[u8]]) -> Vec<u8> {
    let mut into = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        into.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        into.extend_from_slice(part);
        into.extend_from_slice(b"\r\n");
    }
    into
}

/// The first reply in `bytes`, and its length; `None` if it is incomplete.
///
/// # Errors
/// It is malformed, and so is everything behind it.
pub fn reply(bytes: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
    let Some((line, length)) = line(bytes)? else { return Ok(None) };
    let (&kind, rest) = line.split_first().ok_or(Malformed)?;
    let value = match kind {
        b'+' => Value::Status(rest.to_vec()),
        b'-' => Value::Error(rest.to_vec()),
        b':' => Value::Integer(number(rest)?),
        b'_' if rest.is_empty() => Value::Null,
        b'$' | b'*' if rest == b"-1" => Value::Null,
        b'$' => return bulk(&bytes[length..], number(rest)?, length),
        // Our commands have no other replies.
        _ => return Err(Malformed),
    };
    Ok(Some((value, length)))
}

fn bulk(bytes: &[u8], length: i64, before: usize) -> Result<Option<(Value, usize)>, Malformed> {
    let length = usize::try_from(length).map_err(|_| Malformed)?;
    if length > LONGEST_VALUE {
        return Err(Malformed);
    }
    match (bytes.get(..length), bytes.get(length..length + 2)) {
        (Some(value), Some(b"\r\n")) => {
            Ok(Some((Value::Bulk(value.to_vec()), before + length + 2)))
        }
        (Some(_), Some(_)) => Err(Malformed),
        _ => Ok(None),
    }
}

/// The first line without its end, and its length with it.
fn line(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
    match bytes.iter().take(LONGEST_LINE).position(|&byte| byte == b'\n') {
        Some(end) => {
            let line = bytes[..end].strip_suffix(b"\r").ok_or(Malformed)?;
            Ok(Some((line, end + 1)))
        }
        None if bytes.len() >= LONGEST_LINE => Err(Malformed),
        None => Ok(None),
    }
}

fn number(text: &[u8]) -> Result<i64, Malformed> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_are_arrays_of_strings() {
        let bytes = encode(&[b"GET", b"a\r\nb"]);
        assert_eq!(bytes, b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
    }

    #[test]
    fn replies_of_each_kind() {
        let whole = |bytes: &[u8]| reply(bytes).unwrap().unwrap();
        assert_eq!(whole(b"+OK\r\n"), (Value::Status(b"OK".to_vec()), 5));
        assert_eq!(whole(b"-ERR no\r\n+OK\r\n"), (Value::Error(b"ERR no".to_vec()), 9));
        assert_eq!(whole(b":-12\r\n"), (Value::Integer(-12), 6));
        assert_eq!(whole(b"$-1\r\n"), (Value::Null, 5));
        assert_eq!(whole(b"*-1\r\n"), (Value::Null, 5));
        assert_eq!(whole(b"_\r\n"), (Value::Null, 3));
        assert_eq!(whole(b"$0\r\n\r\n"), (Value::Bulk(Vec::new()), 6));
        assert_eq!(whole(b"$3\r\n\r\n$\r\n:1\r\n"), (Value::Bulk(b"\r\n$".to_vec()), 9));
    }

    #[test]
    fn malformed_replies_are_refused() {
        let long = [b"+".as_slice(), &[b'x'; LONGEST_LINE]].concat();
        for bytes in [
            &b"OK\r\n"[..],
            b"\r\n",
            b"+OK\n",
            b":1x\r\n",
            b":\r\n",
            b"$-2\r\n",
            b"$66001\r\n",
            b"$9999999999999999999\r\n",
            b"$1\r\nab\r\n",
            b"*1\r\n:1\r\n",
            b"%1\r\n",
            &long,
        ] {
            assert_eq!(reply(bytes), Err(Malformed), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    fn encoded(value: &Value) -> Vec<u8> {
        match value {
            Value::Status(text) => [b"+", &text[..], b"\r\n"].concat(),
            Value::Error(text) => [b"-", &text[..], b"\r\n"].concat(),
            Value::Integer(number) => format!(":{number}\r\n").into_bytes(),
            Value::Bulk(bytes) => {
                [format!("${}\r\n", bytes.len()).as_bytes(), &bytes[..], b"\r\n"].concat()
            }
            Value::Null => b"$-1\r\n".to_vec(),
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            "[ -~]{0,40}".prop_map(|text| Value::Status(text.into_bytes())),
            "[ -~]{0,40}".prop_map(|text| Value::Error(text.into_bytes())),
            any::<i64>().prop_map(Value::Integer),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bulk),
            Just(Value::Null),
        ]
    }

    proptest! {
        #[test]
        fn a_reply_is_read_once_it_is_complete(value in values(), more: Vec<u8>) {
            let bytes = encoded(&value);
            for cut in 0..bytes.len() {
                prop_assert_eq!(reply(&bytes[..cut]), Ok(None));
            }
            let length = bytes.len();
            prop_assert_eq!(reply(&[bytes, more].concat()), Ok(Some((value, length))));
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>) {
            if let Ok(Some((_, length))) = reply(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
