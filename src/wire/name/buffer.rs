//! A name that is being built or changed, on the stack.

use std::borrow::Borrow;
use std::fmt;

use super::error::NameError;
use super::labels::{MAX_LABEL, MAX_NAME};
use super::text::Text;

/// A name on the stack: 255 bytes and a length.
///
/// Eight spare bytes behind the name let it be read a word at a time.
#[derive(Clone)]
pub struct NameBuf {
    len: u8,
    bytes: [u8; MAX_NAME + 9],
}

impl NameBuf {
    /// An empty buffer, which is not yet a name: the root byte is missing.
    pub const fn new() -> Self {
        Self { len: 0, bytes: [0; MAX_NAME + 9] }
    }

    /// The bytes so far.
    #[inline]
    pub const fn as_wire(&self) -> &[u8] {
        self.bytes.split_at(self.len as usize).0
    }

    /// Forgets the content.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The bytes with at least eight readable ones after the name.
    #[inline]
    pub(crate) fn padded(&self) -> &[u8] {
        &self.bytes
    }

    /// Replaces the content by `wire`, lower-cased.
    ///
    /// Length bytes are below 64 and so never look like upper-case letters: the whole slice can be
    /// folded without walking labels.
    #[inline]
    pub fn set_folded(&mut self, wire: &[u8]) {
        debug_assert!(wire.len() <= MAX_NAME);
        let len = wire.len().min(MAX_NAME);
        let (words, tail) = wire[..len].as_chunks::<8>();
        let mut at = 0;
        for word in words {
            let folded = fold_word(u64::from_le_bytes(*word));
            self.bytes[at..at + 8].copy_from_slice(&folded.to_le_bytes());
            at += 8;
        }
        for byte in tail {
            self.bytes[at] = byte.to_ascii_lowercase();
            at += 1;
        }
        self.len = len as u8;
    }

    /// Makes the name lower case.
    pub(super) const fn make_lowercase(&mut self) {
        self.bytes.make_ascii_lowercase();
    }

    /// Adds one label.
    pub const fn push_label(&mut self, label: &[u8]) -> Result<(), NameError> {
        if label.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        if label.len() > MAX_LABEL {
            return Err(NameError::LongLabel);
        }
        // The root byte must still fit.
        if self.len as usize + label.len() + 2 > MAX_NAME {
            return Err(NameError::LongName);
        }
        match self.push_bytes(&[label.len() as u8]) {
            Ok(()) => self.push_bytes(label),
            error => error,
        }
    }

    /// Adds a whole name, root byte included, as the end of this one.
    pub const fn push_name(&mut self, wire: &[u8]) -> Result<(), NameError> {
        self.push_bytes(wire)
    }

    /// The labels of the name `labels` in front of the name `zone`.
    ///
    /// # Errors
    /// The name would be too long.
    pub fn joined(labels: &[u8], zone: &[u8]) -> Result<Self, NameError> {
        let mut name = Self::new();
        name.push_bytes(labels.strip_suffix(&[0]).unwrap_or(labels))?;
        name.push_bytes(zone)?;
        Ok(name)
    }

    /// Adds the root byte.
    pub const fn push_root(&mut self) -> Result<(), NameError> {
        self.push_bytes(&[0])
    }

    /// Adds an absolute name in presentation form, the root byte included.
    pub const fn push_text(&mut self, text: &[u8]) -> Result<(), NameError> {
        match self.push_labels(text) {
            Ok(_) => self.push_root(),
            Err(error) => Err(error),
        }
    }

    /// Adds the labels of a name in presentation form, without a root byte. `true` when the text
    /// ended with a dot, so that the name is absolute.
    pub const fn push_labels(&mut self, text: &[u8]) -> Result<bool, NameError> {
        if let [b'.'] = text {
            return Ok(true);
        }
        if text.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        let mut label = [0u8; MAX_LABEL];
        let mut len = 0;
        let mut rest = text;
        let mut absolute = false;
        while let [first, after @ ..] = rest {
            rest = after;
            absolute = *first == b'.';
            if absolute {
                if let Err(error) = self.push_label(label.split_at(len).0) {
                    return Err(error);
                }
                len = 0;
                continue;
            }
            let mut byte = *first;
            if byte == b'\\' {
                match unescape(rest) {
                    Ok((escaped, after)) => (byte, rest) = (escaped, after),
                    Err(error) => return Err(error),
                }
            }
            if len == MAX_LABEL {
                return Err(NameError::LongLabel);
            }
            label[len] = byte;
            len += 1;
        }
        if absolute {
            return Ok(true);
        }
        match self.push_label(label.split_at(len).0) {
            Ok(()) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Adds bytes as they are.
    #[inline]
    pub(super) const fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), NameError> {
        let at = self.len as usize;
        let end = at + bytes.len();
        if end > MAX_NAME {
            return Err(NameError::LongName);
        }
        self.bytes.split_at_mut(at).1.split_at_mut(bytes.len()).0.copy_from_slice(bytes);
        self.len = end as u8;
        Ok(())
    }
}

impl Default for NameBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl Borrow<[u8]> for NameBuf {
    fn borrow(&self) -> &[u8] {
        self.as_wire()
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Text(self.as_wire()), f)
    }
}

/// Lower-cases eight ASCII bytes at once; other bytes pass unchanged.
#[inline]
fn fold_word(word: u64) -> u64 {
    const LOW7: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let low = word & LOW7;
    let from_a = low + 0x3F3F_3F3F_3F3F_3F3F; // high bit where byte >= 'A'
    let past_z = low + 0x2525_2525_2525_2525; // high bit where byte > 'Z'
    let upper = from_a & !past_z & !word & HIGH;
    word | (upper >> 2)
}

/// The octet that the escape at the start of `text` stands for, and the text behind it.
const fn unescape(text: &[u8]) -> Result<(u8, &[u8]), NameError> {
    match text {
        [hundreds @ b'0'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
            let value = (*hundreds - b'0') as u16 * 100
                + (*tens - b'0') as u16 * 10
                + (*ones - b'0') as u16;
            if value > u8::MAX as u16 { Err(NameError::BadEscape) } else { Ok((value as u8, rest)) }
        }
        [b'0'..=b'9', ..] | [] => Err(NameError::BadEscape),
        [other, rest @ ..] => Ok((*other, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_touches_letters_only() {
        for byte in 0..=255u8 {
            let word = u64::from_le_bytes([byte, b'A', b'Z', b'[', b'@', 0xC1, byte, b'z']);
            let folded = fold_word(word).to_le_bytes();
            let expect: Vec<u8> = word.to_le_bytes().iter().map(u8::to_ascii_lowercase).collect();
            assert_eq!(folded.as_slice(), expect);
        }
    }
}
