//! The cache from outside: its endpoint, the command that asks it, and the file it leaves behind.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use exchange::Query;
use wire::{Rdata, Reply, Rtype};

use crate::kit::{Answer, PATIENCE, Scratch, Server, free_port, question, run, text};

/// An upstream that knows an address for every name, and counts.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    asked: Arc<AtomicU64>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        Self::held().0
    }

    /// One that answers nothing until the other half is dropped.
    fn held() -> (Self, Sender<()>) {
        let (hold, gate) = channel();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            let (mut query, mut reply) = (Query::new(), Reply::new());
            let mut buffer = [0; 4096];
            while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
                query.receive(&buffer[..len]).unwrap();
                reply.begin(&query);
                reply.answer(300, Rdata::A([192, 0, 2, 1].into()));
                reply.seal(query.id(), 0x8180);
                count.fetch_add(1, Ordering::Relaxed);
                let _ = gate.recv();
                let _ = socket.send_to(reply.bytes(), peer);
            }
        });
        (Self { port, asked }, hold)
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn ask(server: &Server, name: &str) {
    let answer = server.ask(&question(7, name, Rtype::A, &[]));
    assert_eq!((answer.rcode(), answer.answers()), (0, 1), "{name}");
}

/// `catena cache …`: exit code, output, what it complains of.
fn command(scratch: &Scratch, port: u16, words: &[&str]) -> (Option<i32>, String, String) {
    let server = format!("127.0.0.1:{port}");
    let Output { status, stdout, stderr } =
        run(scratch.path(), &[&["cache"], words, &["--server", &server]].concat());
    (status.code(), text(&stdout), text(&stderr))
}

#[test]
fn ten_thousand_clients_wait_for_one_answer() {
    const CLIENTS: u32 = 100;
    const EACH: u16 = 100;
    let ((upstream, hold), http) = (Upstream::held(), free_port());
    let corefile = format!(
        ".:{{port}} {{\n  bind 127.0.0.1\n  prometheus 127.0.0.1:{http}\n  cache\n  \
         forward . 127.0.0.1:{}\n}}\n",
        upstream.port
    );
    let server = Server::start_under(&corefile, &[]);
    let clients: Vec<UdpSocket> = (0..CLIENTS).map(|_| server.udp()).collect();
    let counted = |name: &str| {
        let metrics = crate::cli::metrics(http);
        let line = metrics.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit_once(' ')).map_or(0.0, |(_, n)| n.parse::<f64>().unwrap())
    };
    let missed = || counted("coredns_cache_misses_total{");
    let mut sent = 0;
    for id in 0..EACH {
        for client in &clients {
            client.send(&question(id, "www.example.org", Rtype::A, &[])).unwrap();
        }
        sent += CLIENTS;
        // No more at once than the server's socket holds. The first of all waits for nobody else.
        let late = Instant::now() + PATIENCE;
        while missed() < f64::from(sent) {
            assert!(Instant::now() < late, "{} of {sent} came in", missed());
        }
    }
    drop(hold);
    let mut buffer = [0; 512];
    for client in &clients {
        for _ in 0..EACH {
            let len = client.recv(&mut buffer).expect("every one is answered");
            let answer = Answer(buffer[..len].to_vec());
            assert_eq!((answer.rcode(), answer.answers()), (0, 1));
        }
    }
    // The upstream may have been reminded of its one question meanwhile, as it says nothing.
    assert_eq!(counted("catena_cache_coalesced_total{"), f64::from(sent - 1), "all but one");
}

#[test]
fn what_is_cached_is_listed_shown_and_forgotten() {
    let (upstream, admin) = (Upstream::start(), free_port());
    let corefile = format!(
        ".:{{port}} {{\n  bind 127.0.0.1\n  cache {{\n    admin 127.0.0.1:{admin}\n  }}\n  \
         forward . 127.0.0.1:{}\n}}\n",
        upstream.port
    );
    let server = Server::start_under(&corefile, &[]);
    for name in ["www.example.org", "mail.example.org", "www.example.net"] {
        ask(&server, name);
    }
    let catena = |words: &[&str]| command(&server.scratch, admin, words);
    let (code, listed, _) = catena(&["list"]);
    assert_eq!((code, listed.lines().count()), (Some(0), 3), "{listed}");
    let (code, shown, _) = catena(&["show", "--name", "WWW.example.org", "--type", "A"]);
    assert_eq!(code, Some(0));
    assert!(shown.starts_with("www.example.org. A NOERROR ttl="), "{shown}");
    assert!(
        shown.contains("\n    www.example.org. ") && shown.contains(" IN A 192.0.2.1\n"),
        "{shown}"
    );
    let (_, json, _) = catena(&["list", "--suffix", "example.org", "--limit", "1", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["entries"].as_array().unwrap().len(), &json["more"]), (1, &true.into()));
    assert_eq!(json["entries"][0]["kind"], "success");

    let (code, told, _) = catena(&["flush", "--suffix", "example.org"]);
    assert_eq!((code, told.as_str()), (Some(0), "flushed 2 entries\n"));
    let before = upstream.asked();
    ask(&server, "www.example.net");
    assert_eq!(upstream.asked(), before, "that is there still");
    ask(&server, "www.example.org");
    assert_eq!(upstream.asked(), before + 1);
    let (code, told, _) = catena(&["flush", "--all"]);
    assert_eq!((code, told.as_str()), (Some(0), "flushed 2 entries\n"));
    let (code, out, err) = catena(&["list"]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(1), "", "no cached entry matches\n"));

    let (code, _, err) = catena(&["list", "--type", "NOSUCH"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("`NOSUCH` is not a record type"), "{err}");
    let (code, _, err) = catena(&["flush"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("`flush` needs --name") && err.contains("Usage of catena cache"), "{err}");
    let (code, _, err) = command(&server.scratch, free_port(), &["list"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("cannot reach") && err.contains("admin"), "{err}");
}

#[test]
fn a_token_opens_the_endpoint() {
    let admin = free_port();
    let corefile = format!(
        "example.org:{{port}} {{\n  bind 127.0.0.1\n  cache {{\n    admin 0.0.0.0:{admin} token\n  }}\n  \
         file example.org.zone\n}}\n"
    );
    let scratch = Scratch::new();
    let port = free_port();
    scratch.write("token", "0123456789abcdef0123\n");
    scratch.write("wrong", "0123456789abcdef0124\n");
    scratch.write("example.org.zone", crate::kit::ZONE);
    scratch.write("Corefile", &corefile.replace("{port}", &port.to_string()));
    let server = Server::start_in(scratch, port, &[]);
    ask(&server, "www.example.org");
    let catena = |words: &[&str]| command(&server.scratch, admin, words);
    for words in [&["list"][..], &["list", "--token-file", "wrong"]] {
        let (code, _, err) = catena(words);
        assert_eq!(code, Some(1));
        assert!(
            err.contains("the token is missing or wrong") && err.contains("--token-file"),
            "{err}"
        );
    }
    let (code, listed, _) = catena(&["list", "--token-file", "token"]);
    assert_eq!(code, Some(0));
    assert!(listed.contains("www.example.org. A NOERROR "), "{listed}");
}

#[test]
fn what_was_cached_is_there_after_a_restart() {
    let upstream = Upstream::start();
    let corefile = format!(
        ".:{{port}} {{\n  bind 127.0.0.1\n  cache {{\n    snapshot cache.bin\n  }}\n  \
         forward . 127.0.0.1:{}\n}}\n",
        upstream.port
    );
    let mut server = Server::start_under(&corefile, &[]);
    assert!(!server.said().contains("snapshot"), "none is there yet, which is no mistake");
    ask(&server, "www.example.org");
    ask(&server, "www.example.net");
    let asked = upstream.asked();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let snapshot = std::fs::metadata(server.scratch.path().join("cache.bin")).unwrap();
    assert_eq!(snapshot.mode() & 0o777, 0o600, "it says what clients asked for");
    let again = |change: fn(&mut Vec<u8>), corefile: &str| {
        let scratch = Scratch::new();
        let mut saved = std::fs::read(server.scratch.path().join("cache.bin")).unwrap();
        change(&mut saved);
        std::fs::write(scratch.path().join("cache.bin"), saved).unwrap();
        let port = free_port();
        scratch.write("Corefile", &corefile.replace("{port}", &port.to_string()));
        Server::spawn(crate::kit::CATENA, scratch, port, &[], &[])
    };
    let mut warm = again(|_| {}, &corefile);
    warm.wait_for("plugin/cache: loaded 2 entries from snapshot ");
    ask(&warm, "www.example.org");
    ask(&warm, "www.example.net");
    assert_eq!(upstream.asked(), asked, "nothing was asked for again");
    let mut cold = again(|saved| *saved.last_mut().unwrap() ^= 1, &corefile);
    cold.wait_for("cache.bin is ignored: its checksum does not match");
    ask(&cold, "www.example.org");
    assert_eq!(upstream.asked(), asked + 1);
    let other = corefile.replace("cache {", "cache example.org {");
    let mut foreign = again(|_| {}, &other);
    foreign.wait_for("cache.bin is ignored: it belongs to the server block for .");
    let mut old = again(|saved| saved[14] = b'0', &corefile);
    old.wait_for("cache.bin is ignored: it is not a snapshot of this version");
}
