//! A load generator that keeps its pace whatever comes back: clients of a stalled server do not wait
//! for each other either.
//!
//! It sleeps between queries, for the upstreams of the bench run on the same core.

use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use nix::sys::time::TimeSpec;

const BATCH: usize = 64;
/// It sleeps no less than that.
const NAP: Duration = Duration::from_micros(100);

/// Writes query number so-and-so, with any id.
type Write = Box<dyn Fn(u64, &mut Vec<u8>)>;

/// Queries of one kind that come evenly.
pub(crate) struct Flow {
    /// How many a second.
    pub(crate) rate: f64,
    write: Write,
    /// The number of the next one.
    next: u64,
    lanes: Vec<Lane>,
    turn: usize,
}

/// What became of the queries of one flow that were sent in one phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    /// Answers by rcode: NOERROR, SERVFAIL, NXDOMAIN, anything else.
    pub(crate) rcodes: [u64; 4],
    /// Queries that were not answered at all.
    pub(crate) lost: u64,
    /// How long each answer took, in tenths of a microsecond.
    tenths: Vec<u32>,
    /// When the first good answer came in this phase, whenever it was asked for.
    pub(crate) first_good: Option<Duration>,
    /// When the last query was sent that got no good answer.
    pub(crate) last_bad: Option<Duration>,
}

/// A socket, and what is under way by id.
struct Lane {
    socket: UdpSocket,
    next_id: u16,
    sent: Vec<Sent>,
    open: usize,
}

#[derive(Clone, Copy, Default)]
struct Sent {
    /// Nanoseconds since the load began, and one; zero: nothing is under way.
    at: u64,
    phase: u8,
}

/// A load of several flows, in phases that follow each other.
pub(crate) struct Load {
    begun: Instant,
    pub(crate) flows: Vec<Flow>,
    /// By phase, then by flow.
    pub(crate) tallies: Vec<Vec<Tally>>,
    /// When each phase began, in nanoseconds.
    starts: Vec<u64>,
    buffers: Vec<Vec<u8>>,
    out: Vec<Vec<u8>>,
    receiving: MultiHeaders<SockaddrIn>,
    sending: MultiHeaders<SockaddrIn>,
}

impl Flow {
    /// Queries for `port` of loopback from so many sockets.
    pub(crate) fn new(
        port: u16,
        sockets: usize,
        rate: f64,
        write: impl Fn(u64, &mut Vec<u8>) + 'static,
    ) -> Self {
        let lanes = (0..sockets).map(|_| Lane::new(port)).collect();
        Self { rate, write: Box::new(write), next: 0, lanes, turn: 0 }
    }
}

impl Tally {
    /// The time in microseconds that `share` of the answers took no longer than.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.tenths.clone();
        sorted.sort_unstable();
        let at = (sorted.len() as f64 * share) as usize;
        let found = sorted.get(at.min(sorted.len().saturating_sub(1)));
        found.map_or(f64::NAN, |&tenths| f64::from(tenths) / 10.0)
    }
}

impl Load {
    pub(crate) fn new(flows: Vec<Flow>) -> Self {
        Self {
            begun: Instant::now(),
            flows,
            tallies: Vec::new(),
            starts: Vec::new(),
            buffers: vec![vec![0; 4096]; BATCH],
            out: vec![Vec::new(); BATCH],
            receiving: MultiHeaders::preallocate(BATCH, None),
            sending: MultiHeaders::preallocate(BATCH, None),
        }
    }

    /// One more phase of `time`; `tick` is called every 100 ms.
    pub(crate) fn phase(&mut self, time: Duration, mut tick: impl FnMut()) {
        let begin = self.nanos();
        self.starts.push(begin);
        self.tallies.push(vec![Tally::default(); self.flows.len()]);
        let mut sent = vec![0u64; self.flows.len()];
        let mut ticks = 0;
        loop {
            let passed = Duration::from_nanos(self.nanos() - begin);
            if passed >= time {
                return;
            }
            for (flow, sent) in sent.iter_mut().enumerate() {
                let due = (passed.as_secs_f64() * self.flows[flow].rate) as u64;
                while *sent < due {
                    *sent += self.send(flow, (due - *sent).min(BATCH as u64) as usize);
                }
            }
            self.receive();
            if passed.as_millis() / 100 > ticks {
                ticks = passed.as_millis() / 100;
                tick();
            }
            let next = self.flows.iter().zip(&sent).filter(|(flow, _)| flow.rate > 0.0);
            let next = next.map(|(flow, &sent)| (sent + 1) as f64 / flow.rate);
            let next = Duration::from_secs_f64(next.fold(0.1, f64::min));
            let now = Duration::from_nanos(self.nanos() - begin);
            self.sleep(next.saturating_sub(now).max(NAP));
        }
    }

    /// Waits for what is still under way, but not longer than `time`; the rest is lost.
    pub(crate) fn finish(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end
            && self.flows.iter().flat_map(|flow| &flow.lanes).any(|lane| lane.open > 0)
        {
            self.sleep(Duration::from_millis(10));
            self.receive();
        }
        let (tallies, starts) = (&mut self.tallies, &self.starts);
        for (index, flow) in self.flows.iter_mut().enumerate() {
            for sent in flow.lanes.iter_mut().flat_map(|lane| &mut lane.sent) {
                let sent = std::mem::take(sent);
                if sent.at > 0 {
                    lose(sent, &mut tallies[usize::from(sent.phase)][index], starts);
                }
            }
            flow.lanes.iter_mut().for_each(|lane| lane.open = 0);
        }
    }

    fn nanos(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }

    /// Sends up to `count` queries of a flow; returns how many.
    fn send(&mut self, index: usize, count: usize) -> u64 {
        let now = self.nanos() + 1;
        let phase = self.tallies.len() - 1;
        let flow = &mut self.flows[index];
        flow.turn = (flow.turn + 1) % flow.lanes.len();
        let lane = &mut flow.lanes[flow.turn];
        for message in &mut self.out[..count] {
            message.clear();
            (flow.write)(flow.next, message);
            message[..2].copy_from_slice(&lane.next_id.to_be_bytes());
            flow.next += 1;
            let new = Sent { at: now, phase: phase as u8 };
            let old = std::mem::replace(&mut lane.sent[usize::from(lane.next_id)], new);
            if old.at > 0 {
                lose(old, &mut self.tallies[usize::from(old.phase)][index], &self.starts);
            } else {
                lane.open += 1;
            }
            lane.next_id = lane.next_id.wrapping_add(1);
        }
        let mut at = 0;
        while at < count {
            let slices: Vec<[IoSlice<'_>; 1]> =
                self.out[at..count].iter().map(|message| [IoSlice::new(message)]).collect();
            let to: Vec<Option<SockaddrIn>> = vec![None; count - at];
            let fd = lane.socket.as_raw_fd();
            let sent = sendmmsg(fd, &mut self.sending, &slices, &to[..], [], MsgFlags::empty());
            // What the system does not take is lost, and counted so in the end.
            at += sent.map_or(1, Iterator::count);
        }
        self.tallies[phase][index].sent += count as u64;
        count as u64
    }

    /// Takes what has arrived.
    fn receive(&mut self) {
        let now = self.begun.elapsed().as_nanos() as u64 + 1;
        let phase = self.tallies.len() - 1;
        for (index, flow) in self.flows.iter_mut().enumerate() {
            for lane in &mut flow.lanes {
                loop {
                    let count = {
                        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                            self.buffers.iter_mut().map(|b| [IoSliceMut::new(b)]).collect();
                        let (fd, flags) = (lane.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
                        recvmmsg(fd, &mut self.receiving, slices.iter_mut(), flags, None)
                            .map_or(0, Iterator::count)
                    };
                    for buffer in &self.buffers[..count] {
                        let id = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
                        let sent = std::mem::take(&mut lane.sent[id]);
                        if sent.at == 0 {
                            continue;
                        }
                        lane.open -= 1;
                        let rcode = match buffer[3] & 15 {
                            0 => 0,
                            2 => 1,
                            3 => 2,
                            _ => 3,
                        };
                        let tally = &mut self.tallies[usize::from(sent.phase)][index];
                        tally.rcodes[rcode] += 1;
                        tally.tenths.push(u32::try_from((now - sent.at) / 100).unwrap_or(u32::MAX));
                        if rcode == 0 {
                            let since = Duration::from_nanos(now - self.starts[phase]);
                            self.tallies[phase][index].first_good.get_or_insert(since);
                        } else {
                            tally.bad(sent, &self.starts);
                        }
                    }
                    if count < BATCH {
                        break;
                    }
                }
            }
        }
    }

    /// Until something arrives, but not longer than `time`.
    fn sleep(&self, time: Duration) {
        let lanes = self.flows.iter().flat_map(|flow| &flow.lanes).filter(|lane| lane.open > 0);
        let mut readable: Vec<PollFd<'_>> =
            lanes.map(|lane| PollFd::new(lane.socket.as_fd(), PollFlags::POLLIN)).collect();
        let _ = ppoll(&mut readable, Some(TimeSpec::from_duration(time)), None);
    }
}

impl Tally {
    /// This query got no good answer.
    fn bad(&mut self, sent: Sent, starts: &[u64]) {
        let since = Duration::from_nanos(sent.at.saturating_sub(starts[usize::from(sent.phase)]));
        self.last_bad = self.last_bad.max(Some(since));
    }
}

fn lose(sent: Sent, tally: &mut Tally, starts: &[u64]) {
    tally.lost += 1;
    tally.bad(sent, starts);
}

impl Lane {
    fn new(port: u16) -> Self {
        use nix::sys::socket::{setsockopt, sockopt};
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket on loopback");
        socket.connect(("127.0.0.1", port)).expect("loopback can be reached");
        // As large as the system allows; less is no reason to stop.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &(4 << 20));
        let _ = setsockopt(&socket, sockopt::SndBuf, &(4 << 20));
        Self { socket, next_id: 0, sent: vec![Sent::default(); 65_536], open: 0 }
    }
}

/// A question for the A record of a name of one label below `lab.`.
pub(crate) fn question(label: &str, into: &mut Vec<u8>) {
    into.extend_from_slice(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    into.push(label.len() as u8);
    into.extend_from_slice(label.as_bytes());
    into.extend_from_slice(b"\x03lab\0\0\x01\0\x01");
}
