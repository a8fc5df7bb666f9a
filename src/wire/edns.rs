//! EDNS (RFC 6891): the OPT record of a query and the options in it.

use crate::record::Record;
use crate::{Malformed, Rtype};

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
