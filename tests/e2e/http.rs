//! The endpoints that answer over HTTP, and those that take their time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use wire::Rtype;

use crate::kit::{PATIENCE, Scratch, Server, ZONE, free_port, question, text};

/// The head and the body of the reply.
pub(crate) fn ask(port: u16, request: &str, body: &[u8]) -> (String, Vec<u8>) {
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

/// Takes one request, says yes to it, and hands over its body.
fn sink() -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let taking = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = Vec::new();
        loop {
            let mut part = [0; 4096];
            let len = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..len]);
            let text = text(&request);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse().unwrap() {
                stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").unwrap();
                return body.to_owned();
            }
        }
    });
    (port, taking)
}

#[test]
fn spans_that_wait_are_sent_at_a_reload_and_at_the_end() {
    let ((first, reloaded), (second, stopped)) = (sink(), sink());
    // The first look for spans is at the start: those that come wait for an hour.
    let trace = |collector| {
        format!("trace 127.0.0.1:{collector} {{\n    zipkin_max_batch_interval 1h\n  }}")
    };
    let corefile = |port, here: &str, there: &str| {
        format!(
            "example.org:{port} {{\n  bind 127.0.0.1\n  {here}\n  file example.org.zone\n}}\n\
             example.net:{port} {{\n  bind 127.0.0.1\n  {there}\n  forward . 127.0.0.1:1\n}}\n"
        )
    };
    let port = free_port();
    let scratch = Scratch::new();
    scratch.write("example.org.zone", ZONE);
    scratch.write("Corefile", &corefile(port, &trace(first), "errors"));
    let mut server = Server::start_in(scratch, port, &["-conf", "Corefile"]);
    server.scratch.write("Corefile", &corefile(port, "errors", &trace(second)));
    server.signal("HUP");
    server.wait_for("Reloading complete");
    let spans = reloaded.join().unwrap();
    assert!(
        spans.contains("\"name\":\"servedns\"") && spans.contains("\"name\":\"file\""),
        "{spans}"
    );

    let asked = question(3, "www.example.net", Rtype::A, &[]);
    assert_eq!(server.ask(&asked).rcode(), 2);
    server.signal("TERM");
    let spans = stopped.join().unwrap();
    assert!(spans.contains("\"name\":\"connect\"") && spans.contains("127.0.0.1:1\""), "{spans}");
    assert_eq!(server.wait(), Some(0));
}
