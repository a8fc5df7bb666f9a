//! The algorithms of MACs (RFC 8945 section 6).

use std::fmt;

use wire::name;

/// An algorithm of MACs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// HMAC with SHA-1. RFC 8945 section 6: implemented, but not recommended.
    Sha1,
    /// HMAC with SHA-224.
    Sha224,
    /// HMAC with SHA-256, the default of `dig` and `kdig`.
    #[default]
    Sha256,
    /// HMAC with SHA-384.
    Sha384,
    /// HMAC with SHA-512.
    Sha512,
}

impl Algorithm {
    /// All of them, weakest first.
    pub const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The mnemonic, as in configurations: `hmac-sha256`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Sha1 => "hmac-sha1",
            Self::Sha224 => "hmac-sha224",
            Self::Sha256 => "hmac-sha256",
            Self::Sha384 => "hmac-sha384",
            Self::Sha512 => "hmac-sha512",
        }
    }

    /// Reads a mnemonic in any case, with or without a final dot.
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        Self::ALL.into_iter().find(|algorithm| text.eq_ignore_ascii_case(algorithm.text()))
    }

    /// The name in TSIG records, in wire form.
    pub fn wire(self) -> &'static [u8] {
        match self {
            Self::Sha1 => wire::name!("hmac-sha1."),
            Self::Sha224 => wire::name!("hmac-sha224."),
            Self::Sha256 => wire::name!("hmac-sha256."),
            Self::Sha384 => wire::name!("hmac-sha384."),
            Self::Sha512 => wire::name!("hmac-sha512."),
        }
    }

    /// The algorithm of a name in wire form, in any case.
    pub fn from_wire(wire: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| name::eq(wire, algorithm.wire()))
    }

    /// Octets of a whole MAC.
    pub const fn mac_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Octets of the shortest truncated MAC: ten, or half the hash if that is more (RFC 8945 section 5.2.2.1).
    pub const fn min_mac_len(self) -> usize {
        let half = self.mac_len() / 2;
        if half > 10 { half } else { 10 }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}
