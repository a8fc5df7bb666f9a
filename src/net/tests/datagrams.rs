//! Datagrams to an upstream: many queries on a few sockets, against real ones that misbehave.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use net::client::{DatagramPool, More, Network, Outgoing, Watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// How many queries came from each port.
type Ports = Arc<Mutex<HashMap<u16, usize>>>;

/// A server that sends the datagrams that `script` makes of a query.
fn server(mut script: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> (SocketAddr, Ports) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (addr, ports) = (socket.local_addr().unwrap(), Ports::default());
    let seen = Arc::clone(&ports);
    thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
            *seen.lock().unwrap().entry(peer.port()).or_default() += 1;
            for datagram in script(&buffer[..len]) {
                socket.send_to(&datagram, peer).unwrap();
            }
        }
    });
    (addr, ports)
}

/// What a pool counted.
#[derive(Default)]
struct Counts {
    fresh: AtomicUsize,
    reused: AtomicUsize,
    strays: AtomicUsize,
}

impl Watch for Counts {
    fn leaves(&self, reused: bool) {
        let count = if reused { &self.reused } else { &self.fresh };
        count.fetch_add(1, Ordering::Relaxed);
    }
    fn stray(&self) {
        self.strays.fetch_add(1, Ordering::Relaxed);
    }
}

fn pool() -> (Arc<DatagramPool>, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    (Arc::new(DatagramPool::new(Arc::clone(&counts) as _, 1)), counts)
}

/// Asks with an id and a body of this number; the reply must be the same message.
async fn ask(pool: &DatagramPool, to: SocketAddr, number: u32) -> io::Result<()> {
    let id = (number as u16).wrapping_mul(25_173).to_be_bytes();
    let message = [&id[..], &number.to_be_bytes()].concat();
    let mut accept = |reply: &[u8]| reply == message;
    let sent = Outgoing::new(to, &message, 5 * SECOND);
    let reply = pool.ask(&Network::Os, sent, &mut || None, &mut accept).await?;
    assert_eq!(reply, message);
    Ok(())
}

/// Asks for these numbers, so many at once; no more than the server's socket has room for.
async fn ask_all(pool: &Arc<DatagramPool>, to: SocketAddr, numbers: Range<u32>, together: usize) {
    for batch in numbers.collect::<Vec<_>>().chunks(together) {
        let mut asking = JoinSet::new();
        for &number in batch {
            let pool = Arc::clone(pool);
            asking.spawn(async move { ask(&pool, to, number).await });
        }
        for outcome in asking.join_all().await {
            outcome.unwrap();
        }
    }
}

/// How many sockets a pool may open here: two thirds of the descriptors for upstreams.
fn most() -> usize {
    (net::descriptors::for_upstreams() / 3 * 2).min(1_100)
}

#[tokio::test]
async fn ten_thousand_queries_go_by_a_thousand_ports_and_more() {
    // One at a time, a few, a flood: each from fresh sockets, and again when all of them were used.
    for together in [1, 20, 128] {
        let (to, ports) = server(|query| vec![query.to_vec()]);
        let (pool, _) = pool();
        for from in [0, 10_000, 20_000] {
            ask_all(&pool, to, from..from + 10_000, together).await;
            let ports = mem::take(&mut *ports.lock().unwrap());
            assert!(ports.len() >= 1_000.min(most()), "{together} at once: {}", ports.len());
            // Nobody who found one of them has found what many queries go by.
            let busiest = ports.values().max().unwrap();
            assert!(
                *busiest <= 10_000 / ports.len() + 2 * 9,
                "{together} at once: {busiest} by one"
            );
        }
    }
}

#[tokio::test]
async fn which_port_comes_next_does_not_follow_from_those_before() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (to, seen) = (socket.local_addr().unwrap(), Arc::clone(&order));
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
            seen.lock().unwrap().push(peer.port());
            socket.send_to(&buffer[..len], peer).unwrap();
        }
    });
    let (pool, _) = pool();
    let most = most() as u32;
    ask_all(&pool, to, 0..most, 1).await;
    order.lock().unwrap().clear();
    ask_all(&pool, to, 0..2 * most, 1).await;
    let order = order.lock().unwrap();
    // The second time round the ports do not come in the order of the first.
    let (first, second) = order.split_at(order.len() / 2);
    let places: HashMap<u16, usize> = first.iter().zip(0..).map(|(port, at)| (*port, at)).collect();
    let next = second.windows(2).filter(|two| {
        let at = |port: &u16| places.get(port).copied();
        at(&two[0]).is_some_and(|before| at(&two[1]) == Some(before + 1))
    });
    let next = next.count();
    assert!(next < order.len() / 100 + 10, "{next} of {} as before", order.len());
    // A port that was just used is not used again soon.
    let soon = order.windows(order.len() / 16).filter(|some| some[1..].contains(&some[0]));
    assert_eq!(soon.count(), 0);
}

#[tokio::test]
async fn idle_sockets_are_closed() {
    let (to, ports) = server(|query| vec![query.to_vec()]);
    let (pool, counts) = pool();
    ask_all(&pool, to, 0..100, 1).await;
    assert_eq!(ports.lock().unwrap().len(), 100);
    assert_eq!(counts.fresh.load(Ordering::Relaxed), 100);
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 100, "one for each socket");
    tokio::time::pause();
    tokio::time::advance(11 * SECOND).await;
    while metrics.num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn where_there_can_be_no_more_sockets_queries_share_those_there_are() {
    let (to, _) = server(|_| Vec::new());
    let counts = Arc::new(Counts::default());
    let pool = Arc::new(DatagramPool::new(Arc::clone(&counts) as _, 10_000));
    let mut asking = JoinSet::new();
    for number in 0..3_000u16 {
        let pool = Arc::clone(&pool);
        asking.spawn(async move {
            let message = number.to_be_bytes();
            let sent = Outgoing::new(to, &message, SECOND);
            let asked = pool.ask(&Network::Os, sent, &mut || None, &mut |_| true).await;
            asked.unwrap_err().kind()
        });
    }
    assert!(asking.join_all().await.iter().all(|kind| *kind == ErrorKind::TimedOut));
    let (fresh, reused) = (&counts.fresh, &counts.reused);
    let (fresh, reused) = (fresh.load(Ordering::Relaxed), reused.load(Ordering::Relaxed));
    assert_eq!(fresh + reused, 3_000);
    // Those that have as many under way as one should are replaced while there are files for it.
    assert!((16..=16 + 3_000 / 128).contains(&fresh), "{fresh}");
}

#[tokio::test]
async fn what_is_not_the_reply_is_passed_over() {
    let script = |query: &[u8]| {
        let other = [&query[..2], b"forged"].concat();
        vec![b"x".to_vec(), vec![], b"none".to_vec(), other.clone(), other, query.to_vec()]
    };
    let (to, _) = server(script);
    let (pool, counts) = pool();
    let mut offered = 0;
    let mut accept = |reply: &[u8]| {
        offered += 1;
        reply == b"idquestion"
    };
    let sent = Outgoing::new(to, b"idquestion", SECOND);
    let reply = pool.ask(&Network::Os, sent, &mut || None, &mut accept).await.unwrap();
    assert_eq!((reply.as_slice(), offered), (b"idquestion".as_slice(), 3));
    assert_eq!(counts.strays.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn silence_ends_in_time_and_nothing_is_left() {
    let (to, _) = server(|_| Vec::new());
    let (pool, _) = pool();
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    for wait in [100, 50, 200] {
        let pool = Arc::clone(&pool);
        asking.spawn(async move {
            let wait = Duration::from_millis(wait);
            let message = wait.as_millis().to_be_bytes();
            let sent = Outgoing::new(to, &message[14..], wait);
            let asked = pool.ask(&Network::Os, sent, &mut || None, &mut |_| true).await;
            (asked.unwrap_err().kind(), begun.elapsed() >= wait)
        });
    }
    assert_eq!(asking.join_all().await, [(ErrorKind::TimedOut, true); 3]);
    assert!(begun.elapsed() < SECOND);
    drop(pool);
    // The tasks of the sockets end by themselves: nothing else is left in this runtime.
    let metrics = tokio::runtime::Handle::current().metrics();
    while metrics.num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_has_patience_waits_on() {
    let (to, _) = server(|query| {
        thread::sleep(Duration::from_millis(150));
        vec![query.to_vec()]
    });
    let (pool, _) = pool();
    let (network, wait) = (Network::Os, Duration::from_millis(20));
    for (more, kind) in [(2, Some(ErrorKind::TimedOut)), (1000, None)] {
        let mut asked = 0;
        let mut patience = || {
            asked += 1;
            (asked <= more).then_some(More { wait, again: false })
        };
        let begun = Instant::now();
        let sent = Outgoing::new(to, b"12345678", wait);
        let outcome = pool.ask(&network, sent, &mut patience, &mut |_| true).await;
        assert_eq!(outcome.err().map(|error| error.kind()), kind);
        assert!(asked >= 3 && begun.elapsed() >= wait * 3);
    }
}

#[tokio::test]
async fn who_was_not_heard_is_sent_again() {
    let mut heard = 0;
    let (to, _) = server(move |query| {
        heard += 1;
        if heard < 3 { Vec::new() } else { vec![query.to_vec()] }
    });
    let (pool, _) = pool();
    let wait = Duration::from_millis(10);
    let mut asked = 0;
    let mut patience = || {
        asked += 1;
        Some(More { wait, again: asked <= 2 })
    };
    let sent = Outgoing::new(to, b"12345678", wait);
    let reply = pool.ask(&Network::Os, sent, &mut patience, &mut |_| true).await.unwrap();
    assert_eq!(reply, b"12345678");
    assert!(asked >= 2);
}

#[tokio::test]
async fn nobody_there_is_known_at_once_and_to_all() {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (pool, _) = pool();
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    for number in 0..20 {
        let pool = Arc::clone(&pool);
        asking.spawn(async move { ask(&pool, gone, number).await.unwrap_err() });
    }
    for error in asking.join_all().await {
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let text = error.to_string();
        let port = text.strip_prefix("read udp 127.0.0.1:").unwrap();
        let (port, rest) = port.split_once("->").unwrap();
        assert_ne!(port.parse::<u16>().unwrap(), 0);
        assert_eq!(rest, format!("{gone}: read: connection refused"));
    }
    assert!(begun.elapsed() < SECOND);
}

#[tokio::test]
async fn large_replies_come_whole() {
    let (to, _) = server(|query| vec![query.repeat(65_500 / query.len())]);
    let (pool, _) = pool();
    let sent = Outgoing::new(to, b"1234567890", SECOND);
    let reply = pool.ask(&Network::Os, sent, &mut || None, &mut |_| true).await.unwrap();
    assert_eq!(reply.len(), 65_500);
}
