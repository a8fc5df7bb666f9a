//! Replies of many messages over TCP.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{client, eventually, framed, id, message, workers};
use exchange::{BoxFuture, Complete, Drive, Exchange, Outcome, Pending, Place, Query};
use net::{Handler, Limits, ListenSpec, Listener, TcpTimeouts, Workers};
use socket2::{Domain, Socket, Type};
use wire::Reply;

/// Asks for one message, which is the query's.
const ONE: u8 = 0;
/// Asks for many: their number and the octets of each follow.
const MANY: u8 = 1;
/// Octets of a large message.
const LARGE: usize = 60_000;
/// Offset of a message's number.
const NUMBER: usize = 12;

/// Sends as many messages as it is asked for.
#[derive(Default)]
struct Sender {
    /// Messages that were made.
    made: AtomicUsize,
    /// Futures that ran to their end.
    ended: AtomicUsize,
    /// Messages that could not be sent.
    gone: AtomicU64,
}

struct Site(Arc<Sender>);

fn write(exchange: &mut Exchange, number: u32, octets: usize) {
    let mut rest = vec![0; octets - NUMBER];
    rest[..4].copy_from_slice(&number.to_be_bytes());
    exchange.reply.begin_rejection(&rest);
    exchange.reply.seal(exchange.query.id(), 0x8000);
}

impl Handler for Site {
    fn serve_batch(&self, batch: &mut [Box<Exchange>]) {
        for exchange in batch {
            if exchange.query.bytes()[12] == MANY {
                let driver = Arc::<Sender>::clone(&self.0);
                exchange.outcome = Outcome::Wait(Pending { driver, place: Place::In(0) });
            } else {
                write(exchange, 0, 40);
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
            let asked = &exchange.query.bytes()[13..];
            let count = u32::from(u16::from_be_bytes([asked[0], asked[1]]));
            let octets = usize::from(u16::from_be_bytes([asked[2], asked[3]]));
            let channel = exchange.channel.clone();
            for number in 0..count {
                write(&mut exchange, number, octets);
                self.made.fetch_add(1, Ordering::Relaxed);
                if number + 1 == count {
                    break;
                }
                let Some(channel) = &channel else { break };
                if channel.send(exchange.reply.bytes()).await.is_err() {
                    self.gone.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
            exchange.outcome = Outcome::Send;
            self.ended.fetch_add(1, Ordering::Relaxed);
            exchange
        })
    }

    fn refuse(&self, exchange: &mut Exchange) {
        exchange.outcome = Outcome::Silent;
    }
}

impl Complete for Sender {
    fn complete(&self, _: &mut Query, _: &mut Reply) -> bool {
        true
    }
}

fn listen(workers: &Workers, tcp: TcpTimeouts) -> (Listener, SocketAddr, Arc<Sender>) {
    let sender = Arc::new(Sender::default());
    let mut spec = ListenSpec::dns("127.0.0.1:0".parse().unwrap());
    spec.tcp = tcp;
    let listener = workers.listen(&spec, Arc::new(Site(Arc::clone(&sender)))).unwrap();
    let addr = listener.local_addr();
    (listener, addr, sender)
}

/// A connection whose receive buffer holds about one message.
fn connect(to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(32 << 10).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn many(id: u16, count: u16, octets: usize) -> Vec<u8> {
    let octets = u16::try_from(octets).unwrap();
    framed(&message(id, MANY, &[count.to_be_bytes(), octets.to_be_bytes()].concat()))
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).unwrap();
    message
}

fn number(message: &[u8]) -> u32 {
    u32::from_be_bytes(message[NUMBER..NUMBER + 4].try_into().unwrap())
}

#[test]
fn a_slow_reader_bounds_memory_and_delays_no_other_client() {
    const COUNT: u16 = 300;
    let workers = workers(1, Limits::default());
    let (_listener, addr, sender) = listen(&workers, TcpTimeouts::default());
    let mut stream = connect(addr);
    stream.write_all(&many(1, COUNT, LARGE)).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    // One message in each buffer of the system, one partly written, one queued, and what rounding adds.
    let made = sender.made.load(Ordering::Relaxed);
    assert!((2..=7).contains(&made), "{made} messages were made, and the client has read none");
    let mut next = 0;
    let mut asked = None;
    let mut waited = Vec::new();
    let udp = client(addr);
    let mut other = connect(addr);
    let mut latencies = Vec::new();
    let mut buffer = [0; 512];
    while next < u32::from(COUNT) {
        // On the same connection: one query at a time, which waits for a few messages at most.
        if asked.is_none() {
            stream.write_all(&framed(&message(2, ONE, &[]))).unwrap();
            asked = Some(next);
        }
        let reply = receive(&mut stream);
        if id(&reply) == 2 {
            waited.push(next - asked.take().unwrap());
            continue;
        }
        assert_eq!((number(&reply), reply.len()), (next, LARGE), "in order");
        next += 1;
        let made = sender.made.load(Ordering::Relaxed);
        assert!(made <= next as usize + 7, "{made} messages were made and {next} read");
        // Other clients.
        let start = Instant::now();
        udp.send(&message(3, ONE, &[])).unwrap();
        udp.recv(&mut buffer).unwrap();
        other.write_all(&framed(&message(4, ONE, &[]))).unwrap();
        assert_eq!(id(&receive(&mut other)), 4);
        latencies.push(start.elapsed());
    }
    waited.sort_unstable();
    assert!(waited.len() > 40 && waited[waited.len() - 1] <= 7, "{waited:?}");
    latencies.sort_unstable();
    let p95 = latencies[latencies.len() * 95 / 100];
    assert!(p95 < Duration::from_millis(100), "{p95:?}");
    eventually("the exchange counts until its last message", || workers.stats().waiting == 0);
    assert_eq!(sender.ended.load(Ordering::Relaxed), 1);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn several_streams_take_turns_and_count_as_one_query_each() {
    let limits = Limits { tcp_pipeline: 3, ..Limits::default() };
    let workers = workers(1, limits);
    let (_listener, addr, _) = listen(&workers, TcpTimeouts::default());
    let mut stream = connect(addr);
    let all: Vec<u8> = (0..4).flat_map(|id| many(id, 40, 20_000)).collect();
    stream.write_all(&all).unwrap();
    eventually("three are begun", || workers.stats().waiting == 3);
    let mut next = [0; 4];
    for _ in 0..160 {
        let reply = receive(&mut stream);
        let id = usize::from(id(&reply));
        assert_eq!(number(&reply), next[id]);
        next[id] += 1;
        let running = &next[..3];
        let (least, most) = (running.iter().min().unwrap(), running.iter().max().unwrap());
        assert!(most - least <= 2, "{next:?}");
        assert!(next[3] == 0 || running.contains(&40), "the fourth waits for a place: {next:?}");
    }
    eventually("all places are free", || workers.stats().waiting == 0);
    stream.write_all(&framed(&message(9, ONE, &[]))).unwrap();
    assert_eq!(id(&receive(&mut stream)), 9);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn a_client_that_leaves_or_does_not_read_ends_the_exchange() {
    let workers = workers(1, Limits::default());
    let timeouts = TcpTimeouts { write: Duration::from_millis(200), ..TcpTimeouts::default() };
    let (_listener, addr, sender) = listen(&workers, timeouts);
    for leaves in [true, false] {
        let mut stream = connect(addr);
        stream.write_all(&many(1, 60_000, LARGE)).unwrap();
        receive(&mut stream);
        assert_eq!(workers.stats().waiting, 1);
        let kept = (!leaves).then_some(stream);
        eventually("nothing waits", || workers.stats().waiting == 0);
        assert_eq!(workers.stats().tcp_open, 0);
        drop(kept);
    }
    assert_eq!(sender.ended.load(Ordering::Relaxed), 0, "the futures were dropped");
    assert_eq!(workers.stats().tcp_timed_out, 1);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn a_fast_reader_leaves_turns_to_others_and_messages_may_be_small() {
    let workers = workers(1, Limits::default());
    let (_listener, addr, _) = listen(&workers, TcpTimeouts::default());
    let mut stream = connect(addr);
    stream.write_all(&many(1, 20_000, 100)).unwrap();
    stream.write_all(&many(2, 1, 100)).unwrap();
    let (mut next, mut single) = (0, false);
    while next < 20_000 || !single {
        let reply = receive(&mut stream);
        if id(&reply) == 2 {
            single = true;
            continue;
        }
        assert_eq!(number(&reply), next);
        next += 1;
    }
    workers.shutdown(Duration::ZERO);
}

#[test]
fn a_datagram_has_no_channel() {
    let workers = workers(1, Limits::default());
    let (_listener, addr, sender) = listen(&workers, TcpTimeouts::default());
    let udp = client(addr);
    udp.send(&many(1, 5, 100)[2..]).unwrap();
    let mut buffer = [0; 512];
    assert_eq!(udp.recv(&mut buffer).unwrap(), 100);
    assert_eq!(number(&buffer), 0);
    assert_eq!(sender.made.load(Ordering::Relaxed), 1);
    workers.shutdown(Duration::ZERO);
}
