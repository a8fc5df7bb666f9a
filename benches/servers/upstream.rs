//! Upstreams of the bench's own, on the load's core: servers of one record that misbehave when told.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

const BATCH: usize = 64;
/// How long it may take until a new mood, or the end, is noticed.
const NOTICE: Duration = Duration::from_millis(10);
/// What `Mood::Slow` takes.
const SLOW: Duration = Duration::from_secs(2);

/// How an upstream behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    /// Answers at once.
    Healthy,
    /// Reads and says nothing.
    Silent,
    /// Its ports are closed.
    Refusing,
    /// Answers SERVFAIL.
    Failing,
    /// Answers after two seconds.
    Slow,
    /// Says over UDP that the answer is too long; gives it over TCP.
    Truncating,
    /// Answers what was not asked.
    Wrong,
    /// Silent for a second, healthy for one, and so on.
    Flapping,
}

const MOODS: [Mood; 8] = [
    Mood::Healthy,
    Mood::Silent,
    Mood::Refusing,
    Mood::Failing,
    Mood::Slow,
    Mood::Truncating,
    Mood::Wrong,
    Mood::Flapping,
];

/// What the threads of an upstream share.
struct Shared {
    mood: AtomicU8,
    stop: AtomicBool,
    begun: Instant,
}

impl Shared {
    /// The mood of this moment: never `Flapping`.
    fn mood(&self) -> Mood {
        match MOODS[usize::from(self.mood.load(Ordering::Relaxed)) % MOODS.len()] {
            Mood::Flapping if self.begun.elapsed().as_secs().is_multiple_of(2) => Mood::Silent,
            Mood::Flapping => Mood::Healthy,
            mood => mood,
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A running upstream; ends when dropped.
pub(crate) struct Own {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Own {
    /// One on a port of its own.
    pub(crate) fn start() -> Self {
        // Both kinds of socket need the same port; another program may have one of them.
        let (udp, tcp) = (0..100)
            .find_map(|_| {
                let tcp = TcpListener::bind("127.0.0.1:0").ok()?;
                Some((UdpSocket::bind(tcp.local_addr().ok()?).ok()?, tcp))
            })
            .expect("a port is free");
        let port = tcp.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            mood: AtomicU8::new(Mood::Healthy as u8),
            stop: AtomicBool::new(false),
            begun: Instant::now(),
        });
        let (for_udp, for_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            std::thread::spawn(move || datagrams(&for_udp, port, udp)),
            std::thread::spawn(move || connections(&for_tcp, port, tcp)),
        ];
        Self { port, shared, threads }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.shared.mood.store(mood as u8, Ordering::Relaxed);
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Waits until there is something to read, or for `time`.
fn wait(socket: &impl std::os::fd::AsFd, time: Duration) {
    let mut readable = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    let millis = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
    let _ = poll(&mut readable, PollTimeout::from(millis));
}

/// Serves UDP until the upstream ends.
fn datagrams(shared: &Shared, port: u16, socket: UdpSocket) {
    let mut socket = Some(open(socket));
    let mut buffers = vec![[0u8; 2048]; BATCH];
    let mut out: Vec<Vec<u8>> = vec![Vec::new(); BATCH];
    let mut into = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut from = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    // Answers of `Slow`, and when they go.
    let mut later: VecDeque<(Instant, SockaddrIn, Vec<u8>)> = VecDeque::new();
    while !shared.stopped() {
        let mood = shared.mood();
        if mood == Mood::Refusing {
            socket = None;
        } else if socket.is_none() {
            socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok().map(open);
        }
        let Some(socket) = &socket else {
            std::thread::sleep(NOTICE);
            continue;
        };
        let due = later.front().map(|(at, ..)| at.saturating_duration_since(Instant::now()));
        wait(socket, due.map_or(NOTICE, |due| due.min(NOTICE)));
        let mut peers: Vec<Option<SockaddrIn>> = Vec::with_capacity(BATCH);
        let mut lengths = [0; BATCH];
        {
            let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            let received = recvmmsg(socket.as_raw_fd(), &mut into, slices.iter_mut(), flags, None);
            for message in received.into_iter().flatten() {
                lengths[peers.len()] = message.bytes;
                peers.push(message.address);
            }
        }
        let mut answered: Vec<Option<SockaddrIn>> = Vec::with_capacity(BATCH);
        for ((buffer, length), peer) in buffers.iter().zip(lengths).zip(&peers) {
            let query = &buffer[..length];
            let into = &mut out[answered.len()];
            match mood {
                Mood::Silent => {}
                _ if !answer(query, mood, false, into) => {}
                Mood::Slow => {
                    if let Some(peer) = *peer {
                        later.push_back((Instant::now() + SLOW, peer, std::mem::take(into)));
                    }
                }
                _ => answered.push(*peer),
            }
        }
        if !answered.is_empty() {
            let slices: Vec<[IoSlice<'_>; 1]> =
                out[..answered.len()].iter().map(|message| [IoSlice::new(message)]).collect();
            let none = MsgFlags::empty();
            let _ = sendmmsg(socket.as_raw_fd(), &mut from, &slices, &answered[..], [], none);
        }
        let now = Instant::now();
        while later.front().is_some_and(|(at, ..)| *at <= now) {
            if let Some((_, peer, message)) = later.pop_front() {
                let _ = socket.send_to(&message, SocketAddrV4::new(peer.ip(), peer.port()));
            }
        }
    }
}

fn open(socket: UdpSocket) -> UdpSocket {
    use nix::sys::socket::{setsockopt, sockopt};
    let _ = setsockopt(&socket, sockopt::RcvBuf, &(4 << 20));
    socket
}

/// Serves TCP until the upstream ends.
fn connections(shared: &Arc<Shared>, port: u16, listener: TcpListener) {
    let mut listener = Some(listener);
    let mut threads = Vec::new();
    while !shared.stopped() {
        if shared.mood() == Mood::Refusing {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
        }
        let Some(listener) = &listener else {
            std::thread::sleep(NOTICE);
            continue;
        };
        wait(listener, NOTICE);
        let _ = listener.set_nonblocking(true);
        if let Ok((stream, _)) = listener.accept() {
            let shared = Arc::clone(shared);
            threads.push(std::thread::spawn(move || connection(&shared, stream)));
        }
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn connection(shared: &Shared, mut stream: TcpStream) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(NOTICE));
    let mut into = [0; 16_384];
    let (mut pending, mut out, mut one) = (Vec::new(), Vec::new(), Vec::new());
    while !shared.stopped() && shared.mood() != Mood::Refusing {
        let count = match stream.read(&mut into) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        pending.extend_from_slice(&into[..count]);
        let mut at = 0;
        out.clear();
        while let Some(&[high, low]) = pending.get(at..at + 2) {
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let Some(query) = pending.get(at + 2..end) else { break };
            let mood = shared.mood();
            if mood != Mood::Silent && answer(query, mood, true, &mut one) {
                out.extend_from_slice(&(one.len() as u16).to_be_bytes());
                out.extend_from_slice(&one);
            }
            at = end;
        }
        pending.drain(..at);
        if shared.mood() == Mood::Slow {
            std::thread::sleep(SLOW);
        }
        if !out.is_empty() && stream.write_all(&out).is_err() {
            return;
        }
    }
}

/// The answer to `query`; `false` if that is no query. Names that begin with `s` may be kept for a
/// second, all others for an hour.
pub(super) fn answer(query: &[u8], mood: Mood, stream: bool, into: &mut Vec<u8>) -> bool {
    let Some(end) = end_of_question(query) else { return false };
    into.clear();
    into.extend_from_slice(&query[..end]);
    into[2] = 0x80 | query[2] & 0x01;
    into[3] = 0x80;
    into[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    match mood {
        Mood::Failing => into[3] |= 2,
        Mood::Truncating if !stream => into[2] |= 2,
        _ => {
            if mood == Mood::Wrong {
                // Another letter; for the root, which has none, another type.
                let at = if into[12] > 0 { 13 } else { end - 3 };
                into[at] ^= 1;
            }
            if query[end - 4..end] == [0, 1, 0, 1] {
                into[7] = 1;
                let ttl: u32 = if query[13] == b's' { 1 } else { 3600 };
                into.extend_from_slice(&[0xC0, 0x0C, 0, 1, 0, 1]);
                into.extend_from_slice(&ttl.to_be_bytes());
                into.extend_from_slice(&[0, 4, 192, 0, 2, 1]);
            }
        }
    }
    true
}

fn end_of_question(query: &[u8]) -> Option<usize> {
    let mut at = 12;
    while *query.get(at)? > 0 {
        at += 1 + usize::from(query[at]);
    }
    (query[2] & 0x80 == 0 && query.len() >= at + 5).then_some(at + 5)
}
