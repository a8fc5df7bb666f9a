//! What the RDATA of each type is made of: one table that text is read and written by.

use wire::Rtype;

/// One field, or a run of fields that only makes sense as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    U16,
    U32,
    U64,
    /// 32 bits of seconds, units allowed.
    Ttl,
    /// 32 bits of seconds since 1970 (RFC 4034 section 3.2).
    Time,
    V4,
    V6,
    Name,
    /// One `<character-string>`.
    Str,
    /// A `<character-string>` that may be missing.
    OptStr,
    /// One or more `<character-string>`s that readers join: RFC 7208 section 3.3 for SPF, RFC 6376
    /// section 3.6.2.2 for keys of DKIM. A longer text is split.
    Strs,
    /// One or more `<character-string>`s, each of them an item of its own; none is split.
    Items,
    /// A `<character-string>` that is a decimal number.
    Decimal,
    /// One string without a length, to the end of the RDATA.
    Text,
    /// Letters and digits with a length in one byte (CAA).
    Tag,
    /// Hex digits to the end.
    Hex,
    /// Base 64 to the end.
    Base64,
    /// Base 64 to the end, or `-` for nothing (DOA).
    Base64OrDash,
    /// Hex digits with a length in one byte, `-` for none (NSEC3 salt).
    Salt,
    /// Base 32 hex with a length in one byte (NSEC3 next owner).
    Base32,
    /// A type, by name.
    Type,
    /// A type that a zone can have records of.
    Covered,
    /// DNSSEC algorithm, a number or a name.
    Algorithm,
    /// Certificate type (RFC 4398), a number or a name.
    CertType,
    /// Scheme of DSYNC (RFC 9859), a number or a name.
    Scheme,
    /// Type bitmap to the end.
    Bitmap,
    /// Bytes in hex with `-` between: six of them.
    Eui48,
    /// Bytes in hex with `-` between: eight of them.
    Eui64,
    /// Four groups of hex digits with `:` between.
    Locator,
    Nsap,
    Wks,
    Loc,
    Apl,
    IpsecKey,
    AmtRelay,
    Hip,
    /// The parameters of SVCB and HTTPS.
    Params,
    /// Anything, in generic form only.
    Opaque,
}

/// A field and what messages call it.
pub(super) type Field = (Kind, &'static str);

const KEY: &[Field] = &[
    (Kind::U16, "flags"),
    (Kind::U8, "protocol"),
    (Kind::Algorithm, "algorithm"),
    (Kind::Base64, "public key"),
];
const DIGEST: &[Field] = &[
    (Kind::U16, "key tag"),
    (Kind::Algorithm, "algorithm"),
    (Kind::U8, "digest type"),
    (Kind::Hex, "digest"),
];
const SIGNATURE: &[Field] = &[
    (Kind::Covered, "type covered"),
    (Kind::Algorithm, "algorithm"),
    (Kind::U8, "labels"),
    (Kind::U32, "original TTL"),
    (Kind::Time, "expiration"),
    (Kind::Time, "inception"),
    (Kind::U16, "key tag"),
    (Kind::Name, "signer"),
    (Kind::Base64, "signature"),
];
const CERTIFICATE: &[Field] = &[
    (Kind::U8, "usage"),
    (Kind::U8, "selector"),
    (Kind::U8, "matching type"),
    (Kind::Hex, "certificate data"),
];

/// The fields of a type; `None` when it has generic form only.
#[inline]
pub(super) fn of(rtype: Rtype) -> Option<&'static [Field]> {
    Some(match rtype {
        Rtype::A => &[(Kind::V4, "address")],
        Rtype::AAAA => &[(Kind::V6, "address")],
        Rtype::NS
        | Rtype::CNAME
        | Rtype::PTR
        | Rtype::DNAME
        | Rtype::MD
        | Rtype::MF
        | Rtype::MB
        | Rtype::MG
        | Rtype::MR
        | Rtype::NSAPPTR => &[(Kind::Name, "name")],
        Rtype::MX | Rtype::AFSDB | Rtype::RT | Rtype::KX | Rtype::LP => {
            &[(Kind::U16, "preference"), (Kind::Name, "name")]
        }
        Rtype::SRV => &[
            (Kind::U16, "priority"),
            (Kind::U16, "weight"),
            (Kind::U16, "port"),
            (Kind::Name, "target"),
        ],
        Rtype::TXT | Rtype::SPF | Rtype::AVC | Rtype::NINFO => &[(Kind::Strs, "text")],
        // Pairs of key and value (RFC 9606 section 3), a currency and an address, protocols.
        Rtype::RESINFO | Rtype::WALLET | Rtype::CLA => &[(Kind::Items, "text")],
        Rtype::SOA => &[
            (Kind::Name, "primary server"),
            (Kind::Name, "mailbox"),
            (Kind::U32, "serial"),
            (Kind::Ttl, "refresh"),
            (Kind::Ttl, "retry"),
            (Kind::Ttl, "expire"),
            (Kind::Ttl, "minimum"),
        ],
        Rtype::MINFO | Rtype::RP | Rtype::TALINK => {
            &[(Kind::Name, "first name"), (Kind::Name, "second name")]
        }
        Rtype::HINFO => &[(Kind::Str, "CPU"), (Kind::Str, "operating system")],
        Rtype::X25 => &[(Kind::Str, "PSDN address")],
        Rtype::UINFO => &[(Kind::Str, "text")],
        Rtype::ISDN => &[(Kind::Str, "ISDN address"), (Kind::OptStr, "subaddress")],
        Rtype::GPOS => &[
            (Kind::Decimal, "longitude"),
            (Kind::Decimal, "latitude"),
            (Kind::Decimal, "altitude"),
        ],
        Rtype::NSAP => &[(Kind::Nsap, "address")],
        Rtype::WKS => &[(Kind::V4, "address"), (Kind::Wks, "protocol")],
        Rtype::PX => {
            &[(Kind::U16, "preference"), (Kind::Name, "RFC 822 name"), (Kind::Name, "X.400 name")]
        }
        Rtype::LOC => &[(Kind::Loc, "latitude")],
        Rtype::NAPTR => &[
            (Kind::U16, "order"),
            (Kind::U16, "preference"),
            (Kind::Str, "flags"),
            (Kind::Str, "services"),
            (Kind::Str, "regular expression"),
            (Kind::Name, "replacement"),
        ],
        Rtype::CERT => &[
            (Kind::CertType, "certificate type"),
            (Kind::U16, "key tag"),
            (Kind::Algorithm, "algorithm"),
            (Kind::Base64, "certificate"),
        ],
        Rtype::APL => &[(Kind::Apl, "prefix")],
        Rtype::DS | Rtype::CDS | Rtype::DLV | Rtype::TA => DIGEST,
        Rtype::DNSKEY | Rtype::CDNSKEY | Rtype::KEY | Rtype::RKEY => KEY,
        Rtype::RRSIG | Rtype::SIG => SIGNATURE,
        Rtype::SSHFP => {
            &[(Kind::U8, "algorithm"), (Kind::U8, "fingerprint type"), (Kind::Hex, "fingerprint")]
        }
        Rtype::IPSECKEY => &[(Kind::IpsecKey, "precedence")],
        Rtype::AMTRELAY => &[(Kind::AmtRelay, "precedence")],
        Rtype::HIP => &[(Kind::Hip, "algorithm")],
        Rtype::NSEC => &[(Kind::Name, "next name"), (Kind::Bitmap, "type")],
        Rtype::NSEC3 => &[
            (Kind::U8, "hash algorithm"),
            (Kind::U8, "flags"),
            (Kind::U16, "iterations"),
            (Kind::Salt, "salt"),
            (Kind::Base32, "next owner"),
            (Kind::Bitmap, "type"),
        ],
        Rtype::NSEC3PARAM => &[
            (Kind::U8, "hash algorithm"),
            (Kind::U8, "flags"),
            (Kind::U16, "iterations"),
            (Kind::Salt, "salt"),
        ],
        Rtype::DHCID | Rtype::OPENPGPKEY | Rtype::HHIT | Rtype::BRID => &[(Kind::Base64, "data")],
        Rtype::EID | Rtype::NIMLOC => &[(Kind::Hex, "data")],
        Rtype::TLSA | Rtype::SMIMEA => CERTIFICATE,
        Rtype::CSYNC => &[(Kind::U32, "serial"), (Kind::U16, "flags"), (Kind::Bitmap, "type")],
        Rtype::ZONEMD => &[
            (Kind::U32, "serial"),
            (Kind::U8, "scheme"),
            (Kind::U8, "hash algorithm"),
            (Kind::Hex, "digest"),
        ],
        Rtype::SVCB | Rtype::HTTPS => {
            &[(Kind::U16, "priority"), (Kind::Name, "target"), (Kind::Params, "parameter")]
        }
        Rtype::DSYNC => &[
            (Kind::Type, "type"),
            (Kind::Scheme, "scheme"),
            (Kind::U16, "port"),
            (Kind::Name, "target"),
        ],
        Rtype::UID | Rtype::GID => &[(Kind::U32, "number")],
        Rtype::NID | Rtype::L64 => &[(Kind::U16, "preference"), (Kind::Locator, "locator")],
        Rtype::L32 => &[(Kind::U16, "preference"), (Kind::V4, "locator")],
        Rtype::EUI48 => &[(Kind::Eui48, "address")],
        Rtype::EUI64 => &[(Kind::Eui64, "address")],
        Rtype::URI => &[(Kind::U16, "priority"), (Kind::U16, "weight"), (Kind::Text, "target")],
        Rtype::CAA => &[(Kind::U8, "flags"), (Kind::Tag, "tag"), (Kind::Text, "value")],
        Rtype::DOA => &[
            (Kind::U32, "enterprise"),
            (Kind::U32, "type"),
            (Kind::U8, "location"),
            (Kind::Str, "media type"),
            (Kind::Base64OrDash, "data"),
        ],
        Rtype::IPN => &[(Kind::U64, "number")],
        Rtype::NULL => &[(Kind::Opaque, "data")],
        _ => return None,
    })
}

/// Whether the type is one of questions and messages, never of zones (RFC 6895 section 3.1).
pub(super) fn is_meta(rtype: Rtype) -> bool {
    matches!(rtype, Rtype(0) | Rtype::OPT | Rtype::NXNAME) || (249..=255).contains(&rtype.0)
}

/// A type by its name; the common ones without a walk through the table.
#[inline]
pub(super) fn type_of(raw: &[u8]) -> Option<Rtype> {
    Some(match raw {
        b"A" => Rtype::A,
        b"AAAA" => Rtype::AAAA,
        b"NS" => Rtype::NS,
        b"CNAME" => Rtype::CNAME,
        b"MX" => Rtype::MX,
        b"TXT" => Rtype::TXT,
        b"SRV" => Rtype::SRV,
        b"PTR" => Rtype::PTR,
        b"SOA" => Rtype::SOA,
        b"CAA" => Rtype::CAA,
        b"DS" => Rtype::DS,
        b"RRSIG" => Rtype::RRSIG,
        b"NSEC" => Rtype::NSEC,
        b"NSEC3" => Rtype::NSEC3,
        b"DNSKEY" => Rtype::DNSKEY,
        b"TLSA" => Rtype::TLSA,
        b"HTTPS" => Rtype::HTTPS,
        _ => return type_of_rare(raw),
    })
}

fn type_of_rare(raw: &[u8]) -> Option<Rtype> {
    std::str::from_utf8(raw).ok().and_then(Rtype::from_text)
}

const ALGORITHMS: &[(u16, &str)] = &[
    (1, "RSAMD5"),
    (2, "DH"),
    (3, "DSA"),
    (4, "ECC"),
    (5, "RSASHA1"),
    (6, "DSA-NSEC3-SHA1"),
    (6, "NSEC3DSA"),
    (6, "DSANSEC3SHA1"),
    (7, "RSASHA1-NSEC3-SHA1"),
    (7, "NSEC3RSASHA1"),
    (7, "RSASHA1NSEC3SHA1"),
    (8, "RSASHA256"),
    (10, "RSASHA512"),
    (12, "ECC-GOST"),
    (12, "ECCGOST"),
    (13, "ECDSAP256SHA256"),
    (14, "ECDSAP384SHA384"),
    (15, "ED25519"),
    (16, "ED448"),
    (17, "SM2SM3"),
    (23, "ECC-GOST12"),
    (252, "INDIRECT"),
    (253, "PRIVATEDNS"),
    (254, "PRIVATEOID"),
];
const CERT_TYPES: &[(u16, &str)] = &[
    (1, "PKIX"),
    (2, "SPKI"),
    (3, "PGP"),
    (4, "IPKIX"),
    (5, "ISPKI"),
    (6, "IPGP"),
    (7, "ACPKIX"),
    (8, "IACPKIX"),
    (253, "URI"),
    (254, "OID"),
];
const SCHEMES: &[(u16, &str)] = &[(1, "NOTIFY")];

/// The names that stand for numbers in such a field, and the largest number.
pub(super) fn mnemonics(kind: Kind) -> (&'static [(u16, &'static str)], u16) {
    match kind {
        Kind::Algorithm => (ALGORITHMS, 255),
        Kind::CertType => (CERT_TYPES, u16::MAX),
        _ => (SCHEMES, 255),
    }
}
