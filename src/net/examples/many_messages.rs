//! One client reads a reply of many messages slowly, on a connection on which it sends other queries,
//! while other clients use the same worker. Prints their latencies and the memory of the process.
//!
//! `cargo run --release -p catena-net --example many_messages`, with `MESSAGES` (default 10000) of 60,000
//! octets and `RATE` in octets per second (default 1000000).

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]
#![allow(clippy::print_stdout, reason = "its result")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use exchange::{BoxFuture, Complete, Drive, Exchange, Outcome, Pending, Place, Query};
use net::{Handler, Limits, ListenSpec, Workers};
use wire::Reply;

/// Octets of each of the many messages.
const LARGE: usize = 60_000;
/// Other queries on the same connection, and on each of the two other ways.
const SAME: u32 = 1_000;
const OTHERS: u32 = 5_000;
/// The id of the query with many messages.
const STREAM: u16 = 0xFFFF;

struct Site(Arc<Sender>);

struct Sender {
    messages: u32,
}

fn write(exchange: &mut Exchange, number: u32, octets: usize) {
    let mut rest = vec![0; octets - 12];
    rest[..4].copy_from_slice(&number.to_be_bytes());
    exchange.reply.begin_rejection(&rest);
    exchange.reply.seal(exchange.query.id(), 0x8000);
}

impl Handler for Site {
    fn serve_batch(&self, batch: &mut [Box<Exchange>]) {
        for exchange in batch {
            if exchange.query.bytes()[..2] == STREAM.to_be_bytes() {
                let driver = Arc::<Sender>::clone(&self.0);
                exchange.outcome = Outcome::Wait(Pending { driver, place: Place::In(0) });
            } else {
                write(exchange, 0, 100);
                exchange.outcome = Outcome::Send;
            }
        }
    }
}

impl Drive for Sender {
    fn resume(
        self: Arc<Self>,
        _: Place,
        mut exchange: Box<Exchange>,
    ) -> BoxFuture<'static, Box<Exchange>> {
        Box::pin(async move {
            let channel = exchange.channel.clone();
            for number in 0..self.messages {
                write(&mut exchange, number, LARGE);
                if let (Some(channel), true) = (&channel, number + 1 < self.messages)
                    && channel.send(exchange.reply.bytes()).await.is_err()
                {
                    break;
                }
            }
            exchange.outcome = Outcome::Send;
            exchange
        })
    }

    fn refuse(&self, _: &mut Exchange) {}
}

impl Complete for Sender {
    fn complete(&self, _: &mut Query, _: &mut Reply) -> bool {
        true
    }
}

fn query(id: u16) -> Vec<u8> {
    let mut message = vec![0; 20];
    message[..2].copy_from_slice(&id.to_be_bytes());
    message
}

fn framed(id: u16) -> Vec<u8> {
    let message = query(id);
    [&(message.len() as u16).to_be_bytes(), message.as_slice()].concat()
}

/// Resident octets of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn show(what: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() * share / 1000).min(latencies.len() - 1)];
    println!(
        "{what}: {} queries, p50 {:?}, p99 {:?}, p99.9 {:?}",
        latencies.len(),
        at(500),
        at(990),
        at(999)
    );
}

/// Sends `count` queries, one every `pause`, while `running`; returns their latencies.
fn over_udp(to: SocketAddr, count: u32, pause: Duration, running: &AtomicBool) -> Vec<Duration> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(to).unwrap();
    let mut buffer = [0; 512];
    paced(count, pause, running, |id| {
        socket.send(&query(id)).unwrap();
        socket.recv(&mut buffer).unwrap();
    })
}

/// The same over a connection.
fn over_tcp(to: SocketAddr, count: u32, pause: Duration, running: &AtomicBool) -> Vec<Duration> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 102];
    paced(count, pause, running, |id| {
        stream.write_all(&framed(id)).unwrap();
        stream.read_exact(&mut buffer).unwrap();
    })
}

fn paced(
    count: u32,
    pause: Duration,
    running: &AtomicBool,
    mut ask: impl FnMut(u16),
) -> Vec<Duration> {
    let start = Instant::now();
    let mut latencies = Vec::with_capacity(count as usize);
    for n in 0..count {
        thread::sleep((start + pause * n).saturating_duration_since(Instant::now()));
        if !running.load(Ordering::Relaxed) {
            break;
        }
        let sent = Instant::now();
        ask(n as u16 % 1000);
        latencies.push(sent.elapsed());
    }
    latencies
}

fn main() {
    let setting = |name: &str, default: u32| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let (messages, rate) = (setting("MESSAGES", 10_000), setting("RATE", 1_000_000));
    let length = Duration::from_secs_f64(f64::from(messages) * LARGE as f64 / f64::from(rate));
    let workers = Workers::start(1, Limits::default()).unwrap();
    let site = Arc::new(Site(Arc::new(Sender { messages })));
    let listener = workers.listen(&ListenSpec::dns("127.0.0.1:0".parse().unwrap()), site).unwrap();
    let to = listener.local_addr();
    let running = AtomicBool::new(true);
    let pause = length / OTHERS;
    let few = pause.min(Duration::from_millis(5));
    thread::scope(|scope| {
        let udp = scope.spawn(|| over_udp(to, 1_000, few, &running));
        show("before, TCP", over_tcp(to, 1_000, few, &running));
        show("before, UDP", udp.join().unwrap());
    });
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&framed(STREAM)).unwrap();
    let before = resident();
    let sent: Mutex<Vec<Option<Instant>>> = Mutex::new(vec![None; SAME as usize]);
    thread::scope(|scope| {
        let udp = scope.spawn(|| over_udp(to, OTHERS, pause, &running));
        let tcp = scope.spawn(|| over_tcp(to, OTHERS, pause, &running));
        let mut writer = stream.try_clone().unwrap();
        let (sent, running) = (&sent, &running);
        scope.spawn(move || {
            paced(SAME, length / SAME, running, |id| {
                sent.lock().unwrap()[usize::from(id)] = Some(Instant::now());
                writer.write_all(&framed(id)).unwrap();
            })
        });
        let (mut same, mut most) = (Vec::with_capacity(SAME as usize), before);
        let (mut buffer, mut message) = ([0; 10_000], Vec::with_capacity(1 << 17));
        let (mut octets, mut next, start) = (0_u64, 0, Instant::now());
        while next < messages {
            let due = start + Duration::from_secs_f64(octets as f64 / f64::from(rate));
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the server closed the connection");
            octets += read as u64;
            message.extend_from_slice(&buffer[..read]);
            while let Some((len, rest)) = message.split_first_chunk::<2>()
                && let Some(bytes) = rest.get(..usize::from(u16::from_be_bytes(*len)))
            {
                let id = u16::from_be_bytes([bytes[0], bytes[1]]);
                if id == STREAM {
                    assert_eq!(bytes[12..16], u32::to_be_bytes(next), "in order");
                    next += 1;
                } else {
                    same.push(sent.lock().unwrap()[usize::from(id)].unwrap().elapsed());
                }
                message.drain(..2 + bytes.len());
            }
            most = most.max(resident());
        }
        running.store(false, Ordering::Relaxed);
        println!(
            "{next} messages of {LARGE} octets in order in {:.1} s; resident {} KiB before, {} KiB more at most",
            start.elapsed().as_secs_f64(),
            before >> 10,
            (most - before) >> 10,
        );
        show("meanwhile, the same connection", same);
        show("meanwhile, TCP", tcp.join().unwrap());
        show("meanwhile, UDP", udp.join().unwrap());
    });
    workers.shutdown(Duration::ZERO);
}
