//! Why there is no reply: the words for the client and for the log.

use std::io;
use std::net::SocketAddr;

use net::client::{Crowded, Unfit};
use wire::edns::ede;
use wire::{Failure, Rcode};

/// Why there is no reply.
pub(super) enum Trouble {
    /// The upstream's, or the network's on the way there.
    Theirs(SocketAddr, io::Error),
    /// This machine's: no sockets, no memory, no random numbers.
    Ours(io::Error),
    /// All connections to the upstream are full.
    Crowded,
}

/// REFUSED and not SERVFAIL: resolvers keep SERVFAIL for a while, this may pass at once.
#[cold]
pub(super) fn overload(cause: String) -> Failure {
    Failure { cause: Some(cause.into()), ..Failure::rcode(Rcode::REFUSED) }
        .extended(ede::OTHER, "too many queries wait for upstreams")
}

/// Linux's numbers of what this machine, and no upstream, is short of: out of memory, files,
/// ports and buffers.
const SHORTAGES: [i32; 5] = [12, 23, 24, 99, 105];

pub(super) fn trouble(to: SocketAddr, error: io::Error) -> Trouble {
    match net::client::number(&error) {
        Some(number) if SHORTAGES.contains(&number) => Trouble::Ours(error),
        _ if is::<Crowded>(&error) => Trouble::Crowded,
        _ => Trouble::Theirs(to, error),
    }
}

/// Whether this is what the error says.
fn is<E: std::error::Error + 'static>(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<E>())
}

/// The last trouble as the client and the log are told; `None`: nobody was asked at all.
pub(super) fn failure(trouble: Option<Trouble>) -> Failure {
    match trouble {
        None => Failure::servfail("no healthy proxies")
            .extended(ede::NO_REACHABLE_AUTHORITY, "all upstreams are down"),
        Some(Trouble::Ours(error)) => overload(format!("cannot ask upstreams: {error}")),
        Some(Trouble::Crowded) => overload(Crowded.to_string()),
        // The words that operators search for, those of Go: `read udp A->B: i/o timeout`.
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
                // What TLS does not like: a certificate, mostly. The error says which and why.
                io::ErrorKind::InvalidData => {
                    (ede::NETWORK_ERROR, format!("the certificate of {to} was not accepted"))
                }
                _ if is::<Unfit>(&error) => {
                    return Failure::servfail(format!("upstream {to}: {error}"))
                        .extended(ede::NETWORK_ERROR, format!("invalid reply from {to}: {error}"));
                }
                _ => (ede::NETWORK_ERROR, format!("{to} could not be reached")),
            };
            Failure::servfail(error.to_string()).extended(code, text)
        }
    }
}
