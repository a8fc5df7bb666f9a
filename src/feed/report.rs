//! What a feed tells its program: bounds, refusals, records that are left out, and how much it holds.

use std::fmt;

use wire::{Name, Rtype};

use crate::owners::MAX_KEY;
use crate::packed;

/// The most records of one type at one name.
pub const MAX_SET: usize = u16::MAX as usize;
/// The most octets that owners and their records may take, packed, whatever the limit says.
pub const MAX_PACKED: usize = packed::MAX_BYTES;
/// Records that a commit names when it leaves them out; the others are counted.
pub const MAX_NAMED: usize = 20;

/// Bounds of a feed. A batch that would exceed one is refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Names that have records.
    pub names: usize,
    /// Records that are answered: equal records of several owners count once.
    pub records: usize,
    /// Octets of memory, of the feed and of its zones. Batches that make what is stated smaller may exceed it for
    /// a while: versions of a zone that lie over another one take up to a quarter more.
    pub bytes: usize,
}

impl Default for Limits {
    /// A million names, four million records, 1 GiB.
    fn default() -> Self {
        Self { names: 1_000_000, records: 4_000_000, bytes: 1 << 30 }
    }
}

/// Why a batch is refused. The feed is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// More names than the limit, which this is.
    Names(usize),
    /// More records than the limit, which this is.
    Records(usize),
    /// More octets of memory than the limit, which this is.
    Bytes(usize),
    /// More than [`MAX_SET`] records of this type at this name.
    Set(Name, Rtype),
    /// The key of an owner is longer than [`MAX_KEY`] octets. Only the call that has it is refused.
    Key(usize),
    /// Another batch began to list the same source later.
    Superseded,
    /// The records form no zone. The rules of the feed exclude that, so this is a fault of the feed.
    Unfit(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(limit) => write!(f, "more than {limit} names: raise the limit on names"),
            Self::Records(limit) => {
                write!(f, "more than {limit} records: raise the limit on records")
            }
            Self::Bytes(limit) => {
                write!(f, "more than {limit} octets of memory: raise the limit on memory")
            }
            Self::Set(name, rtype) => {
                write!(f, "more than {MAX_SET} {rtype} records at `{name}`: no message holds them")
            }
            Self::Key(len) => {
                write!(f, "the key of an owner has {len} octets, more than {MAX_KEY}: shorten it")
            }
            Self::Superseded => f.write_str("another batch lists the same source"),
            Self::Unfit(why) => write!(f, "the records form no zone: {why}"),
        }
    }
}

impl std::error::Error for Refused {}

/// A record that is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its owner name.
    pub name: Name,
    /// Its type.
    pub rtype: Rtype,
    /// Why.
    pub why: Why,
}

/// Why a record is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It lies outside all zones of the feed.
    Outside,
    /// Its name or RDATA is malformed.
    Malformed,
    /// It is of another class than IN, or of a type that no feed holds: proofs and signatures of DNSSEC,
    /// which a server makes, and types of queries.
    Foreign,
    /// A CNAME record at the apex, which has other records always.
    AliasAtApex,
    /// A SOA record below the apex.
    SoaBelowApex,
    /// A CNAME record at a name that has other records (RFC 1034 section 3.6.2). The others are answered.
    AliasBesideOthers,
    /// A CNAME, DNAME or SOA record that differs from another one of the name. The one with the smallest
    /// RDATA is answered.
    OneTooMany,
}

impl Why {
    /// The reason in a few words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outside => "it lies outside the zones",
            Self::Malformed => "it is malformed",
            Self::Foreign => "it is of a class or type that is not served here",
            Self::AliasAtApex => "the apex of a zone cannot be an alias",
            Self::SoaBelowApex => "a SOA record belongs to the apex",
            Self::AliasBesideOthers => "the name has other records",
            Self::OneTooMany => "the name has another record of this type",
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} record of `{}` is left out: {}", self.rtype, self.name, self.why.as_str())
    }
}

/// What a batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Owners that came, changed or went.
    pub owners: usize,
    /// Records that are answered from now on, a new TTL included.
    pub added: usize,
    /// Records that are not answered any more, an old TTL included.
    pub removed: usize,
    /// Records that this batch states, or that are at names that it changed, and that are not answered.
    pub left_out: usize,
    /// The first [`MAX_NAMED`] of them.
    pub named: Vec<LeftOut>,
    /// Whether the zones were built anew, as for the first batch and for large ones.
    pub rebuilt: bool,
}

impl Committed {
    pub(crate) fn leave_out(&mut self, count: usize, what: impl FnOnce() -> LeftOut) {
        self.left_out += count;
        if self.named.len() < MAX_NAMED {
            self.named.push(what());
        }
    }
}

/// How much a feed holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Owners with at least one record.
    pub owners: usize,
    /// Names with at least one record that is answered.
    pub names: usize,
    /// Records that are answered, without those that the feed makes itself.
    pub records: usize,
    /// Records in the zones that are not answered because of records of other owners.
    pub left_out: usize,
    /// Octets of memory of the feed without its zones.
    pub feed_bytes: usize,
    /// Octets of memory of the zones.
    pub zone_bytes: usize,
}
