//! `forward` before two unbounds, of which the first stops answering, dies and comes back under a
//! stream of queries.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::RecordType;

use crate::ask::{Client, Question};
use crate::kit::{PATIENCE, Server, free_port};
use crate::peer::{Peer, Recipe};

/// What each upstream is given to answer: `read_timeout`.
const TIMEOUT: Duration = Duration::from_secs(1);
/// What a busy machine may add to one timeout; two of them are longer.
const SLACK: Duration = Duration::from_millis(800);
const CLIENTS: usize = 4;

/// An unbound that answers TXT questions below `example.org` with its name, from its own data.
fn unbound(name: &'static str, port: u16) -> Peer {
    let recipe = |directory: &Path, port: u16| {
        let config = format!(
            "server:\n  interface: 127.0.0.1@{port}\n  num-threads: 1\n  username: \"\"\n  chroot: \
             \"\"\n  directory: \"{0}\"\n  pidfile: \"\"\n  use-syslog: no\n  do-daemonize: no\n  \
             module-config: \"iterator\"\n  local-zone: \"example.org.\" redirect\n  local-data: \
             \"example.org. 60 TXT {name}\"\n  local-zone: \".\" static\nremote-control:\n  \
             control-enable: no\n",
            directory.display()
        );
        Recipe { program: "unbound", package: "unbound", config, arguments: &["-d", "-c"] }
    };
    Peer::start_at(port, recipe, &question("probe"))
}

fn question(label: &str) -> Question {
    Question::new(&format!("{label}.example.org."), RecordType::TXT)
}

/// One answer that a client of the stream got.
struct Seen {
    at: Instant,
    took: Duration,
    rcode: ResponseCode,
    /// Which unbound said so.
    by: String,
}

/// Clients that ask one question after the other.
struct Stream<'a> {
    port: u16,
    end: &'a AtomicBool,
    seen: &'a Mutex<Vec<Seen>>,
}

impl Stream<'_> {
    fn run(&self) {
        let client = Client::new(self.port);
        while !self.end.load(Ordering::Relaxed) {
            let at = Instant::now();
            let reply = client.ask_udp(&question("name"));
            let by = reply.answer.first().map_or_else(String::new, |record| record.rdata.clone());
            let seen = Seen { at, took: at.elapsed(), rcode: reply.rcode, by };
            self.seen.lock().unwrap().push(seen);
        }
    }

    /// Waits until a question that was asked after `since` is answered by that unbound.
    fn wait_for(&self, name: &str, since: Instant) {
        let deadline = Instant::now() + PATIENCE;
        let answered = || {
            let seen = self.seen.lock().unwrap();
            seen.iter().rev().take(CLIENTS).any(|seen| seen.at > since && seen.by == name)
        };
        while !answered() {
            assert!(Instant::now() < deadline, "`{name}` is not asked");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What was answered since the last look. Every question must be, with a record and in time.
    fn judge(&self) -> Vec<Seen> {
        let all = std::mem::take(&mut *self.seen.lock().unwrap());
        for seen in &all {
            assert_eq!(seen.rcode, ResponseCode::NoError);
            assert!(!seen.by.is_empty());
            assert!(seen.took < TIMEOUT + SLACK, "a client waited {:?}", seen.took);
        }
        all
    }
}

/// How many clients met the upstream that does not answer.
fn waited(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| seen.took > TIMEOUT / 2).count()
}

/// Ends the stream, also if the test fails: else its threads would be waited for without end.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn clients_do_not_notice_a_dead_upstream() {
    let ports = [free_port(), free_port()];
    let (first, _second) = (unbound("first", ports[0]), unbound("second", ports[1]));
    let server = Server::start(&format!(
        ".:{{port}} {{\n  bind 127.0.0.1\n  forward . 127.0.0.1:{} 127.0.0.1:{} {{\n    policy \
         sequential\n    read_timeout 1s\n    health_check 100ms\n  }}\n}}\n",
        ports[0], ports[1]
    ));
    let (end, seen) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let stream = Stream { port: server.port, end: &end, seen: &seen };
    std::thread::scope(|scope| {
        let _ends = Ends(&end);
        for _ in 0..CLIENTS {
            scope.spawn(|| stream.run());
        }
        let from = |name: &str| stream.wait_for(name, Instant::now());
        from("first");
        assert!(stream.judge().iter().all(|seen| seen.by == "first"));

        // Silent: that is noticed long before a timeout, and those who wait are asked for elsewhere.
        first.signal("STOP");
        from("second");
        from("second");
        let slow = waited(&stream.judge());
        assert!(slow <= CLIENTS, "{slow} clients waited");
        first.signal("CONT");
        from("first");
        stream.judge();

        // Gone: the network says so at once, except to those whose questions died with it.
        first.signal("KILL");
        drop(first);
        from("second");
        from("second");
        let slow = waited(&stream.judge());
        assert!(slow <= CLIENTS, "{slow} clients waited");
        let _first = unbound("first", ports[0]);
        from("first");
        stream.judge();
    });
}
