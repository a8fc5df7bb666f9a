//! File descriptors: what many TCP clients leave to the others.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use wire::Rtype;

use crate::cache::Upstream;
use crate::http;
use crate::kit::{CATENA, Scratch, Server, ZONE, framed, free_port, question, text};

const CLIENTS: usize = 300;

/// A server under limits that the shell sets, with an endpoint on `http`.
fn start(limits: &str, upstream: &Upstream, http: u16) -> Server {
    let (scratch, port) = (Scratch::new(), free_port());
    scratch.write("example.org.zone", ZONE);
    let corefile = format!(
        "example.org:{port} {{\n  bind 127.0.0.1\n  file example.org.zone\n}}\n\
         .:{port} {{\n  bind 127.0.0.1\n  prometheus 127.0.0.1:{http}\n  forward . 127.0.0.1:{}\n}}\n",
        upstream.port
    );
    scratch.write("Corefile", &corefile);
    scratch.write("limited", &format!("#!/bin/sh\n{limits}\nexec {CATENA} \"$@\"\n"));
    let program = scratch.path().join("limited");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    // As many workers as the limit has room for, whatever machine this is.
    let workers = &[("GOMAXPROCS", "2")];
    let mut server = Server::spawn(program.to_str().unwrap(), scratch, port, &[], workers);
    server.wait_for("\ncatena-");
    server
}

/// The value of a metric.
fn metric(http: u16, name: &str) -> f64 {
    let (_, body) = http::ask(http, "GET /metrics", b"");
    let body = text(&body);
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}:\n{body}")).parse().unwrap()
}

#[test]
fn many_tcp_clients_leave_descriptors_to_upstreams() {
    let (upstream, http) = (Upstream::start(), free_port());
    let mut server = start("ulimit -n 64", &upstream, http);
    server.wait_for("The limit on file descriptors is 64: TCP clients may use ");
    let share = metric(http, "catena_descriptors_share{owner=\"clients\"}");
    assert!((4.0..32.0).contains(&share), "{share}");

    let query = framed(&question(7, "www.example.org", Rtype::A, &[]));
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| server.tcp()).collect();
    for mut client in &clients {
        // Those that were closed already cannot be written to.
        let _ = client.write_all(&query);
    }
    for id in 0..20 {
        let name = format!("n{id}.example.net");
        let answer = server.ask(&question(id, &name, Rtype::A, &[]));
        assert_eq!((answer.rcode(), answer.answers()), (0, 1), "{name}");
    }
    assert_eq!(upstream.asked(), 20);
    // A client that is new pushes out one that is idle.
    server.assert_serves();
    assert!(metric(http, "catena_tcp_connections") <= share);
    let turned_away = metric(http, "catena_tcp_connections_refused_total")
        + metric(http, "catena_tcp_connections_evicted_total");
    assert!(turned_away >= CLIENTS as f64 - share, "{turned_away}");
    let failed = metric(http, "catena_tcp_accept_failures_total");
    assert_eq!(failed, 0.0, "upstreams and clients keep to their shares");
    drop(clients);
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let (upstream, http) = (Upstream::start(), free_port());
    let mut server = start("ulimit -Sn 64; ulimit -Hn 512", &upstream, http);
    server.wait_for("The limit on file descriptors is 512 (raised from 64): TCP clients may use ");
    assert_eq!(metric(http, "catena_descriptors_limit"), 512.0);
    let clients: Vec<TcpStream> = (0..100).map(|_| server.tcp()).collect();
    server.wait_until("a hundred clients", |_| metric(http, "catena_tcp_connections") >= 100.0);
    drop(clients);
}
