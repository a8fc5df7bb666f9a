//! A Redis that scenarios make up: what is set stays for ever, so that only what a value says about
//! its end can end it.

use std::collections::HashMap;

/// Values by key.
#[derive(Default)]
pub(crate) struct Redis(HashMap<Vec<u8>, Vec<u8>>);

impl Redis {
    /// The reply to a command as it comes over a connection.
    pub(crate) fn reply(&mut self, command: &[u8]) -> Vec<u8> {
        let words = words(command).expect("commands are arrays of strings");
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        match words.as_slice() {
            [b"PING"] => b"+PONG\r\n".to_vec(),
            [b"GET", key] => match self.0.get(*key) {
                Some(value) => bulk(value),
                None => b"$-1\r\n".to_vec(),
            },
            [b"SET", key, value, b"PX", lifetime] => {
                let lifetime =
                    std::str::from_utf8(lifetime).ok().and_then(|text| text.parse().ok());
                assert!(lifetime.is_some_and(|lifetime: u64| lifetime > 0), "a lifetime");
                self.0.insert(key.to_vec(), value.to_vec());
                b"+OK\r\n".to_vec()
            }
            _ => b"-ERR unknown command\r\n".to_vec(),
        }
    }
}

pub(crate) fn bulk(value: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

fn words(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let count = number(&mut bytes, b'*')?;
    let words = (0..count).map(|_| {
        let length = number(&mut bytes, b'$')?;
        let (word, rest) = bytes.split_at_checked(length)?;
        bytes = rest.strip_prefix(b"\r\n")?;
        Some(word.to_vec())
    });
    words.collect()
}

fn number(bytes: &mut &[u8], kind: u8) -> Option<usize> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let (line, rest) = bytes.split_at(end + 1);
    *bytes = rest;
    let digits = line.strip_prefix(&[kind])?.strip_suffix(b"\r\n")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
