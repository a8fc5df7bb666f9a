//! Why a query got no answer, and whether another connection may bring one.

use std::io;

use crate::client::error::InvalidReply;

/// Queries on one connection at once, if the other side allows as many; RFC 9113 section 6.5.2 asks
/// servers for no less.
pub(super) const STREAMS: usize = 100;

/// Why a query got no answer.
pub(super) enum Broken {
    /// The connection died, or did not take the query: another may do.
    Connection(io::Error),
    /// It was answered in a way that is of no use, or refused; others on the connection go on.
    Query(io::Error),
}

pub(super) fn useless(why: InvalidReply) -> Broken {
    Broken::Query(why.into())
}
