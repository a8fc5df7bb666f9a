//! The class of a reply, in CoreDNS's terms. Pure: time is an argument.

use exchange::Query;
use wire::{Opcode, Rcode, Reply, Rtype, Section};

/// Kinds of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyClass {
    /// A positive answer.
    NoError,
    /// The name does not exist.
    NameError,
    /// SERVFAIL or NOTIMP.
    ServerError,
    /// The name exists, the type does not.
    NoData,
    /// A referral.
    Delegation,
    /// A transfer or NOTIFY.
    Meta,
    /// Everything else, silence included.
    OtherError,
}

/// Classes of kinds, as `class` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Success = 1,
    Denial = 2,
    Error = 4,
}

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Classes(u8);

impl Classes {
    pub(super) const ALL: Self = Self(7);

    /// The set with `word` added; `None` if it is no class.
    pub(super) fn with(self, word: &str) -> Option<Self> {
        let bits = match word {
            "all" => Self::ALL.0,
            "success" => Class::Success as u8,
            "denial" => Class::Denial as u8,
            "error" => Class::Error as u8,
            _ => return None,
        };
        Some(Self(self.0 | bits))
    }

    pub(super) fn contains(self, class: Class) -> bool {
        self.0 & class as u8 != 0
    }
}

impl Class {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denial => "denial",
            Self::Error => "error",
        }
    }
}

impl ReplyClass {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::NameError => "NXDOMAIN",
            Self::ServerError => "SERVERERROR",
            Self::NoData => "NODATA",
            Self::Delegation => "DELEGATION",
            Self::Meta => "META",
            Self::OtherError => "OTHERERROR",
        }
    }

    pub(super) const fn class(self) -> Class {
        match self {
            Self::NoError | Self::Delegation => Class::Success,
            Self::NameError | Self::NoData => Class::Denial,
            Self::ServerError | Self::Meta | Self::OtherError => Class::Error,
        }
    }
}

/// The kind of `reply`; `unix` is the time for signatures.
pub(super) fn kind(query: &Query, reply: &Reply, unix: impl FnOnce() -> u64) -> ReplyClass {
    if reply.is_silent() {
        return ReplyClass::OtherError;
    }
    if query.opcode() == Opcode::NOTIFY || query.qtype().is_transfer() {
        return ReplyClass::Meta;
    }
    let failed = reply.failure().is_some();
    let rcode = reply.rcode();
    if !failed && query.wants_dnssec() && has_expired_signature(reply, unix) {
        return ReplyClass::OtherError;
    }
    if !failed && reply.count(Section::Answer) > 0 {
        match rcode {
            Rcode::NOERROR => return ReplyClass::NoError,
            Rcode::NXDOMAIN => return ReplyClass::OtherError,
            _ => {}
        }
    }
    let has = |rtype| !failed && authority_has(reply, rtype);
    match rcode {
        Rcode::NOERROR if has(Rtype::SOA) => ReplyClass::NoData,
        Rcode::NOERROR if has(Rtype::NS) => ReplyClass::Delegation,
        Rcode::NOERROR => ReplyClass::NoError,
        Rcode::NXDOMAIN => ReplyClass::NameError,
        Rcode::SERVFAIL | Rcode::NOTIMP => ReplyClass::ServerError,
        _ => ReplyClass::OtherError,
    }
}

fn authority_has(reply: &Reply, rtype: Rtype) -> bool {
    reply.count(Section::Authority) > 0
        && reply
            .records()
            .filter_map(Result::ok)
            .any(|record| record.section == Section::Authority && record.rtype == rtype)
}

fn has_expired_signature(reply: &Reply, unix: impl FnOnce() -> u64) -> bool {
    let mut signatures = reply
        .records()
        .filter_map(Result::ok)
        .filter(|record| record.rtype == Rtype::RRSIG)
        .peekable();
    if signatures.peek().is_none() {
        return false;
    }
    let now = unix() as u32;
    signatures.any(|record| {
        let time = |at: usize| {
            let bytes = record.rdata().get(at..).and_then(|rest| rest.first_chunk::<4>());
            bytes.map_or(now, |bytes| u32::from_be_bytes(*bytes))
        };
        // RFC 4034 section 3.1.5: serial number arithmetic.
        let (expiration, inception) = (time(8), time(12));
        (expiration.wrapping_sub(now) as i32) < 0 || (now.wrapping_sub(inception) as i32) < 0
    })
}
