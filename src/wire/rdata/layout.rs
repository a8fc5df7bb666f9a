//! Where names lie inside RDATA: the little that copying, compressing and decompressing must know.

use crate::name::{self, NameBuf};
use crate::{Malformed, Rtype};

/// The place of the names in one type's RDATA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes before the first name.
    pub prefix: Prefix,
    /// How many names follow each other.
    pub names: u8,
    /// Whether the names may be compressed when sent (RFC 3597 section 4).
    pub compress: bool,
}

/// What stands before the first name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// This many bytes.
    Fixed(u8),
    /// Four bytes and three character strings (NAPTR).
    Naptr,
}

/// The layout of a type with names in its RDATA; `None` for all others.
///
/// The newer of them must not be compressed by anyone (RFC 9460 section 2.2). A foreign message that
/// does it all the same is read as hickory-proto and others read it.
#[inline]
pub const fn layout(rtype: Rtype) -> Option<Layout> {
    const fn of(prefix: u8, names: u8, compress: bool) -> Option<Layout> {
        Some(Layout { prefix: Prefix::Fixed(prefix), names, compress })
    }
    match rtype {
        Rtype::NS
        | Rtype::MD
        | Rtype::MF
        | Rtype::CNAME
        | Rtype::MB
        | Rtype::MG
        | Rtype::MR
        | Rtype::PTR => of(0, 1, true),
        Rtype::SOA | Rtype::MINFO => of(0, 2, true),
        Rtype::MX => of(2, 1, true),
        Rtype::DNAME | Rtype::NXT | Rtype::NSEC | Rtype::NSAPPTR => of(0, 1, false),
        Rtype::RP | Rtype::TALINK => of(0, 2, false),
        Rtype::AFSDB | Rtype::RT | Rtype::KX | Rtype::LP | Rtype::SVCB | Rtype::HTTPS => {
            of(2, 1, false)
        }
        Rtype::PX => of(2, 2, false),
        Rtype::SRV => of(6, 1, false),
        Rtype::SIG | Rtype::RRSIG => of(18, 1, false),
        Rtype::NAPTR => Some(Layout { prefix: Prefix::Naptr, names: 1, compress: false }),
        _ => None,
    }
}

impl Layout {
    /// Where the first name starts in RDATA that runs from `at` to `end` of `message`.
    pub fn first_name(&self, message: &[u8], at: usize, end: usize) -> Result<usize, Malformed> {
        let start = match self.prefix {
            Prefix::Fixed(len) => at + usize::from(len),
            Prefix::Naptr => {
                let mut here = at + 4;
                for _ in 0..3 {
                    here += 1 + usize::from(*message.get(here).ok_or(Malformed)?);
                }
                here
            }
        };
        if start < end { Ok(start) } else { Err(Malformed) }
    }
}

/// Appends the RDATA of `message[at..end]` to `into` with all names written out.
///
/// A name that runs past `end` makes the RDATA malformed.
pub fn expand(
    rtype: Rtype,
    message: &[u8],
    at: usize,
    end: usize,
    into: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let Some(layout) = layout(rtype) else {
        into.extend_from_slice(message.get(at..end).ok_or(Malformed)?);
        return Ok(());
    };
    if at == end {
        // Empty RDATA is legal in updates and prerequisites only; copy it as it is.
        return Ok(());
    }
    let mut here = layout.first_name(message, at, end)?;
    into.extend_from_slice(message.get(at..here).ok_or(Malformed)?);
    let mut buf = NameBuf::new();
    for _ in 0..layout.names {
        here = name::read(message, here, &mut buf)?;
        if here > end {
            return Err(Malformed);
        }
        into.extend_from_slice(buf.as_wire());
    }
    into.extend_from_slice(message.get(here..end).ok_or(Malformed)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(rtype: Rtype, rdata: &[u8]) -> Result<Vec<u8>, Malformed> {
        let message = [&[0; 12][..], b"\x03org\0", rdata].concat();
        let mut out = Vec::new();
        expand(rtype, &message, 17, message.len(), &mut out).map(|()| out)
    }

    #[test]
    fn names_are_written_out_and_may_not_lie_in_the_header() {
        for rtype in [Rtype::SVCB, Rtype::HTTPS, Rtype::MX] {
            assert_eq!(expanded(rtype, b"\0\x0A\x01a\xC0\x0C").unwrap(), b"\0\x0A\x01a\x03org\0");
            assert_eq!(expanded(rtype, b"\0\x0A\x01a\xC0\x00"), Err(Malformed));
        }
        assert_eq!(expanded(Rtype::NSEC, b"\xC0\x0C\0\x01\x40").unwrap(), b"\x03org\0\0\x01\x40");
        assert_eq!(expanded(Rtype::NSEC, b"\xC0\x04\0\x01\x40"), Err(Malformed));
        assert_eq!(expanded(Rtype::TXT, b"\x02\xC0\x04").unwrap(), b"\x02\xC0\x04");
    }
}
