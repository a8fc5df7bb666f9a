//! The client side: against real sockets that misbehave, and against a simulated network.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use net::client::{Network, Outgoing, PoolOptions, Reused, Simulated, StreamPool};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A UDP server that sends the datagrams that `script` makes of a query.
fn udp_server(script: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    let addr = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
            for datagram in script(&buffer[..len]) {
                socket.send_to(&datagram, peer).unwrap();
            }
        }
    });
    addr
}

/// A TCP server that answers `per_connection` queries with themselves, then hangs up; and how
/// many connections it saw.
fn tcp_server(per_connection: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
            thread::spawn(move || {
                for _ in 0..per_connection {
                    let mut len = [0; 2];
                    if stream.read_exact(&mut len).is_err() {
                        return;
                    }
                    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
                    stream.read_exact(&mut message).unwrap();
                    stream.write_all(&len).unwrap();
                    stream.write_all(&message).unwrap();
                }
            });
        }
    });
    (addr, seen)
}

#[tokio::test]
async fn the_right_reply_is_found_among_wrong_ones() {
    let addr = udp_server(|query| vec![b"wrong".to_vec(), vec![], query.to_vec()]);
    let mut offered = 0;
    let mut accept = |reply: &[u8]| {
        offered += 1;
        reply == b"question"
    };
    let sent = Outgoing::new(addr, b"question", SECOND).from(Some(LOCALHOST));
    let reply = Network::Os.ask_udp(sent, &mut accept).await.unwrap();
    assert_eq!((reply.as_slice(), offered), (b"question".as_slice(), 3));
}

#[tokio::test]
async fn large_replies_and_sources() {
    let addr = udp_server(|query| vec![query.repeat(65_507 / query.len())]);
    let source = Some("127.0.0.9".parse().unwrap());
    let sent = Outgoing::new(addr, b"1", SECOND).from(source);
    let reply = Network::Os.ask_udp(sent, &mut |_| true).await.unwrap();
    assert_eq!(reply.len(), 65_507);
}

#[tokio::test]
async fn silence_and_refusal() {
    let silent = udp_server(|_| vec![]);
    let nobody = {
        let socket = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        socket.local_addr().unwrap()
    };
    let wait = Duration::from_millis(50);
    for (to, kind) in [(silent, ErrorKind::TimedOut), (nobody, ErrorKind::ConnectionRefused)] {
        let sent = Outgoing::new(to, b"??", wait);
        let error = Network::Os.ask_udp(sent, &mut |_| true).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        let pool = StreamPool::new(PoolOptions::default());
        let sent = Outgoing::new(to, b"??", wait);
        let error = pool.ask(&Network::Os, sent, &mut |_| true).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}

#[tokio::test]
async fn connections_are_used_again_until_they_die() {
    let (addr, seen) = tcp_server(3);
    let pool = StreamPool::new(PoolOptions::default());
    let mut reused = Vec::new();
    for round in 0..7_u8 {
        let message = [round; 300];
        let sent = Outgoing::new(addr, &message, SECOND);
        let (reply, Reused(again)) = pool.ask(&Network::Os, sent, &mut |_| true).await.unwrap();
        reused.push(again);
        assert_eq!(reply, message);
    }
    // Every third reply is followed by a hang-up, which costs a silent redial.
    assert_eq!(reused, [false, true, true, false, true, true, false]);
    assert_eq!(seen.load(Ordering::Relaxed), 3);
}

struct World;

impl Simulated for World {
    fn udp(&self, _: SocketAddr, message: &[u8]) -> Vec<(Duration, Vec<u8>)> {
        match message {
            b"lost" => vec![],
            _ => vec![(3 * SECOND, message.to_vec()), (SECOND, b"forged".to_vec())],
        }
    }

    fn tcp(&self, _: SocketAddr, message: &[u8]) -> Option<(Duration, Vec<u8>)> {
        (message != b"refused").then(|| (2 * SECOND, message.to_vec()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_simulated_network_keeps_simulated_time() {
    let network = Network::Simulated(Arc::new(World));
    let to = "192.0.2.1:53".parse().unwrap();
    let start = Instant::now();
    let mut accept = |reply: &[u8]| reply != b"forged";
    let sent = Outgoing::new(to, b"hello", 5 * SECOND);
    let reply = network.ask_udp(sent, &mut accept).await.unwrap();
    assert_eq!((reply.as_slice(), start.elapsed().as_secs()), (b"hello".as_slice(), 3));
    for message in [b"lost".as_slice(), b"late"] {
        let start = Instant::now();
        let sent = Outgoing::new(to, message, 2 * SECOND);
        let asked = network.ask_udp(sent, &mut accept).await;
        assert_eq!(asked.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 2);
    }
    let pool = StreamPool::new(PoolOptions::default());
    let sent = Outgoing::new(to, b"refused", SECOND);
    let asked = pool.ask(&network, sent, &mut |_| true).await;
    assert_eq!(asked.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let sent = Outgoing::new(to, b"late", SECOND);
    let asked = pool.ask(&network, sent, &mut |_| true).await;
    assert_eq!(asked.unwrap_err().kind(), ErrorKind::TimedOut);
    let sent = Outgoing::new(to, b"yes", 3 * SECOND);
    let (reply, _) = pool.ask(&network, sent, &mut |_| true).await.unwrap();
    assert_eq!(reply, b"yes");
}
