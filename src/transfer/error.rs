//! Why a request failed: whom it went to, about which zone, and what was wrong.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tsig::VerifyError;
use wire::Name;
use zone::Unfit;

use crate::Fault;

/// A request that failed.
#[derive(Debug)]
pub struct TransferError {
    /// The server that was asked.
    pub peer: SocketAddr,
    /// The zone that it was asked about.
    pub zone: Name,
    /// What was wrong.
    pub trouble: Trouble,
}

/// What was wrong.
#[derive(Debug)]
pub enum Trouble {
    /// The server cannot be reached.
    Unreachable(io::Error),
    /// The connection failed after so many records.
    Cut {
        /// The error of the connection.
        error: io::Error,
        /// Records that had come.
        records: u64,
    },
    /// The next message did not come in time.
    Stalled {
        /// The wait.
        wait: Duration,
        /// Records that had come.
        records: u64,
    },
    /// The whole took too long.
    Overdue {
        /// The bound.
        total: Duration,
        /// Records that had come.
        records: u64,
    },
    /// A signature does not hold, or ours is refused.
    Signature(VerifyError),
    /// The reply is not what it should be.
    Fault(Fault),
    /// The records that were sent cannot be served as a zone.
    Unfit(Vec<Unfit>),
    /// This machine cannot go on.
    Local(String),
}

impl TransferError {
    /// What an operator can do about it.
    pub fn help(&self) -> Option<&'static str> {
        match &self.trouble {
            Trouble::Fault(fault) => fault.help(),
            Trouble::Unreachable(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Some("does the server listen on this port, over TCP too?")
            }
            Trouble::Signature(VerifyError::Unsigned) => {
                Some("the server must know the key and sign with it")
            }
            Trouble::Overdue { .. } => Some("raise the bound if the zone takes as long as that"),
            Trouble::Unfit(_) => {
                Some("mend the zone at the server; the records before stay in use")
            }
            _ => None,
        }
    }

    /// Whether an IXFR that failed so may succeed as an AXFR: the reply was no use, but the server is there.
    pub fn calls_for_axfr(&self) -> bool {
        match &self.trouble {
            Trouble::Fault(Fault::Records(_) | Fault::Octets(_)) => false,
            Trouble::Fault(_) => true,
            // Some servers that do not know IXFR hang up.
            Trouble::Cut { records, .. } => *records == 0,
            _ => false,
        }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<VerifyError> for Trouble {
    fn from(error: VerifyError) -> Self {
        Self::Signature(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "{error}"),
            Self::Cut { error, records } if error.kind() == io::ErrorKind::UnexpectedEof => {
                write!(
                    f,
                    "the server ended the connection after {records} records, before the reply ended"
                )
            }
            Self::Cut { error, records } => write!(f, "{error}, after {records} records"),
            Self::Stalled { wait, records } => {
                write!(f, "no message came for {wait:?}, after {records} records")
            }
            Self::Overdue { total, records } => {
                write!(f, "the reply has not ended after {total:?}, with {records} records")
            }
            Self::Signature(error) => write!(f, "{error}"),
            Self::Fault(fault) => write!(f, "{fault}"),
            Self::Unfit(all) => {
                f.write_str("the records are no zone: ")?;
                for (at, unfit) in all.iter().enumerate() {
                    write!(f, "{}{unfit}", if at == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Self::Local(problem) => f.write_str(problem),
        }
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zone `{}` at {}: {}", self.zone, self.peer, self.trouble)
    }
}

impl std::error::Error for TransferError {}
