//! Floods, and what they may cost.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wire::Rtype;

use crate::kit::{Server, free_port, question};

const LIMIT: u64 = 64 << 20;
/// Queries in a second, at most.
const RATE: u64 = 20_000;
const REFUSED: u16 = 5;

/// The resident size of a process.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

/// Asks for names that nobody asked for before, until `stop`.
fn flood(server: &Server, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<(u64, u64)> {
    let socket = server.udp();
    socket.set_nonblocking(true).unwrap();
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let (start, mut sent, mut refused) = (Instant::now(), 0u64, 0);
        let mut buffer = [0; 512];
        while !stop.load(Ordering::Relaxed) {
            let due = start.elapsed().as_micros() as u64 * RATE / 1_000_000;
            while sent < due {
                let name = format!("n{sent}.example.net");
                let _ = socket.send(&question(sent as u16, &name, Rtype::A, &[]));
                sent += 1;
            }
            while let Ok(len) = socket.recv(&mut buffer) {
                let answer = crate::kit::Answer(buffer[..len].to_vec());
                refused += u64::from(answer.rcode() == REFUSED);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        (sent, refused)
    })
}

#[test]
fn an_upstream_that_is_gone_costs_no_more_memory_than_there_is() {
    // It takes everything and says nothing.
    let upstream = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent = upstream.local_addr().unwrap();
    let http = free_port();
    let corefile = format!(
        "example.org:{{port}} {{\n  bind 127.0.0.1\n  memory 64MiB\n  file example.org.zone\n}}\n\
         .:{{port}} {{\n  bind 127.0.0.1\n  prometheus 127.0.0.1:{http}\n  cache\n  forward . {silent}\n}}\n"
    );
    let server = Server::start_under(&corefile, &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let flood = flood(&server, &stop);
    let (mut most, mut asked) = (0, 0);
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        most = most.max(resident(&server));
        server.assert_serves();
        asked += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.store(true, Ordering::Relaxed);
    let (sent, refused) = flood.join().unwrap();
    let text = crate::cli::metrics(http);
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse::<f64>().unwrap() as u64
    };
    let told =
        format!("{most} octets after {sent} queries, {refused} refused; {asked} asked beside");
    println!("{told}");
    assert!(most <= LIMIT, "{told}");
    assert!(refused > 0, "{told}");
    assert_eq!(value("catena_memory_limit_bytes"), LIMIT);
    assert!(value("catena_memory_refused_total") > 0, "{told}\n{text}");
}
