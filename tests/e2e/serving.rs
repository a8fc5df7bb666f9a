//! Answers over UDP and TCP, and what broken input does to them.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use wire::Rtype;

use crate::kit::{Server, framed, question, read_framed};

const SERVES: &str = "example.org:{port} {\n  bind 127.0.0.1\n  file example.org.zone\n}\n";

/// An OPT record that offers 1232 bytes.
const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

#[test]
fn answers_over_udp_and_tcp() {
    let server = Server::start(SERVES);
    for (id, (name, rtype, rcode, answers)) in [
        ("www.example.org", Rtype::A, 0, 1),
        ("x.wild.EXAMPLE.org", Rtype::A, 0, 1),
        ("www.example.org", Rtype::AAAA, 0, 0),
        ("nothing.example.org", Rtype::A, 3, 0),
        ("example.net", Rtype::A, 5, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let asked = question(id as u16, name, rtype, &OPT);
        for answer in [server.ask(&asked), server.ask_tcp(&asked)] {
            assert_eq!(
                (answer.id(), answer.rcode(), answer.answers()),
                (id as u16, rcode, answers)
            );
            assert_eq!(answer.authoritative(), rcode != 5, "{name}");
        }
    }
}

#[test]
fn too_long_for_udp_is_asked_again_over_tcp() {
    let server = Server::start(SERVES);
    let asked = question(9, "big.example.org", Rtype::TXT, &[]);
    let cut = server.ask(&asked);
    assert!(cut.truncated() && cut.0.len() <= 512 && cut.answers() < 6);
    let whole = server.ask_tcp(&asked);
    assert!(!whole.truncated());
    assert_eq!((whole.rcode(), whole.answers()), (0, 6));
    let asked = question(10, "big.example.org", Rtype::TXT, &OPT);
    assert_eq!(server.ask(&asked).answers(), 6, "EDNS offers enough room");
}

#[test]
fn one_connection_carries_many_queries() {
    let server = Server::start(SERVES);
    let mut stream = server.tcp();
    let all: Vec<u8> =
        (0..50).flat_map(|id| framed(&question(id, "www.example.org", Rtype::A, &[]))).collect();
    // In two pieces that end inside a message.
    let (first, second) = all.split_at(all.len() / 2 + 7);
    stream.write_all(first).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    stream.write_all(second).unwrap();
    let mut ids: Vec<u16> = (0..50).map(|_| read_framed(&mut stream).id()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..50).collect::<Vec<u16>>());
}

/// A xorshift generator: the same bytes in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Noise, or a query with a few bytes broken.
    fn message(&mut self) -> Vec<u8> {
        if self.next().is_multiple_of(2) {
            let len = self.next() % 700;
            return (0..len).map(|_| self.next() as u8).collect();
        }
        let mut message = question(self.next() as u16, "www.example.org", Rtype::A, &OPT);
        for _ in 0..self.next() % 6 {
            let at = self.next() as usize % message.len();
            message[at] = self.next() as u8;
        }
        message.truncate(message.len() - self.next() as usize % 3);
        message
    }
}

#[test]
fn noise_does_no_harm() {
    let server = Server::start(SERVES);
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    let socket = server.udp();
    socket.set_nonblocking(true).unwrap();
    let end = Instant::now() + Duration::from_secs(2);
    let mut sent = 0u32;
    while Instant::now() < end {
        for _ in 0..200 {
            sent += u32::from(socket.send(&noise.message()).is_ok());
            let mut buffer = [0; 4096];
            if let Ok(len) = socket.recv(&mut buffer) {
                assert!(len >= 12 && buffer[2] & 0x80 != 0, "only replies come back");
            }
        }
        let mut stream = server.tcp();
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        for _ in 0..20 {
            let message = noise.message();
            let bytes = if noise.next().is_multiple_of(4) { message } else { framed(&message) };
            if stream.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = stream.read(&mut [0; 4096]);
    }
    assert!(sent > 200, "{sent} datagrams");
    server.assert_serves();
    let said = server.said();
    assert!(!said.contains("panic"), "{said}");
}
