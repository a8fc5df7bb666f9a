//! What can be wrong with a reply.

use std::fmt;

use wire::{Malformed, Name, Rcode, Rtype, name};

/// What is wrong with a reply. Nothing of it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message is malformed.
    Malformed,
    /// A message has another id than the request.
    OtherId,
    /// A message is no response to this kind of request.
    NoResponse,
    /// A message on a stream says that it is truncated.
    Truncated,
    /// A message answers another question, or the first one answers none.
    OtherQuestion,
    /// The server refuses.
    Rcode(Rcode),
    /// The server is not authoritative for the zone.
    NotAuthoritative,
    /// The reply does not begin with the zone's SOA record.
    NoSoa(Option<(Name, Rtype)>),
    /// A record is of another class than IN.
    OtherClass(Name, Rtype),
    /// A record of a type that zones do not have, such as OPT.
    NoData(Name, Rtype),
    /// The RDATA of a record is not what its type asks for.
    Rdata(Name, Rtype),
    /// The SOA record at the end differs from the one at the beginning.
    OtherSoa {
        /// Serial at the beginning.
        first: u32,
        /// Serial at the end.
        last: u32,
    },
    /// Records follow the last SOA record.
    Surplus,
    /// The zone that was sent is not newer than the one that there is.
    NotNewer {
        /// Serial that was sent.
        sent: u32,
        /// Serial that there is.
        ours: u32,
    },
    /// A difference sequence does not begin where it should.
    Chain {
        /// Serial that it should begin with.
        expected: u32,
        /// Serial that it begins with.
        found: u32,
    },
    /// A difference sequence does not lead from an older version to a newer one, or beyond the newest.
    Backwards {
        /// Serial that it leads from.
        from: u32,
        /// Serial that it leads to.
        to: u32,
    },
    /// More records than are allowed; the bound.
    Records(u64),
    /// More octets than are allowed; the bound.
    Octets(u64),
}

impl Fault {
    /// What an operator can do about it.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Rcode(Rcode::REFUSED) => {
                "allow transfers of the zone to this address at the server, or sign with the key that \
                 it asks for"
            }
            Self::Rcode(Rcode::NOTAUTH) => {
                "the server does not serve the zone with authority, or does not accept the key: check \
                 the zone's name, the name of the key and its secret at both ends"
            }
            Self::Rcode(Rcode::NXDOMAIN) | Self::NotAuthoritative => {
                "is this the right server for the zone?"
            }
            Self::Rcode(Rcode::SERVFAIL) => "the server may not have loaded the zone: see its log",
            Self::Rcode(Rcode::NOTIMP | Rcode::FORMERR) => {
                "the server may not support this kind of request"
            }
            Self::Records(_) | Self::Octets(_) => "raise the bound if the zone is as large as that",
            Self::OtherSoa { .. } => "the zone changed while it was sent: try again",
            Self::NotNewer { .. } => {
                "the server tells one serial and sends another: are there several servers behind its \
                 address?"
            }
            _ => return None,
        })
    }

    /// A fault of a record.
    pub(crate) fn of(kind: impl FnOnce(Name, Rtype) -> Self, owner: &[u8], rtype: Rtype) -> Self {
        kind(Name::from_wire(owner).unwrap_or_else(|_| Name::root()), rtype)
    }

    /// The reply begins with this record.
    pub(crate) fn begins_with(owner: &[u8], rtype: Rtype) -> Self {
        Self::of(|owner, rtype| Self::NoSoa(Some((owner, rtype))), owner, rtype)
    }
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("a message of the reply is malformed"),
            Self::OtherId => f.write_str("a message of the reply has another id than the request"),
            Self::NoResponse => f.write_str("what came is no response to the request"),
            Self::Truncated => f.write_str("a message of the reply is truncated, over a stream"),
            Self::OtherQuestion => f.write_str("the reply answers another question"),
            Self::Rcode(rcode) => write!(f, "the server answers {rcode}"),
            Self::NotAuthoritative => f.write_str("the server is not authoritative for the zone"),
            Self::NoSoa(None) => f.write_str("the reply has no SOA record of the zone"),
            Self::NoSoa(Some((owner, rtype))) => write!(
                f,
                "the reply begins with the {rtype} record of `{owner}`, not with the SOA record of \
                 the zone"
            ),
            Self::OtherClass(owner, rtype) => {
                write!(f, "the {rtype} record of `{owner}` is of another class than IN")
            }
            Self::NoData(owner, rtype) => {
                write!(f, "the {rtype} record of `{owner}` is of a type that zones do not have")
            }
            Self::Rdata(owner, rtype) => {
                write!(f, "the RDATA of the {rtype} record of `{owner}` is malformed")
            }
            Self::OtherSoa { first, last } if first == last => write!(
                f,
                "the reply begins and ends with SOA records that differ, both of serial {first}"
            ),
            Self::OtherSoa { first, last } => {
                write!(f, "the reply begins with serial {first} and ends with serial {last}")
            }
            Self::Surplus => f.write_str("records follow the SOA record that ends the reply"),
            Self::NotNewer { sent, ours } => {
                write!(f, "the zone that was sent has serial {sent}, not newer than {ours}")
            }
            Self::Chain { expected, found } => write!(
                f,
                "a difference sequence begins with serial {found}, where {expected} was expected"
            ),
            Self::Backwards { from, to } => {
                write!(f, "a difference sequence leads from serial {from} to {to}")
            }
            Self::Records(most) => write!(f, "the reply has more than {most} records"),
            Self::Octets(most) => write!(f, "the reply has more than {most} octets"),
        }
    }
}

impl std::error::Error for Fault {}

/// The text of a name.
pub(crate) fn shown(owner: &[u8]) -> String {
    name::Text(owner).to_string()
}
