//! Names as text, the form that `prefix`, `suffix`, `substring` and `regex` match.

use std::fmt::Write;

use wire::name::{MAX_NAME, NameBuf, Text};

/// Marks the start of a name in the automaton's input, so that a prefix is a pattern of its own. Names as
/// text contain neither this byte nor [`END`].
pub(super) const START: u8 = 1;
/// Marks the end of a name.
pub(super) const END: u8 = 2;

/// The longest name as text: each of its octets as `\DDD`.
const LONGEST: usize = 4 * MAX_NAME;

/// The bytes that need no escape.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        plain[byte as usize] =
            !matches!(byte, b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'\'');
        byte += 1;
    }
    plain
};

/// Calls `look` with the name as text between [`START`] and [`END`], without allocating.
#[inline]
pub(super) fn with<T>(wire: &[u8], look: impl FnOnce(&[u8]) -> T) -> T {
    let mut shown = [START; MAX_NAME + 3];
    match plain(wire, &mut shown) {
        Some(len) => look(&shown[..len]),
        None => with_escapes(wire, look),
    }
}

/// Writes a name that needs no escapes. Returns the length including both marks.
#[inline]
fn plain(wire: &[u8], shown: &mut [u8; MAX_NAME + 3]) -> Option<usize> {
    let (mut at, mut to) = (0, 1);
    loop {
        let len = usize::from(*wire.get(at)?);
        if len == 0 {
            break;
        }
        let label = wire.get(at + 1..at + 1 + len)?;
        for (shown, &byte) in shown.get_mut(to..to + len)?.iter_mut().zip(label) {
            if !PLAIN[usize::from(byte)] {
                return None;
            }
            *shown = byte;
        }
        *shown.get_mut(to + len)? = b'.';
        to += len + 1;
        at += len + 1;
    }
    if to == 1 {
        shown[to] = b'.';
        to += 1;
    }
    *shown.get_mut(to)? = END;
    Some(to + 1)
}

#[cold]
fn with_escapes<T>(wire: &[u8], look: impl FnOnce(&[u8]) -> T) -> T {
    let mut shown = Buffer::new();
    shown.push(&[START]);
    // The buffer is large enough for the longest name.
    let _ = write!(shown, "{}", Text(wire));
    shown.push(&[END]);
    look(&shown.bytes[..shown.len])
}

/// Text on the stack. It notes when a text is too long for a name.
pub(super) struct Buffer {
    bytes: [u8; LONGEST + 2],
    len: usize,
    overflow: bool,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self { bytes: [0; LONGEST + 2], len: 0, overflow: false }
    }

    /// The text so far; `None` if it is longer than any name.
    pub(super) fn text(&self) -> Option<&[u8]> {
        (!self.overflow).then(|| &self.bytes[..self.len])
    }

    /// The name that the text is.
    pub(super) fn name(&self) -> Option<NameBuf> {
        let mut name = NameBuf::new();
        name.push_text(self.text()?).ok()?;
        Some(name)
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        } else {
            self.overflow = true;
        }
    }
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// The text without the marks.
#[inline]
pub(super) fn unmarked(marked: &[u8]) -> &[u8] {
    marked.get(1..marked.len() - 1).unwrap_or_default()
}

/// The text in lower case with a final dot, as CoreDNS normalises a name.
pub(super) fn normal(text: &str) -> String {
    let mut normal = text.to_ascii_lowercase();
    let escapes = normal.trim_end_matches('.').bytes().rev().take_while(|&b| b == b'\\').count();
    if !normal.ends_with('.') || escapes % 2 == 1 && !normal.ends_with("..") {
        normal.push('.');
    }
    normal
}

/// `text` without `suffix`, ignoring case.
pub(super) fn without_suffix<'a>(text: &'a [u8], suffix: &str) -> Option<&'a [u8]> {
    let (before, end) = text.split_at(text.len().checked_sub(suffix.len())?);
    end.eq_ignore_ascii_case(suffix.as_bytes()).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Name;

    #[test]
    fn both_ways_of_showing_agree() {
        let longest = format!("{0}.{0}.{0}.{1}", "\\007".repeat(63), "\\007".repeat(61));
        for text in [".", "www.example.org", "a\\.b.c", "x\\032y.z", "_tcp.*.9", &longest] {
            let name = Name::from_text(text).unwrap();
            with(name.as_wire(), |marked| {
                assert_eq!((marked[0], marked[marked.len() - 1]), (START, END));
                assert_eq!(unmarked(marked), Text(name.as_wire()).to_string().as_bytes());
            });
            with_escapes(name.as_wire(), |marked| {
                assert_eq!(unmarked(marked), Text(name.as_wire()).to_string().as_bytes());
            });
        }
    }

    #[test]
    fn names_get_their_dot() {
        for (text, expected) in [
            ("Foo", "foo."),
            ("foo.", "foo."),
            ("", "."),
            (".", "."),
            ("a\\.", "a\\.."),
            ("a\\\\.", "a\\\\."),
        ] {
            assert_eq!(normal(text), expected, "{text}");
        }
    }
}
