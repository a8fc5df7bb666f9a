//! A name as text, generated without an allocation and only when it is needed.

use std::fmt::{self, Write};

use exchange::Query;
use wire::name;

/// Room for the longest name: each byte of a label may become four.
const ROOM: usize = 4 * 255;

/// The name of a query in presentation form.
pub(super) struct NameText {
    bytes: [u8; ROOM],
    len: usize,
}

impl NameText {
    pub(super) fn new() -> Self {
        Self { bytes: [0; ROOM], len: 0 }
    }

    /// The query's name in lower case; always the same query's.
    pub(super) fn of(&mut self, query: &Query) -> &str {
        if self.len == 0 {
            self.fill(query.name());
        }
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    fn fill(&mut self, wire: &[u8]) {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        for label in name::labels(wire) {
            if !label.iter().all(is_plain) {
                self.len = 0;
                // There is room for every name.
                let _ = write!(self, "{}", name::Text(wire));
                return;
            }
            self.bytes[self.len..][..label.len()].copy_from_slice(label);
            self.bytes[self.len + label.len()] = b'.';
            self.len += label.len() + 1;
        }
        if self.len == 0 {
            self.bytes[0] = b'.';
            self.len = 1;
        }
    }
}

impl Write for NameText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Name, Rtype};

    #[test]
    fn names_are_written_as_in_zone_files() {
        for text in ["www.example.org.", ".", r"a\.b.c\032d.\000\255.", "a_b-c."] {
            let (mut query, from) = (Query::new(), Query::new());
            let name = Name::from_text(text).unwrap();
            query.make_subquery(&from, name.as_wire(), Rtype::A, false);
            assert_eq!(NameText::new().of(&query), name.to_string());
        }
        let mut wire = Vec::new();
        for len in [63, 63, 63, 61] {
            wire.push(len);
            wire.extend(std::iter::repeat_n(0u8, usize::from(len)));
        }
        wire.push(0);
        let (mut query, from) = (Query::new(), Query::new());
        query.make_subquery(&from, &wire, Rtype::A, false);
        assert_eq!(NameText::new().of(&query).len(), 4 * 250 + 4);
    }
}
