//! Keys that two servers share.

use std::fmt;

use data_encoding::BASE64;
use wire::Name;

use crate::Algorithm;
use crate::mac::{Mac, MacKey};

/// A key that two servers share.
#[derive(Clone)]
pub struct Key {
    name: Name,
    algorithm: Algorithm,
    any_algorithm: bool,
    mac_len: usize,
    secret: Box<[u8]>,
    prepared: MacKey,
}

impl Key {
    /// The key `name` with the octets of its secret. Its MACs are not truncated.
    ///
    /// # Errors
    /// The secret is empty.
    pub fn new(name: &Name, algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::EmptySecret);
        }
        Ok(Self {
            name: name.to_lower(),
            algorithm,
            any_algorithm: false,
            mac_len: algorithm.mac_len(),
            secret: secret.into(),
            prepared: MacKey::new(algorithm, secret),
        })
    }

    /// The key `name` with a secret in base 64 (RFC 4648 section 4); blanks in it do not count.
    ///
    /// # Errors
    /// The secret is empty, or not in base 64.
    pub fn from_base64(name: &Name, algorithm: Algorithm, secret: &str) -> Result<Self, KeyError> {
        let text: Vec<u8> = secret.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let secret = BASE64.decode(&text).map_err(|_| KeyError::Secret)?;
        Self::new(name, algorithm, &secret)
    }

    /// The key `name` with a secret in base 64, of the algorithm that `text` names, which may have a number of
    /// bits (see [`Key::from_text`]). Without an algorithm the key accepts requests of all.
    ///
    /// # Errors
    /// The algorithm is unknown; the secret is empty, or not in base 64.
    pub fn with_algorithm(name: &Name, text: Option<&str>, secret: &str) -> Result<Self, KeyError> {
        let Some(text) = text else {
            let key = Self::from_base64(name, Algorithm::default(), secret)?;
            return Ok(key.with_any_algorithm());
        };
        let (algorithm, bits) = parse_algorithm(text)?;
        let key = Self::from_base64(name, algorithm, secret)?;
        match bits {
            Some(bits) => key.truncated_to(bits),
            None => Ok(key),
        }
    }

    /// Reads `ALGORITHM:NAME:SECRET`, as `dig -y` and `kdig -y` take it; without an algorithm it is
    /// `hmac-sha256`. The algorithm may have the number of bits to truncate MACs to: `hmac-sha256-128`.
    ///
    /// # Errors
    /// The text has another form; the algorithm is unknown; the name is no name; the secret is empty or not
    /// in base 64.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.rsplitn(3, ':');
        let (Some(secret), Some(name)) = (parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        let algorithm = parts.next().unwrap_or(Algorithm::Sha256.text());
        let name = Name::from_text(name).map_err(|problem| KeyError::Name(problem.to_string()))?;
        Self::with_algorithm(&name, Some(algorithm), secret)
    }

    /// Truncates MACs to this number of bits, and accepts truncated MACs from this length on (RFC 8945
    /// section 5.2.2.1).
    ///
    /// # Errors
    /// The number is no multiple of 8, or too small or too large for the algorithm.
    pub fn truncated_to(mut self, bits: usize) -> Result<Self, KeyError> {
        let octets = bits / 8;
        let range = self.algorithm.min_mac_len()..=self.algorithm.mac_len();
        if !bits.is_multiple_of(8) || !range.contains(&octets) {
            return Err(KeyError::Bits(self.algorithm));
        }
        self.mac_len = octets;
        Ok(self)
    }

    /// Accepts requests that are signed with this key and any other algorithm too. The algorithm of the key
    /// is then that of our own requests.
    #[must_use]
    pub fn with_any_algorithm(mut self) -> Self {
        self.any_algorithm = true;
        self
    }

    /// Its name, in lower case.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The algorithm that our own requests are signed with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether requests with this algorithm are verified.
    pub(crate) fn takes(&self, algorithm: Algorithm) -> bool {
        self.any_algorithm || self.algorithm == algorithm
    }

    /// Octets of the MACs with this algorithm: what is sent, and the least that is accepted.
    pub(crate) fn mac_len(&self, algorithm: Algorithm) -> usize {
        if algorithm == self.algorithm { self.mac_len } else { algorithm.mac_len() }
    }

    /// A MAC over nothing yet.
    pub(crate) fn begin(&self, algorithm: Algorithm) -> Mac {
        if algorithm == self.algorithm {
            self.prepared.begin()
        } else {
            MacKey::new(algorithm, &self.secret).begin()
        }
    }
}

/// Keys are equal if they sign and accept the same.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let words = |key: &Self| (key.algorithm, key.any_algorithm, key.mac_len);
        self.name == other.name && words(self) == words(other) && self.secret == other.secret
    }
}

impl Eq for Key {}

/// Never shows the secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:(secret)", self.algorithm, self.name)
    }
}

/// An algorithm, and the number of bits to truncate MACs to: `hmac-sha256`, `hmac-sha256-128`.
fn parse_algorithm(text: &str) -> Result<(Algorithm, Option<usize>), KeyError> {
    if let Some(algorithm) = Algorithm::from_text(text) {
        return Ok((algorithm, None));
    }
    let unknown = || match text.to_ascii_lowercase() {
        text if text.starts_with("hmac-md5") => KeyError::Md5,
        _ => KeyError::Algorithm,
    };
    let (start, bits) = text.rsplit_once('-').ok_or_else(unknown)?;
    let algorithm = Algorithm::from_text(start).ok_or_else(unknown)?;
    let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    let bits = bits.parse().ok().filter(|_| digits).ok_or_else(unknown)?;
    Ok((algorithm, Some(bits)))
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// It is not `NAME:SECRET` or `ALGORITHM:NAME:SECRET`.
    Form,
    /// The algorithm is HMAC-MD5.
    Md5,
    /// The algorithm is unknown. The word is not kept: it may be a secret in the wrong place.
    Algorithm,
    /// The name is no domain name; the reason.
    Name(String),
    /// The secret is not in base 64.
    Secret,
    /// The secret is empty.
    EmptySecret,
    /// MACs of this algorithm cannot have this number of bits.
    Bits(Algorithm),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => {
                f.write_str("a key has the form `ALGORITHM:NAME:SECRET` or `NAME:SECRET`")
            }
            Self::Md5 => {
                f.write_str("`hmac-md5` must not be used (RFC 8945 section 6); use `hmac-sha256`")
            }
            Self::Algorithm => {
                f.write_str("this is no known algorithm; known are")?;
                for (at, algorithm) in Algorithm::ALL.into_iter().enumerate() {
                    write!(f, "{} `{algorithm}`", if at == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Name(problem) => write!(f, "the name of the key is no domain name: {problem}"),
            Self::Secret => f.write_str("the secret is not in base 64 (RFC 4648 section 4)"),
            Self::EmptySecret => f.write_str("the secret is empty"),
            Self::Bits(algorithm) => write!(
                f,
                "a MAC of `{algorithm}` has {} to {} bits, a multiple of 8",
                8 * algorithm.min_mac_len(),
                8 * algorithm.mac_len()
            ),
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_dig_and_kdig_take_them() {
        let key = Key::from_text("hmac-sha512:Transfer.Key:c2VjcmV0").unwrap();
        assert_eq!(
            (key.name().to_string(), key.algorithm()),
            ("transfer.key.".into(), Algorithm::Sha512)
        );
        assert_eq!(&*key.secret, b"secret");
        assert_eq!(Key::from_text("k:c2VjcmV0").unwrap().algorithm(), Algorithm::Sha256);
        let short = Key::from_text("HMAC-SHA256-128:k.:c2VjcmV0").unwrap();
        assert_eq!((short.mac_len(Algorithm::Sha256), short.mac_len(Algorithm::Sha1)), (16, 20));
        assert_eq!(format!("{short:?}"), "hmac-sha256:k.:(secret)");
    }

    #[test]
    fn wrong_keys_are_refused_with_a_reason() {
        let error = |text: &str| Key::from_text(text).unwrap_err().to_string();
        assert!(error("c2VjcmV0").contains("ALGORITHM:NAME:SECRET"));
        assert!(error("hmac-md5:k:c2VjcmV0").contains("must not be used"));
        assert!(error("sha:k:c2VjcmV0").contains("no known algorithm; known are `hmac-sha1`, `"));
        assert!(error("hmac-sha256-x:k:c2VjcmV0").contains("no known algorithm"));
        assert!(!error("c2VjcmV0:k:c2VjcmV0").contains("c2VjcmV0"));
        assert!(error("hmac-sha256-127:k:c2VjcmV0").contains("has 128 to 256 bits"));
        assert!(error("hmac-sha1-72:k:c2VjcmV0").contains("has 80 to 160 bits"));
        assert!(error("a..b:c2VjcmV0").contains("no domain name"));
        assert!(error("k:c2VjcmV").contains("base 64"));
        assert!(error("k:").contains("empty"));
    }
}
