//! Receiving, answering at once and sending allocate nothing once warm, on any thread.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use common::*;
use net::Limits;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// How often any thread allocated while `work` was done.
fn allocations(mut work: impl FnMut()) -> u64 {
    let before = dhat::HeapStats::get().total_blocks;
    work();
    dhat::HeapStats::get().total_blocks - before
}

/// One test, so that no other thread of the test allocates meanwhile.
#[test]
fn the_fast_path_allocates_nothing() {
    let _profiler = dhat::Profiler::builder().testing().build();
    assert!(allocations(|| drop(Box::new(1))) > 0, "the counter counts");
    let workers = workers(1, Limits::default());
    for bound in ["127.0.0.1:0", "[::]:0"] {
        let (_listener, mut addr, _) = listen(&workers, bound);
        if addr.ip().is_unspecified() {
            addr.set_ip("127.0.0.1".parse().unwrap());
        }
        let counted = over_udp(addr);
        assert_eq!(counted, 0, "UDP at {bound}");
    }
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    assert_eq!(over_tcp(addr), 0, "TCP");
    workers.shutdown(Duration::ZERO);
}

fn over_udp(addr: SocketAddr) -> u64 {
    let socket = client(addr);
    let messages: Vec<Vec<u8>> = (0..150).map(|id| message(id, READY, &[1; 40])).collect();
    let mut buffer = [0; 256];
    let mut ask = |rounds: u16, many: usize| {
        for _ in 0..rounds {
            for message in &messages[..many] {
                socket.send(message).unwrap();
            }
            for _ in 0..many {
                socket.recv(&mut buffer).unwrap();
            }
        }
    };
    ask(50, 150);
    ask(50, 1);
    allocations(|| {
        ask(50, 150);
        ask(200, 1);
    })
}

fn over_tcp(addr: SocketAddr) -> u64 {
    let mut stream = TcpStream::connect(addr).unwrap();
    let batch: Vec<u8> = (0..40).flat_map(|id| framed(&message(id, READY, &[1; 40]))).collect();
    let mut reply = vec![0; batch.len()];
    let mut ask = |rounds: usize| {
        for _ in 0..rounds {
            stream.write_all(&batch).unwrap();
            stream.read_exact(&mut reply).unwrap();
        }
    };
    ask(50);
    allocations(|| ask(100))
}
