//! EDNS (RFC 6891): the OPT record of a query and the options in it.

use std::fmt;
use std::net::IpAddr;

use crate::record::Record;
use crate::{Family, Malformed, Rtype};

/// Option codes that this server acts on or passes.
pub mod option {
    /// RFC 5001.
    pub const NSID: u16 = 3;
    /// RFC 7871.
    pub const CLIENT_SUBNET: u16 = 8;
    /// RFC 7314.
    pub const EXPIRE: u16 = 9;
    /// RFC 7873.
    pub const COOKIE: u16 = 10;
    /// RFC 7828.
    pub const TCP_KEEPALIVE: u16 = 11;
    /// RFC 7830.
    pub const PADDING: u16 = 12;
    /// RFC 8914.
    pub const EXTENDED_ERROR: u16 = 15;
}

/// Extended DNS errors (RFC 8914 section 4).
pub mod ede {
    /// Anything without a code of its own.
    pub const OTHER: u16 = 0;
    /// The answer is past its time to live.
    pub const STALE_ANSWER: u16 = 3;
    /// A failure that is remembered, not fresh.
    pub const CACHED_ERROR: u16 = 13;
    /// A name that local policy blocks.
    pub const BLOCKED: u16 = 15;
    /// Not ready to serve.
    pub const NOT_READY: u16 = 14;
    /// Blocked at the client's request.
    pub const FILTERED: u16 = 17;
    /// The client may not ask this.
    pub const PROHIBITED: u16 = 18;
    /// A stale NXDOMAIN.
    pub const STALE_NXDOMAIN: u16 = 19;
    /// This server is not authoritative for the name.
    pub const NOT_AUTHORITATIVE: u16 = 20;
    /// No upstream could be reached.
    pub const NO_REACHABLE_AUTHORITY: u16 = 22;
    /// An upstream could not be talked to.
    pub const NETWORK_ERROR: u16 = 23;
    /// The zone's data cannot be used.
    pub const INVALID_DATA: u16 = 24;
}

/// The OPT record of a message, by place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// Offset of the OPT record (its root owner name).
    pub at: usize,
    /// Offset of the first option.
    pub options_at: usize,
    /// Offset behind the last option.
    pub end: usize,
    /// UDP payload size as sent; values below 512 mean 512 (RFC 6891 section 6.2.3).
    pub udp_size: u16,
    /// The upper eight bits of the rcode.
    pub extended_rcode: u8,
    /// Version; only 0 is defined.
    pub version: u8,
    /// DNSSEC OK (RFC 3225).
    pub dnssec_ok: bool,
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdnsOption<'a> {
    /// Code.
    pub code: u16,
    /// Data.
    pub data: &'a [u8],
}

impl Edns {
    /// Reads an OPT record; its owner must be the root and its options must fill the RDATA.
    pub fn read(record: &Record<'_>) -> Result<Self, Malformed> {
        if record.rtype != Rtype::OPT || record.message.get(record.start) != Some(&0) {
            return Err(Malformed);
        }
        let mut options = Options { rest: record.rdata() };
        for _ in options.by_ref() {}
        if !options.rest.is_empty() {
            return Err(Malformed);
        }
        let [extended_rcode, version, flags, _] = record.ttl.to_be_bytes();
        Ok(Self {
            at: record.start,
            options_at: record.rdata_at,
            end: record.end,
            udp_size: record.class.0,
            extended_rcode,
            version,
            dnssec_ok: flags & 0x80 != 0,
        })
    }

    /// The options in `message`, in the order they were sent.
    pub fn options<'a>(&self, message: &'a [u8]) -> Options<'a> {
        Options { rest: &message[self.options_at..self.end] }
    }
}

/// The addresses of one family that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    /// The family.
    pub family: Family,
    /// How many bits.
    pub bits: u8,
    /// The bits, and zeros behind them.
    address: [u8; 16],
}

impl Subnet {
    /// The subnet with these octets, as many as `bits` need; `None` if they are not, or if bits behind
    /// are set.
    pub fn new(family: Family, bits: u8, octets: &[u8]) -> Option<Self> {
        let most = if family == Family::V4 { 32 } else { 128 };
        if bits > most || octets.len() != usize::from(bits).div_ceil(8) {
            return None;
        }
        let mut address = [0; 16];
        address[..octets.len()].copy_from_slice(octets);
        let subnet = Self { family, bits, address };
        (subnet.wider(bits) == subnet).then_some(subnet)
    }

    /// The larger subnet with `bits` of these bits.
    #[must_use]
    pub fn wider(&self, bits: u8) -> Self {
        let mut address = self.address;
        let whole = usize::from(bits / 8);
        if let Some(part) = address.get_mut(whole) {
            *part &= !(0xFF_u8 >> (bits % 8));
        }
        address.iter_mut().skip(whole + 1).for_each(|octet| *octet = 0);
        Self { bits: bits.min(self.bits), address, ..*self }
    }

    /// Whether `other` lies in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.family == other.family && self.bits <= other.bits && other.wider(self.bits) == *self
    }

    /// All addresses: the subnet of who tells none.
    pub fn is_all(&self) -> bool {
        self.bits == 0
    }

    /// The octets of the address as far as the bits go.
    pub fn octets(&self) -> &[u8] {
        &self.address[..usize::from(self.bits).div_ceil(8)]
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.address;
        let address = match self.family {
            Family::V4 => IpAddr::V4([a, b, c, d].into()),
            Family::V6 => IpAddr::V6(self.address.into()),
        };
        write!(f, "{address}/{}", self.bits)
    }
}

/// A client subnet option (RFC 7871 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSubnet {
    /// The client's part of the network.
    pub source: Subnet,
    /// In a reply: for how many bits it is meant.
    pub scope: u8,
}

impl ClientSubnet {
    /// The first such option among `options`; `None` if there is none, or if it cannot be read.
    pub fn find(mut options: Options<'_>) -> Option<Self> {
        Self::read(options.find(|known| known.code == option::CLIENT_SUBNET)?.data)
    }

    /// Reads the option's data: the address has as many octets as its bits need, "padded with 0 bits"
    /// (RFC 7871 section 6).
    pub fn read(data: &[u8]) -> Option<Self> {
        let (&[_, family, bits, scope], octets) = data.split_first_chunk::<4>()?;
        let (family, most) = match (data[0], family) {
            (0, 1) => (Family::V4, 32),
            (0, 2) => (Family::V6, 128),
            _ => return None,
        };
        let source = Subnet::new(family, bits, octets)?;
        (scope <= most).then_some(Self { source, scope })
    }

    /// Writes the option's data to `room`; how much of that it takes.
    pub fn write(&self, room: &mut [u8; 20]) -> usize {
        let octets = self.source.octets();
        room[..4].copy_from_slice(&[0, self.source.family as u8, self.source.bits, self.scope]);
        room[4..4 + octets.len()].copy_from_slice(octets);
        4 + octets.len()
    }
}

/// Walks the options; stops where they break off.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    /// The options in `bytes`, the RDATA of an OPT record.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = EdnsOption<'a>;

    fn next(&mut self) -> Option<EdnsOption<'a>> {
        let (head, rest) = self.rest.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (data, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        Some(EdnsOption { code: u16::from_be_bytes([head[0], head[1]]), data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn client_subnets_are_read_and_widened() {
        let asked = ClientSubnet::read(&[0, 1, 24, 0, 192, 0, 2]).unwrap();
        assert_eq!((asked.source.bits, asked.scope, asked.source.family), (24, 0, Family::V4));
        assert_eq!(asked.source.wider(20).octets(), [192, 0, 0]);
        assert_eq!(asked.source.wider(24), asked.source);
        assert_eq!(asked.source.to_string(), "192.0.2.0/24");
        assert_eq!(Subnet::new(Family::V6, 16, &[32, 1]).unwrap().to_string(), "2001::/16");
        assert_eq!(asked.source.wider(40), asked.source);
        assert!(asked.source.wider(16).covers(&asked.source));
        assert!(!asked.source.covers(&asked.source.wider(16)));
        let none = ClientSubnet::read(&[0, 2, 0, 0]).unwrap();
        assert!(none.source.is_all() && !none.source.covers(&asked.source));
        for wrong in [
            &[0, 1, 24, 0, 192, 0][..],
            &[0, 1, 24, 0, 192, 0, 2, 0],
            &[0, 1, 23, 0, 192, 0, 1],
            &[0, 1, 33, 0, 192, 0, 2, 1, 0],
            &[0, 3, 0, 0],
            &[0, 1, 24],
            &[],
        ] {
            assert_eq!(ClientSubnet::read(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(data in prop::collection::vec(any::<u8>(), 0..24)) {
            if let Some(read) = ClientSubnet::read(&data) {
                let mut room = [0; 20];
                let len = read.write(&mut room);
                prop_assert_eq!(&room[..len], &data[..]);
                for bits in 0..=read.source.bits {
                    let wider = read.source.wider(bits);
                    prop_assert!(wider.covers(&read.source) && wider.bits == bits);
                }
            }
        }
    }
}
