//! RDATA given by its fields: what a plugin writes instead of bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::layout::layout;
use crate::Rtype;
use crate::name;

/// The longest character string (RFC 1035 section 3.3).
const MAX_STRING: usize = 255;

/// The RDATA of a record to write. Names are uncompressed wire form: [`crate::name!`] or
/// [`crate::Name::as_wire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rdata<'a> {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A name server of the zone.
    Ns(&'a [u8]),
    /// The canonical name of an alias.
    Cname(&'a [u8]),
    /// A name that an address or a service points to.
    Ptr(&'a [u8]),
    /// A mail exchange.
    Mx {
        /// Lower values are tried first.
        preference: u16,
        /// The host.
        exchange: &'a [u8],
    },
    /// A service (RFC 2782).
    Srv {
        /// Lower values are tried first.
        priority: u16,
        /// The share among targets of one priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: &'a [u8],
    },
    /// A text; one of more than 255 octets becomes several character strings.
    Txt(&'a [u8]),
    /// Two character strings, cut after 255 octets each.
    Hinfo {
        /// The CPU.
        cpu: &'a [u8],
        /// The operating system.
        os: &'a [u8],
    },
    /// The start of a zone of authority.
    Soa {
        /// The primary name server.
        mname: &'a [u8],
        /// The mailbox of the operator, as a name.
        rname: &'a [u8],
        /// The version of the zone.
        serial: u32,
        /// Seconds between the checks of a secondary.
        refresh: u32,
        /// Seconds until it repeats a check that failed.
        retry: u32,
        /// Seconds after which it stops answering.
        expire: u32,
        /// Seconds to cache a negative answer at most (RFC 2308 section 4).
        minimum: u32,
    },
    /// Any type, in wire form with uncompressed names.
    Other(Rtype, &'a [u8]),
}

impl From<IpAddr> for Rdata<'_> {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::A(address),
            IpAddr::V6(address) => Self::Aaaa(address),
        }
    }
}

impl Rdata<'_> {
    /// The type of the record.
    #[inline]
    pub const fn rtype(&self) -> Rtype {
        match self {
            Self::A(_) => Rtype::A,
            Self::Aaaa(_) => Rtype::AAAA,
            Self::Ns(_) => Rtype::NS,
            Self::Cname(_) => Rtype::CNAME,
            Self::Ptr(_) => Rtype::PTR,
            Self::Mx { .. } => Rtype::MX,
            Self::Srv { .. } => Rtype::SRV,
            Self::Txt(_) => Rtype::TXT,
            Self::Hinfo { .. } => Rtype::HINFO,
            Self::Soa { .. } => Rtype::SOA,
            Self::Other(rtype, _) => *rtype,
        }
    }

    /// Octets in wire form without compression.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "only `Other` can be empty")]
    pub fn len(&self) -> usize {
        match self {
            Self::A(_) => 4,
            Self::Aaaa(_) => 16,
            Self::Ns(name) | Self::Cname(name) | Self::Ptr(name) => name.len(),
            Self::Mx { exchange, .. } => 2 + exchange.len(),
            Self::Srv { target, .. } => 6 + target.len(),
            Self::Txt(text) => text.len() + text.len().div_ceil(MAX_STRING).max(1),
            Self::Hinfo { cpu, os } => 2 + cpu.len().min(MAX_STRING) + os.len().min(MAX_STRING),
            Self::Soa { mname, rname, .. } => mname.len() + rname.len() + 20,
            Self::Other(_, wire) => wire.len(),
        }
    }

    /// Appends the wire form, names uncompressed.
    pub fn write(&self, into: &mut Vec<u8>) {
        self.write_with(into, |into, name| into.extend_from_slice(name));
    }

    /// Appends the wire form; `write_name` appends the names that may be compressed.
    #[inline]
    pub(crate) fn write_with(
        &self,
        into: &mut Vec<u8>,
        mut write_name: impl FnMut(&mut Vec<u8>, &[u8]),
    ) {
        match *self {
            Self::A(address) => into.extend_from_slice(&address.octets()),
            Self::Aaaa(address) => into.extend_from_slice(&address.octets()),
            Self::Ns(name) | Self::Cname(name) | Self::Ptr(name) => write_name(into, name),
            Self::Mx { preference, exchange } => {
                into.extend_from_slice(&preference.to_be_bytes());
                write_name(into, exchange);
            }
            Self::Srv { priority, weight, port, target } => {
                for number in [priority, weight, port] {
                    into.extend_from_slice(&number.to_be_bytes());
                }
                // RFC 2782: "name compression is not to be used for this field".
                into.extend_from_slice(target);
            }
            Self::Txt([]) => into.push(0),
            Self::Txt(text) => text.chunks(MAX_STRING).for_each(|part| write_string(into, part)),
            Self::Hinfo { cpu, os } => {
                for text in [cpu, os] {
                    write_string(into, &text[..text.len().min(MAX_STRING)]);
                }
            }
            Self::Soa { mname, rname, serial, refresh, retry, expire, minimum } => {
                write_name(into, mname);
                write_name(into, rname);
                for number in [serial, refresh, retry, expire, minimum] {
                    into.extend_from_slice(&number.to_be_bytes());
                }
            }
            Self::Other(rtype, wire) => write_other(rtype, wire, into, write_name),
        }
    }
}

/// Appends a character string of at most 255 octets.
fn write_string(into: &mut Vec<u8>, text: &[u8]) {
    into.push(text.len() as u8);
    into.extend_from_slice(text);
}

/// Appends RDATA in wire form; the names in it are found by the layout of the type.
fn write_other(
    rtype: Rtype,
    wire: &[u8],
    into: &mut Vec<u8>,
    mut write_name: impl FnMut(&mut Vec<u8>, &[u8]),
) {
    let names = layout(rtype).filter(|layout| layout.compress);
    let Some((layout, mut at)) =
        names.and_then(|layout| Some((layout, layout.first_name(wire, 0, wire.len()).ok()?)))
    else {
        into.extend_from_slice(wire);
        return;
    };
    into.extend_from_slice(&wire[..at]);
    for _ in 0..layout.names {
        let Some(len) = wire.get(at..).and_then(name::wire_len) else { break };
        write_name(into, &wire[at..at + len]);
        at += len;
    }
    into.extend_from_slice(&wire[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name;

    fn wire(rdata: Rdata<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        rdata.write(&mut out);
        assert_eq!(out.len(), rdata.len(), "{rdata:?}");
        out
    }

    #[test]
    fn each_type_has_the_wire_form_of_its_rfc() {
        let host = name!("host.example.");
        assert_eq!(wire(Rdata::A([192, 0, 2, 1].into())), [192, 0, 2, 1]);
        assert_eq!(wire(IpAddr::from(Ipv6Addr::LOCALHOST).into())[15], 1);
        assert_eq!(wire(Rdata::Ns(host)), host);
        assert_eq!(wire(Rdata::Mx { preference: 258, exchange: host }), [&[1, 2], host].concat());
        assert_eq!(
            wire(Rdata::Srv { priority: 10, weight: 5, port: 8080, target: host }),
            [&[0, 10, 0, 5, 31, 144], host].concat()
        );
        assert_eq!(wire(Rdata::Hinfo { cpu: b"a", os: &[b'b'; 300] }).len(), 2 + 256);
        let soa = wire(Rdata::Soa {
            mname: host,
            rname: name!("."),
            serial: 1,
            refresh: 2,
            retry: 3,
            expire: 4,
            minimum: 5,
        });
        let numbers = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5];
        assert_eq!(soa, [host, &[0], &numbers].concat());
        assert_eq!(wire(Rdata::Other(Rtype::SOA, &soa)), soa);
    }

    #[test]
    fn a_long_text_is_split_into_strings() {
        assert_eq!(wire(Rdata::Txt(b"")), [0]);
        assert_eq!(wire(Rdata::Txt(b"abc")), b"\x03abc");
        let long = wire(Rdata::Txt(&[b'x'; 511]));
        assert_eq!((long[0], long[256], long[512]), (255, 255, 1));
    }
}
