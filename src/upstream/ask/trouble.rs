//! Why there is no reply: the words for the client and for the log.

use std::io;
use std::net::SocketAddr;

use net::client::{ConnectionsFull, InvalidReply};
use wire::edns::ede;
use wire::{Failure, Rcode};

/// Why there is no reply.
pub(super) enum Trouble {
    /// The upstream failed, or the network on the way to it.
    Theirs(SocketAddr, io::Error),
    /// This machine lacks sockets, memory or random numbers.
    Ours(io::Error),
    /// All connections to the upstream are full.
    ConnectionsFull,
}

/// REFUSED and not SERVFAIL: resolvers cache SERVFAIL, and an overload may pass at once.
#[cold]
pub(super) fn overload(cause: String) -> Failure {
    Failure { cause: Some(cause.into()), ..Failure::rcode(Rcode::REFUSED) }
        .extended(ede::OTHER, "too many queries wait for upstreams")
}

pub(super) fn trouble(to: SocketAddr, error: io::Error) -> Trouble {
    if net::is_shortage(&error) {
        Trouble::Ours(error)
    } else if is::<ConnectionsFull>(&error) {
        Trouble::ConnectionsFull
    } else {
        Trouble::Theirs(to, error)
    }
}

/// Whether the error contains an `E`.
fn is<E: std::error::Error + 'static>(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<E>())
}

/// The last trouble in the words for the client and for the log; `None`: no upstream was queried.
pub(super) fn failure(trouble: Option<Trouble>) -> Failure {
    match trouble {
        None => Failure::unresolved("no healthy proxies")
            .extended(ede::NO_REACHABLE_AUTHORITY, "all upstreams are down"),
        Some(Trouble::Ours(error)) => overload(format!("cannot ask upstreams: {error}")),
        Some(Trouble::ConnectionsFull) => overload(ConnectionsFull.to_string()),
        // Go's words, which operators search for: `read udp A->B: i/o timeout`.
        Some(Trouble::Theirs(to, error)) => {
            let (code, text) = match error.kind() {
                io::ErrorKind::TimedOut => {
                    (ede::NO_REACHABLE_AUTHORITY, format!("no answer in time from {to}"))
                }
                io::ErrorKind::ConnectionRefused => {
                    (ede::NETWORK_ERROR, format!("{to} refused the connection"))
                }
                io::ErrorKind::UnexpectedEof => {
                    (ede::NETWORK_ERROR, format!("{to} closed the connection"))
                }
                // An error of TLS: a certificate, mostly. The error names it.
                io::ErrorKind::InvalidData => {
                    (ede::NETWORK_ERROR, format!("the certificate of {to} was not accepted"))
                }
                _ if is::<InvalidReply>(&error) => {
                    return Failure::unresolved(format!("upstream {to}: {error}"))
                        .extended(ede::NETWORK_ERROR, format!("invalid reply from {to}: {error}"));
                }
                _ => (ede::NETWORK_ERROR, format!("{to} could not be reached")),
            };
            Failure::unresolved(error.to_string()).extended(code, text)
        }
    }
}
