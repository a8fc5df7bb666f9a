//! The endpoints that answer over HTTP, and those that take their time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::kit::{PATIENCE, Server, free_port};

/// The head and the body of the reply.
fn ask(port: u16, request: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = reply.split_off(end + 4);
    (String::from_utf8(reply).unwrap(), body)
}

#[test]
fn profiles_are_served_and_outlive_a_reload() {
    let http = free_port();
    let corefile = format!(
        "example.org:{{port}} {{\n  bind 127.0.0.1\n  pprof 127.0.0.1:{http}\n  file example.org.zone\n}}\n"
    );
    let mut server = Server::start(&corefile);
    let (head, _) = ask(http, "GET /debug/pprof", b"");
    assert!(
        head.starts_with("HTTP/1.1 302 ") && head.contains("location: /debug/pprof/\r\n"),
        "{head}"
    );
    let (head, body) = ask(http, "POST /debug/pprof/symbol", b"0x1+0x2");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.starts_with(b"num_symbols: "), "{head}");
    let (head, _) = ask(http, "POST /debug/pprof/symbol", &[b'1'; 100_000]);
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    let (head, _) = ask(http, "GET /debug/pprof/heap", b"");
    assert!(head.starts_with("HTTP/1.1 501 "), "{head}");

    let looking = std::thread::spawn(move || ask(http, "GET /debug/pprof/profile?seconds=2", b""));
    server.signal("HUP");
    server.wait_for("Reloading complete");
    let (head, profile) = looking.join().unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let name = b"catena";
    assert!(profile.windows(name.len()).any(|part| part == name), "the binary's mapping");
    server.assert_serves();
}
