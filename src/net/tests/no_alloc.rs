//! Receiving, answering at once and sending allocate nothing once warm.

#![allow(unsafe_code, reason = "a global allocator that counts is an unsafe trait")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::*;
use net::Limits;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Only what a worker does counts: the test's own thread may allocate.
fn count() {
    if net::current_worker().is_some() {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is the system allocator's doing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_udp_path_allocates_nothing() {
    let workers = workers(1, Limits::default());
    for bound in ["127.0.0.1:0", "[::]:0"] {
        let (_listener, mut addr, _) = listen(&workers, bound);
        if addr.ip().is_unspecified() {
            addr.set_ip("127.0.0.1".parse().unwrap());
        }
        let socket = client(addr);
        let mut buffer = [0; 256];
        let mut ask = |rounds: u16, many: u16| {
            for _ in 0..rounds {
                for id in 0..many {
                    socket.send(&message(id, READY, &[1; 40])).unwrap();
                }
                for _ in 0..many {
                    socket.recv(&mut buffer).unwrap();
                }
            }
        };
        ask(50, 150);
        ask(50, 1);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        ask(50, 150);
        ask(200, 1);
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "at {bound}");
    }
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > 0, "the counter counts");
    workers.shutdown(Duration::ZERO);
}

#[test]
fn the_tcp_path_allocates_nothing() {
    use std::io::{Read, Write};
    let workers = workers(1, Limits::default());
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    let batch: Vec<u8> = (0..40).flat_map(|id| framed(&message(id, READY, &[1; 40]))).collect();
    let mut reply = vec![0; batch.len()];
    let mut ask = |rounds: usize| {
        for _ in 0..rounds {
            stream.write_all(&batch).unwrap();
            stream.read_exact(&mut reply).unwrap();
        }
    };
    ask(50);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    ask(100);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    workers.shutdown(Duration::ZERO);
}
