//! Base 16, base 32 hex and base 64 (RFC 4648) in master files, where digits may be spread over words.

use data_encoding::{BASE32_DNSSEC, BASE64_NOPAD, Encoding, HEXUPPER_PERMISSIVE};

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::master) enum Base {
    /// Base 16, in any case.
    Hex,
    /// Base 32 with the extended hex alphabet, in any case; padding may be there (RFC 5155 section 3.3).
    Base32,
    /// Base 64 with its padding.
    Base64,
}

/// Why digits do not stand for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::master) enum Malformed {
    /// No digit is at this offset.
    Digit(usize),
    /// The digits end within a byte, or bits beyond the last byte are set (RFC 4648 section 3.5).
    Incomplete,
}

impl Base {
    /// Replaces the digits from `start` on by the bytes that they stand for.
    pub(in crate::master) fn decode(
        self,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), Malformed> {
        let encoding = self.encoding();
        let digits_end = out.len();
        let digits = &out[start..];
        let padding_at = match self {
            Self::Hex => digits.len(),
            _ => memchr::memchr(b'=', digits).unwrap_or(digits.len()),
        };
        let (digits, padding) = digits.split_at(padding_at);
        let Ok(len) = encoding.decode_len(digits.len()) else {
            return Err(malformed(&encoding, digits, padding));
        };
        out.resize(digits_end + len, 0);
        let (read, written) = out.split_at_mut(digits_end);
        let (digits, padding) = read[start..].split_at(padding_at);
        if encoding.decode_mut(digits, written).is_err() || !self.allows(digits, padding) {
            return Err(malformed(&encoding, digits, padding));
        }
        out.copy_within(digits_end.., start);
        out.truncate(start + len);
        Ok(())
    }

    fn encoding(self) -> Encoding {
        match self {
            Self::Hex => HEXUPPER_PERMISSIVE,
            Self::Base32 => BASE32_DNSSEC,
            Self::Base64 => BASE64_NOPAD,
        }
    }

    /// Whether what follows the digits completes them.
    fn allows(self, digits: &[u8], padding: &[u8]) -> bool {
        let group = match self {
            Self::Hex => return true,
            Self::Base32 if padding.is_empty() => return true,
            Self::Base32 => 8,
            Self::Base64 if digits.is_empty() => return false,
            Self::Base64 => 4,
        };
        let missing = digits.len().next_multiple_of(group) - digits.len();
        // Base 32 may have a whole group of padding, too: it says nothing.
        let fits = match self {
            Self::Base32 => padding.len() % group == missing,
            _ => padding.len() == missing,
        };
        fits && padding.iter().all(|&byte| byte == b'=')
    }
}

#[cold]
fn malformed(encoding: &Encoding, digits: &[u8], padding: &[u8]) -> Malformed {
    let known = encoding.specification();
    let is_digit =
        |byte: &u8| known.symbols.bytes().chain(known.translate.from.bytes()).any(|b| b == *byte);
    let in_padding = || Some(digits.len() + padding.iter().position(|&byte| byte != b'=')?);
    match digits.iter().position(|byte| !is_digit(byte)).or_else(in_padding) {
        Some(at) => Malformed::Digit(at),
        None => Malformed::Incomplete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(base: Base, digits: &str) -> Result<Vec<u8>, Malformed> {
        let mut out = b"before".to_vec();
        out.extend_from_slice(digits.as_bytes());
        base.decode(&mut out, 6)?;
        Ok(out.split_off(6))
    }

    #[test]
    fn base64_is_padded() {
        assert_eq!(decode(Base::Base64, "AQID"), Ok(vec![1, 2, 3]));
        assert_eq!(decode(Base::Base64, "AQ=="), Ok(vec![1]));
        for incomplete in ["", "AQ", "AQ=", "AQI", "AQID=", "AR==", "A", "=", "===="] {
            assert_eq!(
                decode(Base::Base64, incomplete),
                Err(Malformed::Incomplete),
                "{incomplete}"
            );
        }
        assert_eq!(decode(Base::Base64, "AQ==AQ=="), Err(Malformed::Digit(4)));
        assert_eq!(decode(Base::Base64, "AQ-_"), Err(Malformed::Digit(2)));
        assert_eq!(decode(Base::Base64, "A-="), Err(Malformed::Digit(1)));
    }

    #[test]
    fn base32_has_any_case_and_may_be_padded() {
        assert_eq!(decode(Base::Base32, "04"), Ok(vec![1]));
        assert_eq!(decode(Base::Base32, "vv"), decode(Base::Base32, "VV"));
        assert_eq!(decode(Base::Base32, "04======"), Ok(vec![1]));
        assert_eq!(decode(Base::Base32, "04====="), Err(Malformed::Incomplete));
        assert_eq!(decode(Base::Base32, "05"), Err(Malformed::Incomplete));
        assert_eq!(decode(Base::Base32, "04w"), Err(Malformed::Digit(2)));
    }

    #[test]
    fn hex_has_any_case_and_no_padding() {
        assert_eq!(decode(Base::Hex, "0aFF"), Ok(vec![0x0A, 0xFF]));
        assert_eq!(decode(Base::Hex, "0aF"), Err(Malformed::Incomplete));
        assert_eq!(decode(Base::Hex, "0g"), Err(Malformed::Digit(1)));
        assert_eq!(decode(Base::Hex, "0a=="), Err(Malformed::Digit(2)));
    }
}
