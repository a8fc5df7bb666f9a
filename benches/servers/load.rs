//! A load generator that saturates: one thread, batched system calls, a bounded number of queries
//! in flight per socket.

use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

const BATCH: usize = 64;

/// What a run saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    /// Answers by rcode: NOERROR, SERVFAIL, NXDOMAIN, anything else.
    pub(crate) rcodes: [u64; 4],
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// How to press.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) time: Duration,
    pub(crate) sockets: usize,
    pub(crate) window: usize,
    /// How many leave in one system call at most.
    pub(crate) batch: usize,
    /// Queries per second; `None` as many as will go.
    pub(crate) rate: Option<f64>,
}

impl Shape {
    /// Enough in flight that the server never waits.
    pub(crate) fn saturating(time: Duration) -> Self {
        Self { time, sockets: 8, window: 24, batch: BATCH, rate: None }
    }
}

struct Lane {
    socket: UdpSocket,
    next_id: u16,
    in_flight: usize,
    sent_at: Vec<u64>,
    heard: Instant,
}

/// Sends `queries` round and round to `port` of loopback for as long as `shape` says, starting
/// with number `first`. Returns what it saw and the number after the last one sent.
pub(crate) fn press(port: u16, queries: &[Vec<u8>], first: usize, shape: Shape) -> (Seen, usize) {
    let mut lanes: Vec<Lane> = (0..shape.sockets).map(|_| lane(port)).collect();
    let mut out: Vec<Vec<u8>> = vec![Vec::new(); BATCH];
    let mut into: Vec<Vec<u8>> = vec![vec![0; 4096]; BATCH];
    let mut send_headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut receive_headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut histogram = vec![0u64; 200_000];
    let mut seen = Seen::default();
    let mut at = first;
    let start = Instant::now();
    loop {
        let now = Instant::now();
        if now - start >= shape.time {
            break;
        }
        let nanos = (now - start).as_nanos() as u64;
        let mut idle = true;
        for lane in &mut lanes {
            let mut room = (shape.window - lane.in_flight).min(shape.batch);
            if let Some(rate) = shape.rate {
                let due = (nanos as f64 / 1e9 * rate) as u64;
                room = room.min(due.saturating_sub(seen.sent) as usize);
            } else if room < shape.batch.min(shape.window / 4) && lane.in_flight > 0 {
                room = 0;
            }
            if room > 0 {
                for message in &mut out[..room] {
                    message.clear();
                    message.extend_from_slice(&queries[at % queries.len()]);
                    message[..2].copy_from_slice(&lane.next_id.to_be_bytes());
                    lane.sent_at[usize::from(lane.next_id)] = nanos + 1;
                    lane.next_id = lane.next_id.wrapping_add(1);
                    at += 1;
                }
                let slices: Vec<[IoSlice<'_>; 1]> =
                    out[..room].iter().map(|message| [IoSlice::new(message)]).collect();
                let none: Vec<Option<SockaddrIn>> = vec![None; room];
                let sent = sendmmsg(
                    lane.socket.as_raw_fd(),
                    &mut send_headers,
                    &slices,
                    none.as_slice(),
                    [],
                    MsgFlags::empty(),
                )
                .map_or(0, Iterator::count);
                lane.in_flight += sent;
                seen.sent += sent as u64;
                // What was not sent keeps its id free.
                lane.next_id = lane.next_id.wrapping_sub((room - sent) as u16);
                at -= room - sent;
                idle = false;
            }
            if lane.in_flight > 0 {
                idle &= receive(
                    lane,
                    &mut into,
                    &mut receive_headers,
                    start,
                    &mut seen,
                    &mut histogram,
                );
                if lane.heard.elapsed() > Duration::from_millis(200) {
                    seen.lost += lane.in_flight as u64;
                    lane.in_flight = 0;
                    lane.heard = now;
                }
            } else {
                lane.heard = now;
            }
        }
        if idle {
            std::hint::spin_loop();
        }
    }
    seen.seconds = start.elapsed().as_secs_f64();
    let at_share = |share: f64| {
        let mut left = (seen.answered as f64 * share) as u64;
        for (tenths, &count) in histogram.iter().enumerate() {
            if count >= left {
                return tenths as f64 / 10.0;
            }
            left -= count;
        }
        f64::NAN
    };
    seen.p50_us = at_share(0.5);
    seen.p99_us = at_share(0.99);
    (seen, at)
}

/// Takes what has arrived; whether that was nothing.
fn receive(
    lane: &mut Lane,
    into: &mut [Vec<u8>],
    headers: &mut MultiHeaders<SockaddrIn>,
    start: Instant,
    seen: &mut Seen,
    histogram: &mut [u64],
) -> bool {
    let count = {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            into.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let fd = lane.socket.as_raw_fd();
        match recvmmsg(fd, headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
            Ok(received) => received.count(),
            Err(_) => return true,
        }
    };
    let nanos = start.elapsed().as_nanos() as u64;
    for buffer in &into[..count] {
        let id = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
        let sent_at = std::mem::take(&mut lane.sent_at[id]);
        if sent_at == 0 {
            continue;
        }
        let tenths = ((nanos + 1).saturating_sub(sent_at) / 100) as usize;
        histogram[tenths.min(histogram.len() - 1)] += 1;
        let rcode = match buffer[3] & 15 {
            0 => 0,
            2 => 1,
            3 => 2,
            _ => 3,
        };
        seen.rcodes[rcode] += 1;
        seen.answered += 1;
    }
    lane.in_flight = lane.in_flight.saturating_sub(count);
    lane.heard = Instant::now();
    count == 0
}

fn lane(port: u16) -> Lane {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket on loopback");
    socket.connect(("127.0.0.1", port)).expect("loopback can be reached");
    socket.set_nonblocking(true).expect("sockets can be told not to block");
    for option in [true, false] {
        use nix::sys::socket::{setsockopt, sockopt};
        // As large as the system allows; less is no reason to stop.
        let _ = if option {
            setsockopt(&socket, sockopt::RcvBuf, &(4 << 20))
        } else {
            setsockopt(&socket, sockopt::SndBuf, &(4 << 20))
        };
    }
    Lane { socket, next_id: 0, in_flight: 0, sent_at: vec![0; 65_536], heard: Instant::now() }
}
