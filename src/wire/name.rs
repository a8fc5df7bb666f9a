//! Domain names in wire form (RFC 1035 section 3.1), without allocation on the data path.
//!
//! A name here is a slice of length-prefixed labels that ends with the zero byte of the root.
//! Comparison ignores ASCII case (RFC 4343); the case that came in is the case that goes out.

mod buffer;
mod literal;
mod read;

use std::cmp::Ordering;
use std::fmt;

pub use buffer::NameBuf;
pub use literal::literal;
pub use read::{read, skip};

/// The longest name, its root byte included (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 255;
/// The longest label.
pub const MAX_LABEL: usize = 63;

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

/// Why a text or bytes are not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Two dots in a row, or nothing at all.
    EmptyLabel,
    /// A label of more than 63 bytes.
    LongLabel,
    /// More than 255 bytes in wire form.
    LongName,
    /// A backslash that is not followed by a character or three digits up to 255.
    BadEscape,
    /// Not an uncompressed wire name.
    Malformed,
}

impl NameError {
    /// The error in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmptyLabel => "a label is empty",
            Self::LongLabel => "a label is longer than 63 bytes",
            Self::LongName => "the name is longer than 255 bytes",
            Self::BadEscape => "a `\\` must be followed by a character or three digits up to 255",
            Self::Malformed => "the bytes are not a name",
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for NameError {}

/// Shows a wire name in presentation form, with the escapes of RFC 4343 section 2.1.
pub struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let mut any = false;
        for label in labels(self.0) {
            any = true;
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b' ' | b'@' | b'\'' => {
                        f.write_char('\\')?;
                        f.write_char(char::from(byte))?;
                    }
                    b'!'..=b'~' => f.write_char(char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_char('.')?;
        }
        if any { Ok(()) } else { f.write_char('.') }
    }
}

/// The labels of an uncompressed wire name, from the left, the root excluded.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    label_starts(wire).map(move |(at, len)| &wire[at + 1..at + 1 + len])
}

/// Where each label starts (its length byte) and how long it is.
pub fn label_starts(wire: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let len = usize::from(*wire.get(at)?);
        if len == 0 || len > MAX_LABEL || at + 1 + len > wire.len() {
            return None;
        }
        let found = (at, len);
        at += 1 + len;
        Some(found)
    })
}

/// How many labels a wire name has, the root excluded.
pub fn label_count(wire: &[u8]) -> usize {
    label_starts(wire).count()
}

/// The name without its first label; `None` for the root.
pub fn parent(wire: &[u8]) -> Option<&[u8]> {
    let len = usize::from(*wire.first()?);
    if len == 0 { None } else { wire.get(1 + len..) }
}

/// Whether two wire names are equal, ignoring case.
#[inline]
pub fn eq(a: &[u8], b: &[u8]) -> bool {
    // Nearly always the case is the same, too, and that is quicker to see.
    a == b || a.eq_ignore_ascii_case(b)
}

/// Whether `name` is `zone` or below it, label by label, ignoring case.
#[inline]
pub fn is_under(name: &[u8], zone: &[u8]) -> bool {
    let Some(skip) = name.len().checked_sub(zone.len()) else { return false };
    if !eq(&name[skip..], zone) {
        return false;
    }
    let mut at = 0;
    while at < skip {
        at += 1 + usize::from(name[at]);
    }
    at == skip
}

/// Canonical order of names (RFC 4034 section 6.1).
pub fn canonical_cmp(a: &[u8], b: &[u8]) -> Ordering {
    let mut a_starts = [0u8; 128];
    let mut b_starts = [0u8; 128];
    let starts = |wire: &[u8], into: &mut [u8; 128]| {
        let mut count = 0;
        for (at, _) in label_starts(wire) {
            into[count] = at as u8;
            count += 1;
        }
        count
    };
    let a_count = starts(a, &mut a_starts);
    let b_count = starts(b, &mut b_starts);
    let label = |wire: &'_ [u8], at: u8| {
        let at = usize::from(at);
        at + 1..at + 1 + usize::from(wire[at])
    };
    for back in 1..=a_count.min(b_count) {
        let x = a[label(a, a_starts[a_count - back])].iter().map(u8::to_ascii_lowercase);
        let y = b[label(b, b_starts[b_count - back])].iter().map(u8::to_ascii_lowercase);
        match x.cmp(y) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    a_count.cmp(&b_count)
}

/// Length of the uncompressed name at the start of `bytes`, root byte included.
#[inline]
pub fn wire_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*bytes.get(at)?);
        at += 1 + len;
        if len == 0 {
            return (at <= MAX_NAME).then_some(at);
        }
        if len > MAX_LABEL || at > MAX_NAME {
            return None;
        }
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
