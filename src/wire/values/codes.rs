//! The numbers of the protocol and their names as CoreDNS prints them.

use std::fmt;

macro_rules! code {
    ($(#[$doc:meta])* $name:ident, $repr:ty, $other:literal, { $($(#[$vdoc:meta])* $konst:ident = $value:literal => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub $repr);

        impl $name {
            $(#[doc = concat!("`", $text, "`, ", stringify!($value), ".")] pub const $konst: Self = Self($value);)*

            /// The mnemonic, if the number has one.
            pub const fn mnemonic(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }

            /// All numbers that have a mnemonic.
            pub const KNOWN: &'static [Self] = &[$(Self($value)),*];

            /// Reads a mnemonic (any case) or the generic form.
            pub fn from_text(text: &str) -> Option<Self> {
                $(if text.eq_ignore_ascii_case($text) { return Some(Self($value)); })*
                let digits = text.get(..$other.len()).filter(|head| head.eq_ignore_ascii_case($other))
                    .and_then(|_| text.get($other.len()..))?;
                // `+7` parses as a number, so ask for digits first.
                if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok().map(Self) } else { None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.mnemonic() {
                    Some(text) => f.pad(text),
                    None => write!(f, concat!($other, "{}"), self.0),
                }
            }
        }
    };
}

code! {
    /// A record or query type (RFC 1035 section 3.2.2 and the IANA registry).
    Rtype, u16, "TYPE", {
        A = 1 => "A", NS = 2 => "NS", MD = 3 => "MD", MF = 4 => "MF", CNAME = 5 => "CNAME",
        SOA = 6 => "SOA", MB = 7 => "MB", MG = 8 => "MG", MR = 9 => "MR", NULL = 10 => "NULL",
        WKS = 11 => "WKS", PTR = 12 => "PTR", HINFO = 13 => "HINFO", MINFO = 14 => "MINFO",
        MX = 15 => "MX", TXT = 16 => "TXT", RP = 17 => "RP", AFSDB = 18 => "AFSDB",
        X25 = 19 => "X25", ISDN = 20 => "ISDN", RT = 21 => "RT", NSAP = 22 => "NSAP",
        NSAPPTR = 23 => "NSAP-PTR", SIG = 24 => "SIG", KEY = 25 => "KEY", PX = 26 => "PX",
        GPOS = 27 => "GPOS", AAAA = 28 => "AAAA", LOC = 29 => "LOC", NXT = 30 => "NXT",
        EID = 31 => "EID", NIMLOC = 32 => "NIMLOC", SRV = 33 => "SRV", ATMA = 34 => "ATMA",
        NAPTR = 35 => "NAPTR", KX = 36 => "KX", CERT = 37 => "CERT", A6 = 38 => "A6",
        DNAME = 39 => "DNAME", SINK = 40 => "SINK", OPT = 41 => "OPT", APL = 42 => "APL",
        DS = 43 => "DS", SSHFP = 44 => "SSHFP", IPSECKEY = 45 => "IPSECKEY", RRSIG = 46 => "RRSIG",
        NSEC = 47 => "NSEC", DNSKEY = 48 => "DNSKEY", DHCID = 49 => "DHCID", NSEC3 = 50 => "NSEC3",
        NSEC3PARAM = 51 => "NSEC3PARAM", TLSA = 52 => "TLSA", SMIMEA = 53 => "SMIMEA",
        HIP = 55 => "HIP", NINFO = 56 => "NINFO", RKEY = 57 => "RKEY", TALINK = 58 => "TALINK",
        CDS = 59 => "CDS", CDNSKEY = 60 => "CDNSKEY", OPENPGPKEY = 61 => "OPENPGPKEY",
        CSYNC = 62 => "CSYNC", ZONEMD = 63 => "ZONEMD", SVCB = 64 => "SVCB", HTTPS = 65 => "HTTPS",
        DSYNC = 66 => "DSYNC", HHIT = 67 => "HHIT", BRID = 68 => "BRID",
        SPF = 99 => "SPF", UINFO = 100 => "UINFO", UID = 101 => "UID", GID = 102 => "GID",
        UNSPEC = 103 => "UNSPEC", NID = 104 => "NID", L32 = 105 => "L32", L64 = 106 => "L64",
        LP = 107 => "LP", EUI48 = 108 => "EUI48", EUI64 = 109 => "EUI64", NXNAME = 128 => "NXNAME",
        TKEY = 249 => "TKEY", TSIG = 250 => "TSIG", IXFR = 251 => "IXFR", AXFR = 252 => "AXFR",
        MAILB = 253 => "MAILB", MAILA = 254 => "MAILA", ANY = 255 => "ANY", URI = 256 => "URI",
        CAA = 257 => "CAA", AVC = 258 => "AVC", DOA = 259 => "DOA", AMTRELAY = 260 => "AMTRELAY",
        RESINFO = 261 => "RESINFO", WALLET = 262 => "WALLET", CLA = 263 => "CLA", IPN = 264 => "IPN",
        TA = 32768 => "TA", DLV = 32769 => "DLV",
    }
}

code! {
    /// A class (RFC 1035 section 3.2.4).
    Class, u16, "CLASS", {
        IN = 1 => "IN", CS = 2 => "CS", CH = 3 => "CH", HS = 4 => "HS", NONE = 254 => "NONE",
        ANY = 255 => "ANY",
    }
}

code! {
    /// A response code, the extended bits of EDNS included (RFC 6895 section 2.3).
    Rcode, u16, "RCODE", {
        NOERROR = 0 => "NOERROR", FORMERR = 1 => "FORMERR", SERVFAIL = 2 => "SERVFAIL",
        NXDOMAIN = 3 => "NXDOMAIN", NOTIMP = 4 => "NOTIMP", REFUSED = 5 => "REFUSED",
        YXDOMAIN = 6 => "YXDOMAIN", YXRRSET = 7 => "YXRRSET", NXRRSET = 8 => "NXRRSET",
        NOTAUTH = 9 => "NOTAUTH", NOTZONE = 10 => "NOTZONE", DSOTYPENI = 11 => "DSOTYPENI",
        BADVERS = 16 => "BADVERS", BADKEY = 17 => "BADKEY", BADTIME = 18 => "BADTIME",
        BADMODE = 19 => "BADMODE", BADNAME = 20 => "BADNAME", BADALG = 21 => "BADALG",
        BADTRUNC = 22 => "BADTRUNC", BADCOOKIE = 23 => "BADCOOKIE",
    }
}

code! {
    /// An opcode (RFC 6895 section 2.2).
    Opcode, u8, "OPCODE", {
        QUERY = 0 => "QUERY", IQUERY = 1 => "IQUERY", STATUS = 2 => "STATUS", NOTIFY = 4 => "NOTIFY",
        UPDATE = 5 => "UPDATE", DSO = 6 => "DSO",
    }
}

impl Rtype {
    /// Whether this asks for a zone transfer.
    pub const fn is_transfer(self) -> bool {
        matches!(self, Self::AXFR | Self::IXFR)
    }

    /// Whether records of this type are the proofs and keys of DNSSEC, returned only on request.
    pub const fn is_dnssec(self) -> bool {
        matches!(
            self,
            Self::RRSIG | Self::NSEC | Self::NSEC3 | Self::DNSKEY | Self::DS | Self::NSEC3PARAM
        )
    }
}

impl Rcode {
    /// The four bits that go into the header.
    pub const fn header_bits(self) -> u8 {
        (self.0 & 0x0F) as u8
    }

    /// The eight bits that go into the OPT record.
    pub const fn extended_bits(self) -> u8 {
        (self.0 >> 4) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms() {
        assert_eq!(Rtype::from_text("aaaa"), Some(Rtype::AAAA));
        assert_eq!(Rtype::from_text("TYPE65534"), Some(Rtype(65534)));
        assert_eq!(Rtype::from_text("TYPE65536"), None);
        assert_eq!(Rtype::from_text("TYPE"), None);
        assert_eq!(Rtype::from_text("nonsense"), None);
        assert_eq!(Rtype(65534).to_string(), "TYPE65534");
        assert_eq!(Class::CH.to_string(), "CH");
        assert_eq!(Rcode::BADVERS.extended_bits(), 1);
    }
}
