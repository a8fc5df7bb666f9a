//! Reload and shutdown while queries come in: every one is answered.

use std::collections::HashSet;
use std::io::Write;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wire::Rtype;

use crate::kit::{Server, framed, question, read_framed};

const SERVES: &str = "example.org:{port} {\n  bind 127.0.0.1\n  file example.org.zone\n}\n";

/// As many queries under way as fit every socket buffer: what is lost, the server lost.
const WINDOW: u64 = 100;
/// Queries in a second, at most.
const RATE: u64 = 5000;

/// Asks over and over from threads of its own.
struct Client {
    socket: Arc<UdpSocket>,
    counts: Arc<Counts>,
    sender: Option<JoinHandle<()>>,
    receiver: Option<JoinHandle<HashSet<u16>>>,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
    no_more: AtomicBool,
    closed: AtomicBool,
}

impl Client {
    fn start(server: &Server) -> Self {
        let socket = Arc::new(server.udp());
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let counts = Arc::new(Counts::default());
        let mut client = Self {
            socket: Arc::clone(&socket),
            counts: Arc::clone(&counts),
            sender: None,
            receiver: None,
        };
        client.receiver = Some(std::thread::spawn({
            let (socket, counts) = (Arc::clone(&socket), Arc::clone(&counts));
            move || receive(&socket, &counts)
        }));
        client.sender = Some(std::thread::spawn(move || send(&socket, &counts)));
        client
    }

    /// Stops to ask; returns once the last query is in the server's socket.
    fn stop_sending(&mut self) {
        self.counts.no_more.store(true, Ordering::Relaxed);
        self.sender.take().unwrap().join().unwrap();
    }

    /// Sends `count` at once: the server cannot have answered them when this returns.
    fn burst(&self, count: u64) {
        for _ in 0..count {
            let id = self.counts.sent.fetch_add(1, Ordering::Relaxed);
            self.socket.send(&question(id as u16, "www.example.org", Rtype::A, &[])).unwrap();
        }
    }

    /// How many queries were sent, after every one of them was answered.
    fn assert_all_answered(mut self) -> u64 {
        let sent = self.counts.sent.load(Ordering::Relaxed);
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.counts.received.load(Ordering::Relaxed) < sent && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.counts.closed.store(true, Ordering::Relaxed);
        let answered = self.receiver.take().unwrap().join().unwrap();
        let lost: Vec<u64> = (0..sent).filter(|id| !answered.contains(&(*id as u16))).collect();
        let count = lost.len();
        assert!(count == 0, "{count} of {sent} queries were lost, of them {:?}", lost.first());
        drop(self.socket);
        sent
    }
}

fn send(socket: &UdpSocket, counts: &Counts) {
    let start = Instant::now();
    while !counts.no_more.load(Ordering::Relaxed) {
        let sent = counts.sent.load(Ordering::Relaxed);
        let due = start.elapsed().as_micros() as u64 * RATE / 1_000_000;
        let waiting = sent - counts.received.load(Ordering::Relaxed);
        if sent >= due || waiting >= WINDOW {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        assert!(sent < 65_536, "an id for each query");
        socket.send(&question(sent as u16, "www.example.org", Rtype::A, &[])).unwrap();
        counts.sent.store(sent + 1, Ordering::Relaxed);
    }
}

/// Collects the ids of answers, each of which must be right.
fn receive(socket: &UdpSocket, counts: &Counts) -> HashSet<u16> {
    let mut ids = HashSet::new();
    let mut buffer = [0; 4096];
    while !counts.closed.load(Ordering::Relaxed) {
        let Ok(len) = socket.recv(&mut buffer) else { continue };
        let answer = crate::kit::Answer(buffer[..len].to_vec());
        assert_eq!((answer.rcode(), answer.answers()), (0, 1), "id {}", answer.id());
        assert!(ids.insert(answer.id()), "one answer for each query");
        counts.received.store(ids.len() as u64, Ordering::Relaxed);
    }
    ids
}

#[test]
fn sigterm_under_load_answers_all_that_was_received() {
    for _ in 0..5 {
        let mut server = Server::start(SERVES);
        let mut client = Client::start(&server);
        std::thread::sleep(Duration::from_millis(200));
        client.stop_sending();
        // What sockets hold when the signal comes: one connection's and the last datagrams.
        let mut stream = server.tcp();
        let mut asked = Vec::new();
        for id in 0..50 {
            asked.extend(framed(&question(id, "www.example.org", Rtype::A, &[])));
        }
        stream.write_all(&asked).unwrap();
        client.burst(60);
        server.signal("TERM");
        let answered: HashSet<u16> = (0..50).map(|_| read_framed(&mut stream).id()).collect();
        assert_eq!(answered.len(), 50);
        let sent = client.assert_all_answered();
        assert!(sent > 50, "{sent} queries");
        assert_eq!(server.wait(), Some(0));
    }
}

#[test]
fn reload_under_load_loses_nothing() {
    let mut server = Server::start(SERVES);
    let mut client = Client::start(&server);
    let end = Instant::now() + Duration::from_secs(5);
    let mut reloads = 0;
    while Instant::now() < end {
        // Each configuration differs from the one before, in blocks and in sockets.
        let sockets = format!("  multisocket {}\n  file", 1 + reloads % 3);
        let base = SERVES.replace("{port}", &server.port.to_string()).replace("  file", &sockets);
        let more = if reloads % 2 == 0 {
            format!("org:{} {{\n  bind 127.0.0.1\n  debug\n}}\n", server.port)
        } else {
            String::new()
        };
        server.scratch.write("Corefile", &format!("{base}{more}"));
        server.signal(if reloads % 2 == 0 { "USR1" } else { "HUP" });
        reloads += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    client.stop_sending();
    let sent = client.assert_all_answered();
    assert!(sent > 1000, "{sent} queries");
    server.wait_for("Reloading complete");
    let done = server.said().matches("Reloading complete").count();
    assert!(done >= 5, "{done} of {reloads} reloads");
    assert!(!server.said().contains("ERROR"), "{}", server.said());
}

#[test]
fn a_broken_corefile_changes_nothing() {
    let mut server = Server::start(SERVES);
    server.scratch.write("Corefile", "example.org {\n  fiel example.org.zone\n}\n");
    server.signal("USR1");
    server.wait_for("the old configuration keeps serving");
    let said = server.said();
    let record =
        "[ERROR] Restart failed: Corefile:2:3: Unknown directive 'fiel'; did you mean `file`?\n";
    assert!(said.contains(record), "{said}");
    assert_eq!(said.matches("Restart failed").count(), 1, "{said}");
    server.assert_serves();
    server.scratch.write("Corefile", &SERVES.replace("{port}", &server.port.to_string()));
    server.signal("HUP");
    server.wait_for("Reloading complete");
    server.assert_serves();
}
