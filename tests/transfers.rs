//! Zone transfers over real connections: clients that read slowly, and the bounds.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catena::server::{CorefileSource, Options, Process};
use chain::memory::Memory;
use wire::{Message, Rcode, Rtype};

/// Records of the zone beside SOA and NS, each of about a kilobyte: more than the kernel buffers for a
/// client that does not read.
const RECORDS: usize = 20_000;
/// Clients that do not read.
const SLOW: usize = 20;

fn write_zone(dir: &Path) {
    let mut text =
        "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns.example.net.\nwww A 192.0.2.1\n".to_owned();
    for number in 3..RECORDS {
        let part = format!("\"{}\"", "x".repeat(240));
        let _ = writeln!(text, "t{number} TXT {part} {part} {part} {part}");
    }
    std::fs::write(dir.join("zone"), text).unwrap();
}

/// A server of the zone with these options of `transfer`, and its address.
async fn server(dir: &Path, options: &str) -> (Process, SocketAddr) {
    let zone = dir.join("zone");
    let text = format!(
        "example.org:0 {{\n bind 127.0.0.1\n transfer {{\n to *\n {options}\n }}\n file {}\n}}\n",
        zone.display()
    );
    let source = CorefileSource { name: "test".into(), path: None, text };
    let options = Options {
        registry: catena::REGISTRY,
        port: 0,
        workers: 1,
        memory: Arc::new(Memory::new(u64::MAX)),
        watcher: None,
    };
    let process = Process::start(source, options).await.map_err(|it| it.text()).unwrap();
    let address = process.local_addresses()[0];
    (process, address)
}

fn ask(address: SocketAddr, qtype: Rtype, name: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut message = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(name);
    message.extend_from_slice(b"\x07example\x03org\0");
    message.extend_from_slice(&qtype.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    let framed = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
    stream.write_all(&framed).unwrap();
    stream
}

/// The rcode and the number of answer records of the next message.
fn next(stream: &mut TcpStream) -> (Rcode, usize) {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).unwrap();
    let message = Message::new(&bytes).unwrap();
    (Rcode(message.flags() & 15), usize::from(message.counts()[1]))
}

/// Reads a whole transfer: its rcode, and all records of it.
fn whole(stream: TcpStream) -> (Rcode, usize) {
    rest(stream, RECORDS + 1)
}

/// Reads the last `left` records of a transfer.
fn rest(mut stream: TcpStream, left: usize) -> (Rcode, usize) {
    let mut all = 0;
    loop {
        let (rcode, count) = next(&mut stream);
        all += count;
        if rcode != Rcode::NOERROR || all >= left {
            return (rcode, all);
        }
    }
}

/// Octets of resident memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn counted(name: &str) -> f64 {
    let text = telemetry::metrics::text();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
}

/// Waits until the gauge of transfers in flight has this value.
async fn until_running(count: usize) {
    let end = Instant::now() + Duration::from_secs(20);
    while counted("catena_transfer_running") != count as f64 {
        assert!(Instant::now() < end, "{} transfers", counted("catena_transfer_running"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One test, because the gauge and the memory are those of the process.
#[tokio::test(flavor = "multi_thread")]
async fn transfers_in_flight_are_cheap_and_bounded() {
    let dir = std::env::temp_dir().join(format!("catena-transfers-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    write_zone(&dir);
    slow_clients(&dir).await;
    too_many_are_refused(&dir).await;
    a_stalled_transfer_ends(&dir).await;
    std::fs::remove_dir_all(&dir).unwrap();
}

async fn slow_clients(dir: &Path) {
    let (process, address) = server(dir, "max_transfers 100 100").await;
    assert_eq!(
        blocking(move || whole(ask(address, Rtype::AXFR, b""))).await,
        (Rcode::NOERROR, RECORDS + 1)
    );
    until_running(0).await;
    let before = resident();
    let slow = blocking(move || {
        // Each gets its first message, then reads no more for now.
        let one = |_| {
            let mut stream = ask(address, Rtype::AXFR, b"");
            let (rcode, count) = next(&mut stream);
            assert_eq!(rcode, Rcode::NOERROR);
            (stream, RECORDS + 1 - count)
        };
        (0..SLOW).map(one).collect::<Vec<_>>()
    })
    .await;
    until_running(SLOW).await;
    // Others are not held up.
    blocking(move || {
        let begin = Instant::now();
        assert_eq!(whole(ask(address, Rtype::AXFR, b"")), (Rcode::NOERROR, RECORDS + 1));
        for _ in 0..100 {
            assert_eq!(next(&mut ask(address, Rtype::A, b"\x03www")), (Rcode::NOERROR, 1));
        }
        assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    })
    .await;
    assert_eq!(counted("catena_transfer_running"), SLOW as f64);
    let each = resident().saturating_sub(before) / SLOW;
    assert!(each < 1 << 20, "{each} octets for a client that does not read");
    // They get the rest when they read on.
    blocking(move || {
        let one = |(stream, left)| {
            std::thread::spawn(move || assert_eq!(rest(stream, left), (Rcode::NOERROR, left)))
        };
        for reader in slow.into_iter().map(one).collect::<Vec<_>>() {
            reader.join().unwrap();
        }
    })
    .await;
    until_running(0).await;
    process.stop().await;
}

async fn too_many_are_refused(dir: &Path) {
    let (process, address) = server(dir, "max_transfers 3 2").await;
    let refused = counted("catena_transfer_refused_total{reason=\"limit\"}");
    let held = blocking(move || {
        let mut held: Vec<TcpStream> = (0..2).map(|_| ask(address, Rtype::AXFR, b"")).collect();
        held.iter_mut().for_each(|stream| assert_eq!(next(stream).0, Rcode::NOERROR));
        assert_eq!(whole(ask(address, Rtype::AXFR, b"")), (Rcode::SERVFAIL, 0));
        held
    })
    .await;
    assert_eq!(counted("catena_transfer_refused_total{reason=\"limit\"}"), refused + 1.0);
    drop(held);
    until_running(0).await;
    assert_eq!(
        blocking(move || whole(ask(address, Rtype::AXFR, b""))).await,
        (Rcode::NOERROR, RECORDS + 1)
    );
    process.stop().await;
}

async fn a_stalled_transfer_ends(dir: &Path) {
    let (process, address) = server(dir, "timeout 1h 200ms").await;
    let failed = counted("catena_transfer_failed_total{reason=\"timeout\"}");
    let stalled = blocking(move || {
        let mut stream = ask(address, Rtype::AXFR, b"");
        assert_eq!(next(&mut stream).0, Rcode::NOERROR);
        stream
    })
    .await;
    until_running(1).await;
    until_running(0).await;
    assert_eq!(counted("catena_transfer_failed_total{reason=\"timeout\"}"), failed + 1.0);
    // RFC 5936 section 2.2: an rcode tells the client that the transfer ended too early.
    let (rcode, count) = blocking(move || whole(stalled)).await;
    assert_eq!(rcode, Rcode::SERVFAIL);
    assert!(count < RECORDS);
    process.stop().await;
}
