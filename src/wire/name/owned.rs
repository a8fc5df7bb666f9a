//! An owned name.

use std::cmp::Ordering;
use std::fmt;

use super::buffer::NameBuf;
use super::error::NameError;
use super::labels::{canonical_cmp, eq, is_under, labels, parent, wire_len};
use super::text::Text;

/// An owned name in wire form, with the case it was written in.
///
/// Names of up to 22 octets are stored inline, so reading one costs no further cache miss.
#[derive(Clone)]
pub struct Name(Repr);

#[derive(Clone)]
enum Repr {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

/// As many bytes as fit where the pointer to more would be.
const SHORT: usize = 22;

const _: () = assert!(size_of::<Name>() == 24);

impl Name {
    /// The root name.
    pub fn root() -> Self {
        Self::new(&[0])
    }

    /// The name that `wire` is.
    fn new(wire: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        Self(match bytes.get_mut(..wire.len()) {
            Some(short) => {
                short.copy_from_slice(wire);
                Repr::Short { len: wire.len() as u8, bytes }
            }
            None => Repr::Long(wire.into()),
        })
    }

    /// Reads presentation form (RFC 1035 section 5.1, `\X` and `\DDD` escapes); the final dot is
    /// optional, every name is absolute.
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        let mut buf = NameBuf::new();
        buf.push_text(text.as_bytes())?;
        Ok(buf.to_name())
    }

    /// Takes an uncompressed wire name; `wire` must hold exactly one name.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        match wire_len(wire) {
            Some(len) if len == wire.len() => Ok(Self::new(wire)),
            _ => Err(NameError::Malformed),
        }
    }

    /// The wire form, root byte included.
    #[inline]
    pub fn as_wire(&self) -> &[u8] {
        match &self.0 {
            Repr::Short { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Long(bytes) => bytes,
        }
    }

    /// The same name in lower case.
    pub fn to_lower(&self) -> Self {
        let mut lower = self.clone();
        match &mut lower.0 {
            Repr::Short { bytes, .. } => bytes.make_ascii_lowercase(),
            Repr::Long(bytes) => bytes.make_ascii_lowercase(),
        }
        lower
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.as_wire().len() == 1
    }

    /// The name without its first label; the root has none.
    pub fn parent(&self) -> Option<Self> {
        parent(self.as_wire()).map(Self::new)
    }

    /// Whether this name is `other` or below it.
    pub fn is_under(&self, other: &Self) -> bool {
        is_under(self.as_wire(), other.as_wire())
    }

    /// The labels from the left, the root excluded.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        labels(self.as_wire())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Text(self.as_wire()), f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Text(self.as_wire()), f)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        eq(self.as_wire(), other.as_wire())
    }
}

impl Eq for Name {}

impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(crate::hash::name(self.as_wire()));
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        canonical_cmp(self.as_wire(), other.as_wire())
    }
}

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        self.as_wire()
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::from_text(text)
    }
}

impl NameBuf {
    /// An owned copy.
    pub fn to_name(&self) -> Name {
        Name::new(self.as_wire())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    #[test]
    fn short_and_long_names_are_alike() {
        for len in 1..=40 {
            let text = format!("{}.", "X".repeat(len));
            let name = name(&text);
            assert_eq!(name.as_wire().len(), len + 2);
            assert_eq!(name.to_string(), text);
            assert_eq!(name.to_lower().to_string(), text.to_ascii_lowercase());
            assert_eq!(name, Name::from_wire(name.to_lower().as_wire()).unwrap());
            assert_eq!(name.parent(), Some(Name::root()));
        }
    }

    #[test]
    fn text_round_trip() {
        for text in [".", "org.", "www.Example.org.", "a\\.b.c.", "\\000\\255.x.", "a\\ b.c."] {
            assert_eq!(name(text).to_string(), text);
        }
        assert_eq!(name("example.org").to_string(), "example.org.");
    }

    #[test]
    fn bad_text_is_refused() {
        assert_eq!(Name::from_text("a..b").unwrap_err(), NameError::EmptyLabel);
        assert_eq!(Name::from_text("").unwrap_err(), NameError::EmptyLabel);
        assert_eq!(Name::from_text(".a").unwrap_err(), NameError::EmptyLabel);
        assert_eq!(Name::from_text(&"a".repeat(64)).unwrap_err(), NameError::LongLabel);
        assert_eq!(Name::from_text(&"a.".repeat(128)).unwrap_err(), NameError::LongName);
        assert_eq!(Name::from_text("a\\25").unwrap_err(), NameError::BadEscape);
        assert_eq!(Name::from_text("a\\256").unwrap_err(), NameError::BadEscape);
        assert!(Name::from_text(&"a.".repeat(127)).is_ok());
    }

    #[test]
    fn suffixes_follow_labels() {
        assert!(name("www.example.org").is_under(&name("EXAMPLE.org")));
        assert!(name("example.org").is_under(&name("example.org")));
        assert!(name("example.org").is_under(&name(".")));
        assert!(!name("wwwexample.org").is_under(&name("example.org")));
        assert!(!name("org").is_under(&name("example.org")));
    }

    #[test]
    fn canonical_order_is_that_of_rfc_4034() {
        let sorted = [
            "example.",
            "a.example.",
            "yljkjljk.a.example.",
            "Z.a.example.",
            "zABC.a.EXAMPLE.",
            "z.example.",
            "\\001.z.example.",
            "*.z.example.",
            "\\200.z.example.",
        ];
        for pair in sorted.windows(2) {
            assert!(name(pair[0]) < name(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }
}
