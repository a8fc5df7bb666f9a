//! UDP over real sockets.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::*;
use net::{Limits, ListenSpec};

fn exchange(socket: &UdpSocket, message: &[u8]) -> Vec<u8> {
    socket.send(message).unwrap();
    let mut buffer = vec![0; 70_000];
    let len = socket.recv(&mut buffer).unwrap();
    buffer.truncate(len);
    buffer
}

#[test]
fn both_families_are_answered() {
    let workers = workers(2, Limits::default());
    for addr in ["127.0.0.1:0", "[::1]:0"] {
        let (_listener, addr, _) = listen(&workers, addr);
        assert_ne!(addr.port(), 0);
        let socket = client(addr);
        for id in 0..200 {
            let reply = exchange(&socket, &message(id, READY, b"hello"));
            assert_eq!(common::id(&reply), id);
            assert_eq!(&reply[12..], b"\0hello");
            assert_eq!(reply[2] & 0x80, 0x80);
        }
        let text = exchange(&socket, &message(1, ADDRESSES, &[]));
        let expected = format!("{} {addr}", socket.local_addr().unwrap());
        assert_eq!(String::from_utf8_lossy(&text[12..]), expected);
    }
    assert!(workers.stats().udp_received >= 402);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    let workers = workers(2, Limits::default());
    for (bound, asked) in [
        ("0.0.0.0:0", ["127.0.0.1", "127.0.0.2", "127.3.2.1"].as_slice()),
        ("[::]:0", &["127.0.0.1", "127.0.0.2", "::1"]),
    ] {
        let (_listener, addr, _) = listen(&workers, bound);
        for ip in asked {
            let to = SocketAddr::new(ip.parse::<IpAddr>().unwrap(), addr.port());
            // Connected: a reply from elsewhere would not be received.
            let socket = client(to);
            for what in [ADDRESSES, ADDRESSES] {
                let text = exchange(&socket, &message(1, what, &[]));
                let expected = format!("{} {to}", socket.local_addr().unwrap());
                assert_eq!(String::from_utf8_lossy(&text[12..]), expected);
            }
            assert_eq!(exchange(&socket, &message(2, WAITS, &[3]))[12], WAITS);
        }
    }
    workers.shutdown(Duration::ZERO);
}

#[test]
fn who_waits_needs_no_more_memory_than_its_message() {
    let workers = workers(1, Limits::default());
    let (_listener, addr, echo) = listen(&workers, "127.0.0.1:0");
    let socket = client(addr);
    for id in 0..200 {
        assert_eq!(exchange(&socket, &message(id, READY, &[7; 60_000])).len(), 60_013);
        assert_eq!(exchange(&socket, &message(id, WAITS, &[0; 500]))[12], WAITS);
    }
    let room = echo.room.load(Ordering::Relaxed);
    assert!((513..4096).contains(&room), "{room} octets");
    workers.shutdown(Duration::ZERO);
}

#[test]
fn replies_overtake_those_that_wait() {
    let workers = workers(1, Limits::default());
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let socket = client(addr);
    for id in 0..100 {
        socket.send(&message(id, WAITS, &[100])).unwrap();
    }
    let reply = exchange(&socket, &message(1000, READY, &[]));
    assert_eq!(id(&reply), 1000);
    let mut seen = [false; 100];
    let mut buffer = [0; 100];
    for _ in 0..100 {
        socket.recv(&mut buffer).unwrap();
        seen[usize::from(id(&buffer))] = true;
    }
    assert!(seen.iter().all(|&seen| seen));
    eventually("all places given back", || workers.stats().waiting == 0);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn waiting_is_bounded() {
    let workers = workers(1, Limits { waiting: 10, ..Limits::default() });
    let (listener, addr, echo) = listen(&workers, "127.0.0.1:0");
    let socket = client(addr);
    for id in 0..30 {
        socket.send(&message(id, NEVER, &[])).unwrap();
    }
    let mut buffer = [0; 100];
    for _ in 0..20 {
        socket.recv(&mut buffer).unwrap();
        assert_eq!(buffer[3], REFUSED);
    }
    assert_eq!(echo.refused.load(Ordering::Relaxed), 20);
    let stats = workers.stats();
    assert_eq!((stats.waiting, stats.waiting_refused), (10, 20));
    assert_eq!(exchange(&socket, &message(99, READY, &[]))[1], 99);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let start = Instant::now();
    runtime.block_on(listener.close(Duration::from_millis(100)));
    assert!((100..1000).contains(&start.elapsed().as_millis()));
    eventually("all places given back", || workers.stats().waiting == 0);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn a_panic_costs_its_batch_only() {
    let workers = workers(1, Limits::default());
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let socket = client(addr);
    for what in [PANIC, LATE_PANIC] {
        socket.send(&message(1, what, &[])).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(exchange(&socket, &message(2, READY, &[]))[1], 2);
    }
    eventually("panics counted", || workers.stats().panics == 2);
    assert_eq!(workers.stats().waiting, 0);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn large_and_odd_datagrams() {
    let workers = workers(1, Limits::default());
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let socket = client(addr);
    for len in [0, 1, 11] {
        socket.send(&vec![0; len]).unwrap();
    }
    socket.send(&message(1, SILENT, &[])).unwrap();
    let large = message(2, READY, &vec![7; 65_507 - 13]);
    assert_eq!(large.len(), 65_507);
    assert_eq!(exchange(&socket, &large)[12..], large[12..]);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn many_sockets_one_port_and_two_listeners() {
    let workers = workers(2, Limits::default());
    let mut spec = ListenSpec::dns("127.0.0.1:0".parse().unwrap());
    spec.sockets = Some(5);
    let (_one, first, _) = listen_with(&workers, &spec);
    let (two, second, _) = listen(&workers, "127.0.0.1:0");
    assert_ne!(first, second);
    for id in 0..50 {
        assert_eq!(common::id(&exchange(&client(first), &message(id, READY, &[]))), id);
        assert_eq!(common::id(&exchange(&client(second), &message(id, READY, &[]))), id);
    }
    drop(two);
    eventually("the second is closed", || {
        let socket = client(second);
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        socket.send(&message(1, READY, &[])).is_err() || socket.recv(&mut [0; 100]).is_err()
    });
    assert_eq!(exchange(&client(first), &message(7, READY, &[]))[1], 7);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn an_address_that_is_not_ours_is_an_error() {
    let workers = workers(2, Limits::default());
    let spec = ListenSpec::dns("192.0.2.1:0".parse().unwrap());
    let handler = std::sync::Arc::new(Echo::default());
    assert!(workers.listen(&spec, handler).is_err());
    workers.shutdown(Duration::ZERO);
}

/// Clients ask without pause while listeners on the same port come and go, as in a reload that
/// opens the new sockets before it closes the old ones. Every query is answered.
#[test]
fn closing_under_load_loses_nothing() {
    let workers = workers(2, Limits::default());
    let (mut listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let done = AtomicBool::new(false);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let lost: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (mut asked, mut lost) = (0_u64, 0);
                    let mut buffer = [0; 100];
                    while !done.load(Ordering::Relaxed) {
                        // A fresh port each time spreads over all sockets of the port.
                        let socket = client(addr);
                        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                        for id in 0..16 {
                            let what = if id % 4 == 0 { WAITS } else { READY };
                            socket.send(&message(id, what, &[2])).unwrap();
                        }
                        asked += 16;
                        for answered in 0..16 {
                            if socket.recv(&mut buffer).is_err() {
                                lost += 16 - answered;
                                break;
                            }
                        }
                    }
                    assert!(asked > 1000, "{asked} asked");
                    lost
                })
            })
            .collect();
        for _ in 0..40 {
            std::thread::sleep(Duration::from_millis(20));
            let (next, same, _) = listen(&workers, &addr.to_string());
            assert_eq!(same, addr);
            let old = std::mem::replace(&mut listener, next);
            runtime.block_on(old.close(Duration::from_secs(2)));
        }
        done.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(lost, 0);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn what_was_received_before_closing_is_answered() {
    let workers = workers(1, Limits::default());
    let (listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let socket = client(addr);
    // Fewer than fit the client's own receive buffer.
    for id in 0..200 {
        let what = if id % 5 == 0 { WAITS } else { READY };
        socket.send(&message(id, what, &[50])).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(listener.close(Duration::from_secs(5)));
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let answered = (0..200).take_while(|_| socket.recv(&mut [0; 100]).is_ok()).count();
    assert_eq!(answered, 200);
    workers.shutdown(Duration::ZERO);
}
