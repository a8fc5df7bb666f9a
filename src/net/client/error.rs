//! What went wrong with a socket, in the words of Go's `net` package: operators of CoreDNS have
//! patterns for these texts.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libc::{EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM};

use crate::tls;

/// The operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Dial,
    Read,
    Write,
}

/// The text of an error in Go's words. Found inside an [`io::Error`].
#[derive(Clone, Debug)]
pub(crate) struct GoError {
    pub(crate) text: String,
    /// The system's number.
    pub(crate) number: Option<i32>,
}

impl fmt::Display for GoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for GoError {}

impl GoError {
    pub(crate) fn error(self, kind: io::ErrorKind) -> io::Error {
        io::Error::new(kind, self)
    }
}

/// The system's number for an error, in Go's words or not.
pub fn number(error: &io::Error) -> Option<i32> {
    let told = || error.get_ref()?.downcast_ref::<GoError>()?.number;
    error.raw_os_error().or_else(told)
}

/// The two ends of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoints {
    /// `udp` or `tcp`.
    pub(crate) proto: &'static str,
    /// On our side, if it came to that.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: SocketAddr,
}

impl Endpoints {
    /// The text for an error of the system, or for that of time; other errors have words of their own.
    pub(crate) fn tell(self, op: Op, error: io::Error) -> io::Error {
        if error.get_ref().is_some_and(|inner| inner.is::<GoError>()) {
            return error;
        }
        let (kind, number) = (error.kind(), error.raw_os_error());
        if kind == io::ErrorKind::UnexpectedEof {
            return GoError { text: "EOF".to_owned(), number }.error(kind);
        }
        if error.get_ref().is_some() {
            return tls::told(error);
        }
        let Self { proto, local, remote } = self;
        let (op, call) = match op {
            // Go names the address that was asked for, too; its port is chosen later.
            Op::Dial if number == Some(EADDRNOTAVAIL) && local.is_some() => ("dial", "bind"),
            Op::Dial if matches!(number, Some(ENFILE | EMFILE)) => ("dial", "socket"),
            Op::Dial => ("dial", "connect"),
            Op::Read => ("read", "read"),
            Op::Write => ("write", "write"),
        };
        let local = local.map(|local| format!("{local}->")).unwrap_or_default();
        let text = if number.is_none() && kind == io::ErrorKind::TimedOut {
            format!("{op} {proto} {local}{remote}: i/o timeout")
        } else {
            format!("{op} {proto} {local}{remote}: {call}: {}", words(&error))
        };
        GoError { text, number }.error(kind)
    }

    /// The same for a socket that was to be opened from `source`.
    pub(crate) fn dial_error(
        proto: &'static str,
        source: Option<IpAddr>,
        remote: SocketAddr,
        error: io::Error,
    ) -> io::Error {
        let local = source.map(|source| SocketAddr::new(source, 0));
        Self { proto, local, remote }.tell(Op::Dial, error)
    }

    /// Between us and a simulated upstream.
    pub(crate) fn simulated(proto: &'static str, remote: SocketAddr) -> Self {
        let ip = match remote {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        Self { proto, local: Some(SocketAddr::new(ip, 49_152)), remote }
    }
}

/// Go's text for a deadline that ends more than one call.
pub(crate) const DEADLINE: &str = "context deadline exceeded";

/// Whether this machine, and no upstream, is short of something: memory, descriptors, ports or buffers.
pub fn is_shortage(error: &io::Error) -> bool {
    let shortage = |number| matches!(number, ENOMEM | ENFILE | EMFILE | EADDRNOTAVAIL | ENOBUFS);
    number(error).is_some_and(shortage)
}

/// Go's texts where those of C libraries differ from Go's, or from each other.
const WORDS: [(io::ErrorKind, &str); 7] = [
    (io::ErrorKind::ConnectionRefused, "connection refused"),
    (io::ErrorKind::ConnectionReset, "connection reset by peer"),
    (io::ErrorKind::ConnectionAborted, "use of closed network connection"),
    (io::ErrorKind::HostUnreachable, "no route to host"),
    (io::ErrorKind::NetworkUnreachable, "network is unreachable"),
    (io::ErrorKind::BrokenPipe, "broken pipe"),
    (io::ErrorKind::NotConnected, "transport endpoint is not connected"),
];

/// An error of the system in Go's words: those of the C library in lower case, without the number.
pub fn words(error: &io::Error) -> String {
    if let Some((_, words)) = WORDS.iter().find(|(kind, _)| *kind == error.kind()) {
        return (*words).to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if error.raw_os_error().is_some() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

/// Why a connection ended: an error for each query that waited.
#[derive(Clone)]
pub(crate) struct End {
    number: Option<i32>,
    kind: io::ErrorKind,
    text: String,
}

impl End {
    pub(crate) fn new(error: &io::Error) -> Self {
        let (number, kind) = (number(error), error.kind());
        // Only errors of others have a text besides their kind.
        let text = error.get_ref().map(ToString::to_string).unwrap_or_default();
        Self { number, kind, text }
    }

    pub(crate) fn error(&self) -> io::Error {
        match self.number {
            Some(number) if self.text.is_empty() => io::Error::from_raw_os_error(number),
            None if self.text.is_empty() => self.kind.into(),
            number => GoError { text: self.text.clone(), number }.error(self.kind),
        }
    }
}

/// An upstream is there, but what it gave is no reply. Found inside an [`io::Error`].
#[derive(Debug)]
pub struct InvalidReply(pub String);

impl fmt::Display for InvalidReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidReply {}

pub(crate) fn invalid_reply(why: InvalidReply) -> io::Error {
    io::Error::other(why)
}

/// All connections to an upstream are full, and too many wait for a place. Found inside an
/// [`io::Error`].
#[derive(Debug)]
pub struct ConnectionsFull;

impl fmt::Display for ConnectionsFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many queries wait for a place on a connection")
    }
}

impl std::error::Error for ConnectionsFull {}

impl From<InvalidReply> for io::Error {
    fn from(why: InvalidReply) -> Self {
        invalid_reply(why)
    }
}

/// The error of a deadline.
pub(crate) fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortages_are_ours_in_words_or_not() {
        let endpoints =
            Endpoints { proto: "udp", local: None, remote: ([192, 0, 2, 1], 53).into() };
        for number in [ENOMEM, ENFILE, EMFILE, EADDRNOTAVAIL, ENOBUFS] {
            let error = io::Error::from_raw_os_error(number);
            assert!(is_shortage(&error), "{error}");
            assert!(is_shortage(&endpoints.tell(Op::Dial, error)));
        }
        for number in [libc::ECONNREFUSED, libc::ENETUNREACH, libc::EACCES, libc::ETIMEDOUT] {
            let error = io::Error::from_raw_os_error(number);
            assert!(!is_shortage(&error), "{error}");
        }
        assert!(!is_shortage(&late()));
    }

    #[test]
    fn errors_are_told_as_go_tells_them() {
        let local = Some("192.0.2.1:4000".parse().unwrap());
        let remote = "192.0.2.53:53".parse().unwrap();
        let system = io::Error::from_raw_os_error;
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let tell = |proto, op, local, error| {
            Endpoints { proto, local, remote }.tell(op, error).to_string()
        };
        let cases = [
            (
                tell("udp", Op::Read, local, late()),
                "read udp 192.0.2.1:4000->192.0.2.53:53: i/o timeout",
            ),
            (
                tell("udp", Op::Read, local, system(111)),
                "read udp 192.0.2.1:4000->192.0.2.53:53: read: connection refused",
            ),
            (
                tell("udp", Op::Read, local, system(113)),
                "read udp 192.0.2.1:4000->192.0.2.53:53: read: no route to host",
            ),
            (
                tell("udp", Op::Write, local, system(1)),
                "write udp 192.0.2.1:4000->192.0.2.53:53: write: operation not permitted",
            ),
            (
                tell("udp", Op::Dial, None, system(101)),
                "dial udp 192.0.2.53:53: connect: network is unreachable",
            ),
            (tell("tcp", Op::Dial, None, late()), "dial tcp 192.0.2.53:53: i/o timeout"),
            (
                tell("tcp", Op::Dial, None, system(111)),
                "dial tcp 192.0.2.53:53: connect: connection refused",
            ),
            (
                tell("tcp", Op::Dial, None, system(110)),
                "dial tcp 192.0.2.53:53: connect: connection timed out",
            ),
            (
                tell("tcp", Op::Read, local, system(104)),
                "read tcp 192.0.2.1:4000->192.0.2.53:53: read: connection reset by peer",
            ),
            (tell("tcp", Op::Read, local, io::ErrorKind::UnexpectedEof.into()), "EOF"),
        ];
        for (text, expected) in cases {
            assert_eq!(text, expected);
        }
        let source = Some("192.0.2.9".parse().unwrap());
        let dialled = Endpoints::dial_error("udp", source, remote, system(99));
        assert_eq!(
            dialled.to_string(),
            "dial udp 192.0.2.9:0->192.0.2.53:53: bind: cannot assign requested address"
        );
        assert_eq!((dialled.kind(), number(&dialled)), (io::ErrorKind::AddrNotAvailable, Some(99)));
        // What has words already keeps them.
        let again = Endpoints::dial_error("tcp", None, remote, dialled);
        assert!(again.to_string().starts_with("dial udp"), "{again}");
    }
}
