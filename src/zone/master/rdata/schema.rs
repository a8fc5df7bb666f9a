//! What the RDATA of each type is made of: one table that text is read and written by.

use wire::Rtype;

/// One field, or a run of fields that only makes sense as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::master) enum FieldKind {
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
pub(in crate::master) type Field = (FieldKind, &'static str);

const KEY: &[Field] = &[
    (FieldKind::U16, "flags"),
    (FieldKind::U8, "protocol"),
    (FieldKind::Algorithm, "algorithm"),
    (FieldKind::Base64, "public key"),
];
const DIGEST: &[Field] = &[
    (FieldKind::U16, "key tag"),
    (FieldKind::Algorithm, "algorithm"),
    (FieldKind::U8, "digest type"),
    (FieldKind::Hex, "digest"),
];
const SIGNATURE: &[Field] = &[
    (FieldKind::Covered, "type covered"),
    (FieldKind::Algorithm, "algorithm"),
    (FieldKind::U8, "labels"),
    (FieldKind::U32, "original TTL"),
    (FieldKind::Time, "expiration"),
    (FieldKind::Time, "inception"),
    (FieldKind::U16, "key tag"),
    (FieldKind::Name, "signer"),
    (FieldKind::Base64, "signature"),
];
const CERTIFICATE: &[Field] = &[
    (FieldKind::U8, "usage"),
    (FieldKind::U8, "selector"),
    (FieldKind::U8, "matching type"),
    (FieldKind::Hex, "certificate data"),
];

/// The fields of a type; `None` when it has generic form only.
#[inline]
pub(in crate::master) fn of(rtype: Rtype) -> Option<&'static [Field]> {
    Some(match rtype {
        Rtype::A => &[(FieldKind::V4, "address")],
        Rtype::AAAA => &[(FieldKind::V6, "address")],
        Rtype::NS
        | Rtype::CNAME
        | Rtype::PTR
        | Rtype::DNAME
        | Rtype::MD
        | Rtype::MF
        | Rtype::MB
        | Rtype::MG
        | Rtype::MR
        | Rtype::NSAPPTR => &[(FieldKind::Name, "name")],
        Rtype::MX | Rtype::AFSDB | Rtype::RT | Rtype::KX | Rtype::LP => {
            &[(FieldKind::U16, "preference"), (FieldKind::Name, "name")]
        }
        Rtype::SRV => &[
            (FieldKind::U16, "priority"),
            (FieldKind::U16, "weight"),
            (FieldKind::U16, "port"),
            (FieldKind::Name, "target"),
        ],
        Rtype::TXT | Rtype::SPF | Rtype::AVC | Rtype::NINFO => &[(FieldKind::Strs, "text")],
        // Pairs of key and value (RFC 9606 section 3), a currency and an address, protocols.
        Rtype::RESINFO | Rtype::WALLET | Rtype::CLA => &[(FieldKind::Items, "text")],
        Rtype::SOA => &[
            (FieldKind::Name, "primary server"),
            (FieldKind::Name, "mailbox"),
            (FieldKind::U32, "serial"),
            (FieldKind::Ttl, "refresh"),
            (FieldKind::Ttl, "retry"),
            (FieldKind::Ttl, "expire"),
            (FieldKind::Ttl, "minimum"),
        ],
        Rtype::MINFO | Rtype::RP | Rtype::TALINK => {
            &[(FieldKind::Name, "first name"), (FieldKind::Name, "second name")]
        }
        Rtype::HINFO => &[(FieldKind::Str, "CPU"), (FieldKind::Str, "operating system")],
        Rtype::X25 => &[(FieldKind::Str, "PSDN address")],
        Rtype::UINFO => &[(FieldKind::Str, "text")],
        Rtype::ISDN => &[(FieldKind::Str, "ISDN address"), (FieldKind::OptStr, "subaddress")],
        Rtype::GPOS => &[
            (FieldKind::Decimal, "longitude"),
            (FieldKind::Decimal, "latitude"),
            (FieldKind::Decimal, "altitude"),
        ],
        Rtype::NSAP => &[(FieldKind::Nsap, "address")],
        Rtype::WKS => &[(FieldKind::V4, "address"), (FieldKind::Wks, "protocol")],
        Rtype::PX => &[
            (FieldKind::U16, "preference"),
            (FieldKind::Name, "RFC 822 name"),
            (FieldKind::Name, "X.400 name"),
        ],
        Rtype::LOC => &[(FieldKind::Loc, "latitude")],
        Rtype::NAPTR => &[
            (FieldKind::U16, "order"),
            (FieldKind::U16, "preference"),
            (FieldKind::Str, "flags"),
            (FieldKind::Str, "services"),
            (FieldKind::Str, "regular expression"),
            (FieldKind::Name, "replacement"),
        ],
        Rtype::CERT => &[
            (FieldKind::CertType, "certificate type"),
            (FieldKind::U16, "key tag"),
            (FieldKind::Algorithm, "algorithm"),
            (FieldKind::Base64, "certificate"),
        ],
        Rtype::APL => &[(FieldKind::Apl, "prefix")],
        Rtype::DS | Rtype::CDS | Rtype::DLV | Rtype::TA => DIGEST,
        Rtype::DNSKEY | Rtype::CDNSKEY | Rtype::KEY | Rtype::RKEY => KEY,
        Rtype::RRSIG | Rtype::SIG => SIGNATURE,
        Rtype::SSHFP => &[
            (FieldKind::U8, "algorithm"),
            (FieldKind::U8, "fingerprint type"),
            (FieldKind::Hex, "fingerprint"),
        ],
        Rtype::IPSECKEY => &[(FieldKind::IpsecKey, "precedence")],
        Rtype::AMTRELAY => &[(FieldKind::AmtRelay, "precedence")],
        Rtype::HIP => &[(FieldKind::Hip, "algorithm")],
        Rtype::NSEC => &[(FieldKind::Name, "next name"), (FieldKind::Bitmap, "type")],
        Rtype::NSEC3 => &[
            (FieldKind::U8, "hash algorithm"),
            (FieldKind::U8, "flags"),
            (FieldKind::U16, "iterations"),
            (FieldKind::Salt, "salt"),
            (FieldKind::Base32, "next owner"),
            (FieldKind::Bitmap, "type"),
        ],
        Rtype::NSEC3PARAM => &[
            (FieldKind::U8, "hash algorithm"),
            (FieldKind::U8, "flags"),
            (FieldKind::U16, "iterations"),
            (FieldKind::Salt, "salt"),
        ],
        Rtype::DHCID | Rtype::OPENPGPKEY | Rtype::HHIT | Rtype::BRID => {
            &[(FieldKind::Base64, "data")]
        }
        Rtype::EID | Rtype::NIMLOC => &[(FieldKind::Hex, "data")],
        Rtype::TLSA | Rtype::SMIMEA => CERTIFICATE,
        Rtype::CSYNC => {
            &[(FieldKind::U32, "serial"), (FieldKind::U16, "flags"), (FieldKind::Bitmap, "type")]
        }
        Rtype::ZONEMD => &[
            (FieldKind::U32, "serial"),
            (FieldKind::U8, "scheme"),
            (FieldKind::U8, "hash algorithm"),
            (FieldKind::Hex, "digest"),
        ],
        Rtype::SVCB | Rtype::HTTPS => &[
            (FieldKind::U16, "priority"),
            (FieldKind::Name, "target"),
            (FieldKind::Params, "parameter"),
        ],
        Rtype::DSYNC => &[
            (FieldKind::Type, "type"),
            (FieldKind::Scheme, "scheme"),
            (FieldKind::U16, "port"),
            (FieldKind::Name, "target"),
        ],
        Rtype::UID | Rtype::GID => &[(FieldKind::U32, "number")],
        Rtype::NID | Rtype::L64 => {
            &[(FieldKind::U16, "preference"), (FieldKind::Locator, "locator")]
        }
        Rtype::L32 => &[(FieldKind::U16, "preference"), (FieldKind::V4, "locator")],
        Rtype::EUI48 => &[(FieldKind::Eui48, "address")],
        Rtype::EUI64 => &[(FieldKind::Eui64, "address")],
        Rtype::URI => {
            &[(FieldKind::U16, "priority"), (FieldKind::U16, "weight"), (FieldKind::Text, "target")]
        }
        Rtype::CAA => {
            &[(FieldKind::U8, "flags"), (FieldKind::Tag, "tag"), (FieldKind::Text, "value")]
        }
        Rtype::DOA => &[
            (FieldKind::U32, "enterprise"),
            (FieldKind::U32, "type"),
            (FieldKind::U8, "location"),
            (FieldKind::Str, "media type"),
            (FieldKind::Base64OrDash, "data"),
        ],
        Rtype::IPN => &[(FieldKind::U64, "number")],
        Rtype::NULL => &[(FieldKind::Opaque, "data")],
        _ => return None,
    })
}

/// Whether the type is one of questions and messages, never of zones (RFC 6895 section 3.1).
pub(in crate::master) fn is_meta(rtype: Rtype) -> bool {
    matches!(rtype, Rtype(0) | Rtype::OPT | Rtype::NXNAME) || (249..=255).contains(&rtype.0)
}

/// A type by its name; the common ones without a walk through the table.
#[inline]
pub(in crate::master) fn type_of(raw: &[u8]) -> Option<Rtype> {
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
pub(in crate::master) fn mnemonics(kind: FieldKind) -> (&'static [(u16, &'static str)], u16) {
    match kind {
        FieldKind::Algorithm => (ALGORITHMS, 255),
        FieldKind::CertType => (CERT_TYPES, u16::MAX),
        _ => (SCHEMES, 255),
    }
}

/// Whether these are letters and digits only, as a tag of CAA.
pub(in crate::master) fn is_alphanumeric(raw: &[u8]) -> bool {
    raw.iter().all(u8::is_ascii_alphanumeric)
}
