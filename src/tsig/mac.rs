//! MACs over the parts of a message, one part after the other.

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha224;
use subtle::ConstantTimeEq;

use crate::Algorithm;

/// The key of a MAC, prepared for use.
#[derive(Clone)]
pub(crate) enum MacKey {
    Ring(ring::hmac::Key),
    Sha224(Hmac<Sha224>),
}

impl MacKey {
    pub(crate) fn new(algorithm: Algorithm, secret: &[u8]) -> Self {
        let ring = match algorithm {
            Algorithm::Sha1 => ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha224 => {
                let Ok(mac) = Hmac::new_from_slice(secret) else {
                    unreachable!("HMAC takes keys of any length (RFC 2104 section 2)");
                };
                return Self::Sha224(mac);
            }
            Algorithm::Sha256 => ring::hmac::HMAC_SHA256,
            Algorithm::Sha384 => ring::hmac::HMAC_SHA384,
            Algorithm::Sha512 => ring::hmac::HMAC_SHA512,
        };
        Self::Ring(ring::hmac::Key::new(ring, secret))
    }

    /// A MAC over nothing yet.
    pub(crate) fn begin(&self) -> Mac {
        Mac(match self {
            Self::Ring(key) => Running::Ring(ring::hmac::Context::with_key(key)),
            Self::Sha224(mac) => Running::Sha224(mac.clone()),
        })
    }
}

/// A MAC that grows.
#[derive(Clone)]
pub(crate) struct Mac(Running);

#[derive(Clone)]
enum Running {
    Ring(ring::hmac::Context),
    Sha224(Hmac<Sha224>),
}

impl Mac {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Running::Ring(context) => context.update(bytes),
            Running::Sha224(mac) => mac.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Value {
        let mut value = Value { len: 0, bytes: [0; MOST] };
        let mut keep = |bytes: &[u8]| {
            value.len = bytes.len() as u8;
            value.bytes[..bytes.len()].copy_from_slice(bytes);
        };
        match self.0 {
            Running::Ring(context) => keep(context.sign().as_ref()),
            Running::Sha224(mac) => keep(&mac.finalize().into_bytes()),
        }
        value
    }
}

/// Octets of the longest MAC.
const MOST: usize = Algorithm::Sha512.mac_len();

/// The value of a MAC.
#[derive(Clone, Copy)]
pub(crate) struct Value {
    len: u8,
    bytes: [u8; MOST],
}

impl Value {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Its first `len` octets.
    pub(crate) fn truncated(&self, len: usize) -> &[u8] {
        let whole = self.as_slice();
        whole.get(..len).unwrap_or(whole)
    }

    /// Whether `sent` is this value, or its start. Takes the same time for every `sent` of a length.
    pub(crate) fn starts_with(&self, sent: &[u8]) -> bool {
        self.as_slice().get(..sent.len()).is_some_and(|own| own.ct_eq(sent).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// Test cases 1 and 6 of RFC 4231 (section 4), and of RFC 2202 (section 3) for SHA-1.
    #[test]
    fn macs_are_those_of_the_rfcs() {
        let long: &[u8] = b"Test Using Larger Than Block-Size Key - Hash Key First";
        let cases: [(Algorithm, &[u8], &[u8], &str); 7] = [
            (Algorithm::Sha1, &[0x0B; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
            (Algorithm::Sha1, &[0xAA; 80], long, "aa4ae5e15272d00e95705637ce8a3b55ed402112"),
            (
                Algorithm::Sha224,
                &[0x0B; 20],
                b"Hi There",
                "896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22",
            ),
            (
                Algorithm::Sha224,
                &[0xAA; 131],
                long,
                "95e9a0db962095adaebe9b2d6f0dbce2d499f112f2d2b7273fa6870e",
            ),
            (
                Algorithm::Sha256,
                &[0x0B; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                Algorithm::Sha384,
                &[0x0B; 20],
                b"Hi There",
                "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c\
                 faea9ea9076ede7f4af152e8b2fa9cb6",
            ),
            (
                Algorithm::Sha512,
                &[0x0B; 20],
                b"Hi There",
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde\
                 daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
            ),
        ];
        for (algorithm, key, text, want) in cases {
            let mut mac = MacKey::new(algorithm, key).begin();
            let (one, two) = text.split_at(3);
            mac.update(one);
            mac.update(two);
            let value = mac.finish();
            assert_eq!(HEXLOWER.encode(value.as_slice()), want, "{algorithm}");
            assert_eq!(value.as_slice().len(), algorithm.mac_len());
            assert!(value.starts_with(value.truncated(10)) && value.starts_with(value.as_slice()));
            let mut wrong = value.truncated(10).to_vec();
            wrong[9] ^= 1;
            assert!(!value.starts_with(&wrong));
            assert!(!value.starts_with(&[0; 65]), "longer than any MAC");
        }
    }
}
