//! Names in messages, where they may be compressed.

use super::buffer::NameBuf;
use super::labels::{MAX_LABEL, MAX_NAME};
use crate::{HEADER, Malformed};

/// Reads the possibly compressed name at `at` of `message` into `into` (case kept) and returns
/// where the bytes after it begin.
///
/// A pointer must point strictly backwards, to labels that end before those that led to it (RFC
/// 1035 section 4.1.4: "a prior occurance of the same name"), so reading ends after at most 127
/// steps. It may not point into the header: no name was ever there, and what it would read changes
/// with the ID; nor may it read on into the record that it stands in, whose TTL changes.
pub fn read(message: &[u8], at: usize, into: &mut NameBuf) -> Result<usize, Malformed> {
    into.clear();
    let mut here = at;
    // Where the labels that led here begin, and where those here must have ended.
    let (mut limit, mut end) = (at, message.len());
    let mut next = None;
    loop {
        if here >= end {
            return Err(Malformed);
        }
        let len = usize::from(message[here]);
        match len {
            0 => {
                into.push_root().map_err(|_| Malformed)?;
                return Ok(next.unwrap_or(here + 1));
            }
            1..=MAX_LABEL => {
                let label = message[..end].get(here..here + 1 + len).ok_or(Malformed)?;
                into.push_bytes(label).map_err(|_| Malformed)?;
                here += 1 + len;
            }
            0xC0.. => {
                let low = usize::from(*message[..end].get(here + 1).ok_or(Malformed)?);
                let target = (len & 0x3F) << 8 | low;
                next.get_or_insert(here + 2);
                if target >= limit || target < HEADER {
                    return Err(Malformed);
                }
                end = limit;
                limit = target;
                here = target;
            }
            _ => return Err(Malformed),
        }
    }
}

/// Steps over the possibly compressed name at `at` without following its pointer.
#[inline]
pub fn skip(message: &[u8], at: usize) -> Result<usize, Malformed> {
    let mut here = at;
    loop {
        let len = usize::from(*message.get(here).ok_or(Malformed)?);
        match len {
            0 => return Ok(here + 1),
            1..=MAX_LABEL => here += 1 + len,
            0xC0.. if here + 1 < message.len() => return Ok(here + 2),
            _ => return Err(Malformed),
        }
        if here - at > MAX_NAME {
            return Err(Malformed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    #[test]
    fn pointers_go_strictly_backwards() {
        let mut buf = NameBuf::new();
        // A header, "org." at 12, "example" + pointer to it at 17.
        let mut message = vec![0; HEADER];
        message.extend(b"\x03org\x00\x07example\xC0\x0C\x03www\xC0\x11");
        assert_eq!(read(&message, 27, &mut buf).unwrap(), 33);
        assert_eq!(buf.to_name(), name("www.example.org"));
        assert_eq!(skip(&message, 27).unwrap(), 33);
        let mut refused = |name: &[u8], why: &str| {
            let message = [&message[..], name].concat();
            assert!(read(&message, 33, &mut buf).is_err(), "{why}");
        };
        refused(b"\xC0\x21", "points to itself");
        refused(b"\x01a\xC0\x21", "loops");
        refused(b"\x01a\xC0\x26\x00\x00", "points forward");
        refused(b"\xC0\x0B", "points into the header");
        // From 34 on there is a label, and the pointer at 37 is part of it.
        let overlapping = [&message[..], b"\x02\x05a\x00\xC0\x22x\x00"].concat();
        assert_eq!(read(&overlapping, 37, &mut buf), Err(Malformed), "reads itself");
        assert!(read(b"\x41a", 0, &mut buf).is_err(), "reserved label type");
        assert!(read(b"\x03ab", 0, &mut buf).is_err(), "runs out");
    }
}
