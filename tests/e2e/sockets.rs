//! How many sockets listeners have, as the system counts them.

use std::process::Command;

use crate::kit::{Scratch, Server, free_port, text};

/// The UDP and the TCP sockets that listen on `port`, on IPv4 addresses.
fn listening(port: u16) -> (usize, usize) {
    let count = |table: &str, state: &str| {
        let local = format!(":{port:04X}");
        let table = std::fs::read_to_string(table).unwrap();
        let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.filter(|words| words[1].ends_with(&local) && words[3] == state).count()
    };
    // 07: bound, not connected; 0A: listening.
    (count("/proc/net/udp", "07"), count("/proc/net/tcp", "0A"))
}

fn serves(multisocket: &str) -> String {
    format!(
        "example.org:{{port}} {{\n bind 127.0.0.1\n{multisocket}\n file example.org.zone\n reload\n}}\n"
    )
}

fn workers() -> usize {
    let asked = std::env::var("GOMAXPROCS").ok().and_then(|value| value.parse().ok());
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[test]
fn a_listener_has_as_many_sockets_as_asked_for() {
    for (directive, count) in
        [("multisocket 5", 5), ("multisocket 1", 1), ("multisocket", workers()), ("", workers())]
    {
        let server = Server::start(&serves(directive));
        assert_eq!(listening(server.port), (count, count), "{directive}");
        for _ in 0..20 {
            server.assert_serves();
        }
    }
}

#[test]
fn a_reload_changes_the_number() {
    let mut server = Server::start(&serves("multisocket 3"));
    assert_eq!(listening(server.port), (3, 3));
    let steps = [("multisocket 6", 6), ("multisocket 1", 1), ("", workers())];
    for (before, (directive, count)) in steps.into_iter().enumerate() {
        let port = server.port.to_string();
        server.scratch.write("Corefile", &serves(directive).replace("{port}", &port));
        server.signal("HUP");
        server.wait_until("the reload", |server| {
            server.said().matches("Reloading complete").count() > before
        });
        server
            .wait_until("the old sockets' end", |server| listening(server.port) == (count, count));
        server.assert_serves();
    }
}

#[test]
fn the_first_block_on_an_address_decides() {
    let second = "example.net:{port} {\n bind 127.0.0.1\n multisocket 2\n whoami\n}\n";
    let mut server = Server::start(&(serves("multisocket 4") + second));
    server.wait_for("`multisocket` has no effect here");
    assert_eq!(listening(server.port), (4, 4));
}

#[test]
fn too_many_sockets_are_refused_with_a_remedy() {
    let scratch = Scratch::new();
    let port = free_port();
    scratch.write("Corefile", &format!(".:{port} {{\n multisocket 1024\n whoami\n}}\n"));
    let binary = env!("CARGO_BIN_EXE_catena");
    let limited = format!("ulimit -n 300; exec {binary} -conf Corefile");
    let mut shell = Command::new("sh");
    let out = shell.args(["-c", &limited]).current_dir(scratch.path()).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(
        text(&out.stderr).contains("the limit on open files is reached: raise it"),
        "{}",
        text(&out.stderr)
    );
}
