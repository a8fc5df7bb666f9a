//! Updates that are confirmed each second, by 32 clients over TCP, one update at a time each: our program
//! beside `named`, with their files on the same disk.
//!
//! `CATENA=/path/to/catena cargo bench --bench updates`

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a load generator")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a load generator")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tsig::Key;
use wire::{Name, name};

const CLIENTS: usize = 32;
const SECRET: &str = "i9M+00yrECfVZG2qCjr4mPpaGim/Bq+IWMiNrLjUO4Y=";
const SEED: &str =
    "$TTL 300\n@ SOA ns hostmaster 1 7200 3600 1209600 300\n@ NS ns\nns A 192.0.2.1\n";
const ROUNDS: usize = 3;

fn main() {
    let seconds = std::env::var("SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let directory = std::env::temp_dir().join(format!("catena-updates-{}", std::process::id()));
    println!("| round | catena, updates/s | named, updates/s |\n|---|---|---|");
    for round in 1..=ROUNDS {
        let figures = [catena as fn(&Path, u16) -> Child, named].map(|start| {
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("seed"), SEED).unwrap();
            let port = free_port();
            let mut server = start(&directory, port);
            let rate = load(port, Duration::from_secs(seconds));
            server.kill().unwrap();
            server.wait().unwrap();
            std::fs::remove_dir_all(&directory).unwrap();
            rate
        });
        println!("| {round} | {:.0} | {:.0} |", figures[0], figures[1]);
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn catena(directory: &Path, port: u16) -> Child {
    let corefile = format!(
        "example.org:{port} {{\n bind 127.0.0.1\n tsig {{\n secret k. {SECRET}\n }}\n dynupdate {{\n \
         file seed\n database db\n allow k. * *\n max_records 10000000\n max_bytes 1000000000\n }}\n}}\n"
    );
    std::fs::write(directory.join("Corefile"), corefile).unwrap();
    let program = std::env::var("CATENA").unwrap_or_else(|_| env!("CARGO_BIN_EXE_catena").into());
    start(Command::new(program).args(["-conf", "Corefile"]), directory)
}

fn named(directory: &Path, port: u16) -> Child {
    let shown = directory.display();
    let config = format!(
        "options {{ directory \"{shown}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; \
         pid-file none; session-keyfile \"{shown}/session\"; managed-keys-directory \"{shown}\"; notify no; \
         recursion no; dnssec-validation no; tcp-clients 200; update-quota 1000; }};\ncontrols {{}};\n\
         key k. {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\nzone \"example.org\" {{ type primary; \
         file \"seed\"; allow-update {{ key k.; }}; }};\n"
    );
    std::fs::write(directory.join("named.conf"), config).unwrap();
    start(Command::new("/usr/sbin/named").args(["-g", "-c", "named.conf"]), directory)
}

fn start(command: &mut Command, directory: &Path) -> Child {
    command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Confirmed updates each second.
fn load(port: u16, time: Duration) -> f64 {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "the server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(500));
    let (stop, confirmed) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (stop, confirmed) = (&stop, &confirmed);
            scope.spawn(move || {
                let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                stream.set_nodelay(true).unwrap();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let message = update(client, number);
                    stream
                        .write_all(&[&(message.len() as u16).to_be_bytes()[..], &message].concat())
                        .unwrap();
                    let mut len = [0; 2];
                    stream.read_exact(&mut len).unwrap();
                    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
                    stream.read_exact(&mut reply).unwrap();
                    assert_eq!(reply[3] & 15, 0, "the rcode");
                    confirmed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    confirmed.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// Adds an address to one of 1000 names of this client.
fn update(client: usize, number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [number as u16, 5 << 11, 1, 0, 1, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(name!("example.org."));
    out.extend_from_slice(&[0, 6, 0, 1]);
    let owner = format!("c{client}-{}.example.org.", number % 1000);
    out.extend_from_slice(Name::from_text(&owner).unwrap().as_wire());
    out.extend_from_slice(&[
        0,
        1,
        0,
        1,
        0,
        0,
        0,
        60,
        0,
        4,
        10,
        (number >> 16) as u8,
        (number >> 8) as u8,
        number as u8,
    ]);
    let key =
        Key::from_base64(&Name::from_text("k.").unwrap(), tsig::Algorithm::Sha256, SECRET).unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    tsig::sign(&mut out, &Arc::new(key), now);
    out
}
