//! TCP over real sockets.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::*;
use net::{Change, Limits, ListenSpec, TcpTimeouts, Workers};

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).unwrap();
    message
}

fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 16]), Ok(0))
        || stream.take_error().is_ok_and(|error| error.is_some())
}

fn quick() -> TcpTimeouts {
    TcpTimeouts {
        read: Duration::from_millis(200),
        write: Duration::from_millis(300),
        idle: Duration::from_millis(400),
        max_queries: None,
    }
}

fn listen_quick(workers: &Workers) -> (net::Listener, SocketAddr) {
    let mut spec = ListenSpec::dns("127.0.0.1:0".parse().unwrap());
    spec.tcp = quick();
    let (listener, addr, _) = listen_with(workers, &spec);
    (listener, addr)
}

#[test]
fn a_thousand_queries_on_one_connection() {
    let workers = workers(1, Limits::default());
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut stream = connect(addr);
    let all: Vec<u8> = (0..1000).flat_map(|id| framed(&message(id, READY, &[9; 30]))).collect();
    stream.write_all(&all).unwrap();
    for id in 0..1000 {
        let reply = receive(&mut stream);
        assert_eq!(common::id(&reply), id);
        assert_eq!(&reply[13..], &[9; 30]);
    }
    assert_eq!(workers.stats().tcp_sent, 1000);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn byte_by_byte_and_both_families() {
    let workers = workers(2, Limits::default());
    for bound in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
        let (_listener, mut addr, _) = listen(&workers, bound);
        if addr.ip().is_unspecified() {
            addr.set_ip("127.0.0.1".parse().unwrap());
        }
        let mut stream = connect(addr);
        for byte in framed(&message(7, ADDRESSES, &[])) {
            stream.write_all(&[byte]).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        let expected = format!("{} {addr}", stream.local_addr().unwrap());
        assert_eq!(String::from_utf8_lossy(&receive(&mut stream)[12..]), expected);
    }
    workers.shutdown(Duration::ZERO);
}

#[test]
fn answers_overtake_each_other() {
    let workers = workers(1, Limits::default());
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut stream = connect(addr);
    let all: Vec<u8> = (0..90)
        .flat_map(|id| match id % 3 {
            0 => framed(&message(id, WAITS, &[200])),
            1 => framed(&message(id, READY, &[])),
            _ => framed(&message(id, SILENT, &[])),
        })
        .collect();
    stream.write_all(&all).unwrap();
    let order: Vec<u16> = (0..60).map(|_| id(&receive(&mut stream)) % 3).collect();
    assert!(order[..30].iter().all(|&kind| kind == 1), "{order:?}");
    assert!(order[30..].iter().all(|&kind| kind == 0), "{order:?}");
    workers.shutdown(Duration::ZERO);
}

#[test]
fn more_waiting_than_the_pipeline_takes() {
    let workers = workers(1, Limits { tcp_pipeline: 8, ..Limits::default() });
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut stream = connect(addr);
    let all: Vec<u8> = (0..64).flat_map(|id| framed(&message(id, WAITS, &[20]))).collect();
    stream.write_all(&all).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    std::thread::sleep(Duration::from_millis(10));
    assert!(workers.stats().waiting <= 8);
    let mut seen: Vec<u16> = (0..64).map(|_| id(&receive(&mut stream))).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..64).collect::<Vec<_>>());
    assert!(is_closed(&mut stream));
    workers.shutdown(Duration::ZERO);
}

#[test]
fn no_room_to_wait_is_refused() {
    let workers = workers(1, Limits { waiting: 3, ..Limits::default() });
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut stream = connect(addr);
    let all: Vec<u8> = (0..5).flat_map(|id| framed(&message(id, NEVER, &[]))).collect();
    stream.write_all(&all).unwrap();
    assert_eq!([id(&receive(&mut stream)), id(&receive(&mut stream))], [3, 4]);
    assert_eq!(workers.stats().waiting, 3);
    // A query whose connection died is dropped.
    stream.shutdown(Shutdown::Both).unwrap();
    drop(stream);
    let mut second = connect(addr);
    second.write_all(&framed(&message(9, READY, &[]))).unwrap();
    assert_eq!(id(&receive(&mut second)), 9);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn the_largest_message() {
    let workers = workers(1, Limits::default());
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut stream = connect(addr);
    let large = message(1, READY, &vec![7; 65_535 - 13]);
    let writer = {
        let (mut stream, large) = (stream.try_clone().unwrap(), framed(&large));
        std::thread::spawn(move || (0..20).for_each(|_| stream.write_all(&large).unwrap()))
    };
    for _ in 0..20 {
        let reply = receive(&mut stream);
        assert_eq!(reply.len(), 65_535);
        assert_eq!(reply[12..], large[12..]);
    }
    writer.join().unwrap();
    workers.shutdown(Duration::ZERO);
}

#[test]
fn who_is_slow_to_ask_is_closed() {
    let workers = workers(1, Limits::default());
    let (_listener, addr) = listen_quick(&workers);
    // Nothing, a part of a message, a part after a whole message, and a byte now and then.
    let mut nothing = connect(addr);
    let mut part = connect(addr);
    part.write_all(&[0, 40, 1]).unwrap();
    let mut idle = connect(addr);
    idle.write_all(&framed(&message(1, READY, &[]))).unwrap();
    receive(&mut idle);
    let start = Instant::now();
    let mut drip = connect(addr);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while drip.write_all(&[1]).is_ok() && start.elapsed() < Duration::from_secs(3) {
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(start.elapsed() < Duration::from_millis(1500));
        });
        assert!(is_closed(&mut nothing));
        assert!(is_closed(&mut part));
        assert!((100..380).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        assert!(is_closed(&mut idle));
        assert!((380..900).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    });
    eventually("all closed", || workers.stats().tcp_open == 0);
    assert_eq!(workers.stats().tcp_timed_out, 4);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn who_is_busy_is_not_idle() {
    let workers = workers(1, Limits::default());
    let (_listener, addr) = listen_quick(&workers);
    let mut stream = connect(addr);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1000) {
        stream.write_all(&framed(&message(1, READY, &[]))).unwrap();
        receive(&mut stream);
        std::thread::sleep(Duration::from_millis(150));
    }
    stream.write_all(&framed(&message(1, NEVER, &[]))).unwrap();
    std::thread::sleep(Duration::from_millis(800));
    stream.write_all(&framed(&message(2, READY, &[]))).unwrap();
    assert_eq!(id(&receive(&mut stream)), 2);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn who_does_not_read_is_held_back_and_closed() {
    let workers = workers(1, Limits::default());
    let (_listener, addr) = listen_quick(&workers);
    let mut stream = connect(addr);
    stream.set_write_timeout(Some(Duration::from_millis(150))).unwrap();
    let query = framed(&message(1, READY, &[3; 2000]));
    let mut sent = 0_u64;
    while stream.write_all(&query).is_ok() {
        sent += 1;
        assert!(sent < 100_000, "nobody holds us back");
    }
    assert!(workers.stats().tcp_received < 50_000);
    eventually("closed", || workers.stats().tcp_open == 0);
    assert_eq!(workers.stats().tcp_timed_out, 1);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn rubbish_ends_the_connection_after_what_was_asked() {
    let workers = workers(1, Limits::default());
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    for rubbish in [&[0, 0][..], &[0, 3, 1, 2, 3]] {
        let mut stream = connect(addr);
        let mut bytes = framed(&message(5, WAITS, &[10]));
        bytes.extend_from_slice(rubbish);
        stream.write_all(&bytes).unwrap();
        assert_eq!(id(&receive(&mut stream)), 5);
        assert!(is_closed(&mut stream));
    }
    workers.shutdown(Duration::ZERO);
}

#[test]
fn a_connection_has_its_number_of_queries() {
    let workers = workers(1, Limits::default());
    let mut spec = ListenSpec::dns("127.0.0.1:0".parse().unwrap());
    spec.tcp.max_queries = Some(3);
    let (_listener, addr, _) = listen_with(&workers, &spec);
    let mut stream = connect(addr);
    for id in 0..3 {
        stream.write_all(&framed(&message(id, READY, &[]))).unwrap();
        assert_eq!(common::id(&receive(&mut stream)), id);
    }
    assert!(is_closed(&mut stream));
    workers.shutdown(Duration::ZERO);
}

#[test]
fn changed_bounds_are_taken_without_closing() {
    let workers = workers(2, Limits::default());
    let mut spec = ListenSpec::dns("127.0.0.1:0".parse().unwrap());
    let (listener, addr, _) = listen_with(&workers, &spec);
    assert_eq!(listener.change_to(&spec, 2), Change::None);
    let ask = |stream: &mut TcpStream, id: u16| {
        stream.write_all(&framed(&message(id, READY, &[]))).unwrap();
        assert_eq!(common::id(&receive(stream)), id);
    };
    let mut before = connect(addr);
    ask(&mut before, 1);
    let bounds = [
        TcpTimeouts { max_queries: Some(1), ..spec.tcp },
        TcpTimeouts { idle: Duration::from_millis(100), ..spec.tcp },
        TcpTimeouts { read: Duration::from_millis(100), ..spec.tcp },
        TcpTimeouts { write: Duration::from_millis(100), ..spec.tcp },
    ];
    for (number, tcp) in bounds.into_iter().enumerate() {
        spec.tcp = tcp;
        assert_eq!(listener.change_to(&spec, 2), Change::Apply, "{tcp:?}");
        listener.apply(&spec);
        assert_eq!(listener.change_to(&spec, 2), Change::None, "{tcp:?}");
        let mut after = connect(addr);
        match number {
            0 | 1 => ask(&mut after, 2),
            // Half a message.
            2 => after.write_all(&framed(&message(2, READY, &[]))[..5]).unwrap(),
            _ => continue,
        }
        assert!(is_closed(&mut after), "{tcp:?}");
    }
    // A connection keeps the bounds that it began with, and none of it was lost.
    ask(&mut before, 3);
    for sockets in [Some(1), Some(3)] {
        let spec = ListenSpec { sockets, ..spec.clone() };
        assert_eq!(listener.change_to(&spec, 2), Change::Reopen);
    }
    assert_eq!(listener.change_to(&ListenSpec { sockets: Some(2), ..spec }, 2), Change::None);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn too_many_connections_push_out_the_idlest() {
    let workers = workers(1, Limits { tcp_connections: 4, ..Limits::default() });
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut streams: Vec<TcpStream> = (0..4).map(|_| connect(addr)).collect();
    eventually("four open", || workers.stats().tcp_open == 4);
    for stream in &mut streams[1..] {
        stream.write_all(&framed(&message(1, READY, &[]))).unwrap();
        receive(stream);
    }
    let mut fifth = connect(addr);
    fifth.write_all(&framed(&message(5, READY, &[]))).unwrap();
    assert_eq!(id(&receive(&mut fifth)), 5);
    assert!(is_closed(&mut streams[0]));
    // Those that wait for an answer are not pushed out: then the newcomer is refused.
    let mut all = vec![fifth];
    all.extend(streams.drain(1..));
    for stream in &mut all {
        stream.write_all(&framed(&message(1, NEVER, &[]))).unwrap();
    }
    eventually("all wait", || workers.stats().waiting == 4);
    assert!(is_closed(&mut connect(addr)));
    let stats = workers.stats();
    assert_eq!((stats.tcp_evicted, stats.tcp_refused, stats.tcp_open), (1, 1, 4));
    workers.shutdown(Duration::ZERO);
}

#[test]
fn a_panic_costs_its_batch_only() {
    let workers = workers(1, Limits::default());
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut stream = connect(addr);
    for what in [PANIC, LATE_PANIC] {
        stream.write_all(&framed(&message(1, what, &[]))).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(&framed(&message(2, READY, &[]))).unwrap();
        assert_eq!(id(&receive(&mut stream)), 2);
    }
    assert_eq!(workers.stats().panics, 2);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn closing_answers_what_came_and_hangs_up() {
    let workers = workers(2, Limits::default());
    let (listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut streams: Vec<TcpStream> = (0..20).map(|_| connect(addr)).collect();
    for stream in &mut streams {
        for id in 0..40 {
            let what = if id % 2 == 0 { READY } else { WAITS };
            stream.write_all(&framed(&message(id, what, &[30]))).unwrap();
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(listener.close(Duration::from_secs(5)));
    for stream in &mut streams {
        let mut seen: Vec<u16> = (0..40).map(|_| id(&receive(stream))).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..40).collect::<Vec<_>>());
        assert!(is_closed(stream));
    }
    assert!(TcpStream::connect(addr).is_err());
    assert_eq!(workers.stats().tcp_open, 0);
    workers.shutdown(Duration::ZERO);
}

/// Closes the listener; the thread returns when it is closed. The listener is gone already when this
/// returns, so the connections know.
fn close(listener: net::Listener, addr: SocketAddr) -> std::thread::JoinHandle<()> {
    let closing = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(listener.close(Duration::from_secs(5)));
    });
    eventually("nobody is let in", || TcpStream::connect(addr).is_err());
    closing
}

#[test]
fn what_comes_while_others_wait_for_their_answers_is_answered() {
    let workers = workers(1, Limits::default());
    let (listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut stream = connect(addr);
    stream.write_all(&framed(&message(1, WAITS, &[250]))).unwrap();
    eventually("it waits", || workers.stats().waiting == 1);
    let closing = close(listener, addr);
    stream.write_all(&framed(&message(2, READY, &[]))).unwrap();
    // In two parts, as some write the length first.
    let last = framed(&message(3, READY, &[]));
    stream.write_all(&last[..2]).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    stream.write_all(&last[2..]).unwrap();
    assert_eq!([2, 3, 1].map(|_| id(&receive(&mut stream))), [2, 3, 1]);
    assert!(is_closed(&mut stream));
    closing.join().unwrap();
    workers.shutdown(Duration::ZERO);
}

#[test]
fn half_a_message_does_not_delay_the_end() {
    let workers = workers(1, Limits::default());
    let (listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut stream = connect(addr);
    stream.write_all(&[0, 40, 1]).unwrap();
    eventually("it is open", || workers.stats().tcp_open == 1);
    let start = Instant::now();
    close(listener, addr).join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(is_closed(&mut stream));
    workers.shutdown(Duration::ZERO);
}

/// A socket closed with octets unread resets the connection: the client's system then refuses to send,
/// and others than Linux forget what was not read.
#[test]
fn a_client_that_goes_on_gets_its_answers_and_no_reset() {
    let workers = workers(1, Limits::default());
    let (listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut stream = connect(addr);
    for id in 0..40 {
        stream.write_all(&framed(&message(id, READY, &[]))).unwrap();
    }
    eventually("all are answered", || workers.stats().tcp_sent == 40);
    let closing = close(listener, addr);
    for id in 40..60 {
        stream.write_all(&framed(&message(id, READY, &[]))).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    (0..40).for_each(|expected| assert_eq!(id(&receive(&mut stream)), expected));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    // The client closes, and the server does not wait any longer.
    drop(stream);
    closing.join().unwrap();
    workers.shutdown(Duration::ZERO);
}

/// What a client wrote, and what of it was answered.
struct Asked {
    /// Ids up to this were written before the end was there to be read. What one end of a connection
    /// inside a machine writes is at the other when the call returns, so these came before the FIN.
    before_the_end: u16,
    answered: Vec<bool>,
}

/// Asks, some queries ahead of the answers, until the server hangs up.
fn ask_until_the_end(mut stream: TcpStream) -> Asked {
    const AHEAD: u16 = 8;
    stream.set_nonblocking(true).unwrap();
    let mut asked = Asked { before_the_end: 0, answered: vec![false; usize::from(u16::MAX)] };
    let (mut input, mut buffer) = (Vec::new(), [0; 16 << 10]);
    let (mut last, mut open) = (0_u16, 0);
    loop {
        if open < AHEAD && last < u16::MAX - 1 {
            last += 1;
            open += 1;
            // Nobody reads any more: the end is there to be read, too.
            let _ = stream.write_all(&framed(&message(last, READY, &[])));
        }
        match stream.read(&mut buffer) {
            Ok(0) => return asked,
            Ok(len) => input.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                asked.before_the_end = last;
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
        let mut rest = &input[..];
        while let Some(answer) = rest.get(..2 + 13) {
            asked.answered[usize::from(id(&answer[2..]))] = true;
            open -= 1;
            rest = &rest[2 + 13..];
        }
        input.drain(..input.len() - rest.len());
    }
}

#[test]
fn closing_under_load_answers_what_came_before_the_fin() {
    let workers = workers(2, Limits::default());
    let (listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let clients: Vec<_> = (0..20)
        .map(|_| connect(addr))
        .map(|stream| std::thread::spawn(move || ask_until_the_end(stream)))
        .collect();
    eventually("load", || workers.stats().tcp_sent > 10_000);
    close(listener, addr).join().unwrap();
    let (mut all, mut lost) = (0, 0);
    for client in clients {
        let asked = client.join().unwrap();
        all += usize::from(asked.before_the_end);
        let ids = 1..=usize::from(asked.before_the_end);
        lost += ids.filter(|&id| !asked.answered[id]).count();
    }
    // A query that comes between the last look at a socket and its FIN, the next system call, crosses
    // with the FIN. Before sockets themselves were looked at, up to fourteen were lost.
    assert!(lost <= 2, "{lost} of {all} queries were lost");
    workers.shutdown(Duration::ZERO);
}

#[test]
fn closing_does_not_wait_longer_than_its_grace() {
    let workers = workers(1, Limits::default());
    let (listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut waits = connect(addr);
    waits.write_all(&framed(&message(1, NEVER, &[]))).unwrap();
    eventually("it waits", || workers.stats().waiting == 1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let start = Instant::now();
    runtime.block_on(listener.close(Duration::from_millis(150)));
    assert!((150..900).contains(&start.elapsed().as_millis()));
    assert!(is_closed(&mut waits));
    eventually("places given back", || workers.stats().waiting == 0);
    workers.shutdown(Duration::ZERO);
}

/// Half-open connections beyond the bound, each sending a byte now and then, disturb nobody.
#[test]
fn slow_connections_are_no_hindrance() {
    let workers = workers(2, Limits { tcp_connections: 100, ..Limits::default() });
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut slow: Vec<TcpStream> = (0..400).map(|_| connect(addr)).collect();
    for stream in &mut slow {
        // Those pushed out already cannot be written to.
        let _ = stream.write_all(&[0]);
    }
    let datagrams = client(addr);
    for id in 0..100 {
        let start = Instant::now();
        datagrams.send(&message(id, READY, &[])).unwrap();
        datagrams.recv(&mut [0; 100]).unwrap();
        let mut stream = connect(addr);
        stream.write_all(&framed(&message(id, WAITS, &[1]))).unwrap();
        assert_eq!(common::id(&receive(&mut stream)), id);
        assert!(start.elapsed() < Duration::from_millis(500));
    }
    assert!(workers.stats().tcp_open <= 200);
    workers.shutdown(Duration::ZERO);
}

/// Many large answers that had to wait, to a client that reads late.
#[test]
fn large_answers_that_waited_all_arrive() {
    let workers = workers(1, Limits::default());
    let (_listener, addr, _) = listen(&workers, "127.0.0.1:0");
    let mut stream = connect(addr);
    let mut writer = stream.try_clone().unwrap();
    let query = |id| framed(&message(id, WAITS, &[20; 30_000]));
    let sender = std::thread::spawn(move || {
        (0..300).for_each(|id| writer.write_all(&query(id)).unwrap());
    });
    std::thread::sleep(Duration::from_millis(300));
    let mut seen: Vec<u16> = (0..300).map(|_| id(&receive(&mut stream))).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
    sender.join().unwrap();
    workers.shutdown(Duration::ZERO);
}
