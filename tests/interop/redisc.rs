//! `redisc` with a real Redis: two servers that share it, and what happens to queries when it stops,
//! dies and comes back.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::RecordType;

use crate::ask::{Client, Question, Record};
use crate::kit::{PATIENCE, Scratch, Server, free_port};
use crate::peer;

/// What a query may take though Redis does not answer: far more than `redisc` waits, far less than
/// anything else here waits for.
const BOUND: Duration = Duration::from_millis(800);

/// A Redis that keeps nothing on disk; ends with the value.
struct Redis {
    port: u16,
    child: Child,
    _scratch: Scratch,
}

impl Redis {
    fn start(port: u16, more: &[&str]) -> Self {
        let scratch = Scratch::new();
        let child = Command::new(peer::program("redis-server", "redis-server", scratch.path()))
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .args(more)
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut redis = Self { port, child, _scratch: scratch };
        let deadline = Instant::now() + PATIENCE;
        while redis.try_say("PING").is_none() {
            assert!(redis.child.try_wait().unwrap().is_none(), "redis-server ended");
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        redis
    }

    /// Sends a command; the first line of the reply, and as many more as it tells of.
    fn try_say(&self, command: &str) -> Option<Vec<String>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next()?.ok()?;
        let more = match first.strip_prefix('*') {
            // A length and a value each.
            Some(count) => 2 * count.parse::<usize>().ok()?,
            None => 0,
        };
        let rest = (0..more).map_while(|_| lines.next()?.ok());
        Some([first].into_iter().chain(rest).collect())
    }

    fn say(&self, command: &str) -> Vec<String> {
        self.try_say(command).expect("Redis answers")
    }

    /// The only key.
    fn key(&self) -> String {
        let said = self.say("KEYS *");
        let [_, _, key] = said.as_slice() else { panic!("one key: {said:?}") };
        key.clone()
    }

    fn size(&self) -> usize {
        self.say("DBSIZE")[0].trim_start_matches(':').parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server whose own answer to any question for an address is `address`.
fn server(redis: u16, address: &str, ttl: u32) -> Server {
    Server::start(&format!(
        ".:{{port}} {{\n  bind 127.0.0.1\n  errors\n  redisc {{\n    endpoint 127.0.0.1:{redis}\n    \
         prefix test\n  }}\n  template IN A . {{\n    answer \"{{{{ .Name }}}} {ttl} IN A \
         {address}\"\n  }}\n}}\n"
    ))
}

fn question(name: &str) -> Question {
    Question::new(&format!("{name}.example.net."), RecordType::A)
}

/// The answer to `name`, and how long it took. There must be one.
fn ask(client: &Client, name: &str) -> (Record, Duration) {
    let begun = Instant::now();
    let reply = client.try_udp(&question(name)).unwrap();
    assert_eq!(reply.rcode, ResponseCode::NoError);
    (reply.answer.into_iter().next().expect("an answer"), begun.elapsed())
}

#[test]
fn a_second_server_tells_what_the_first_heard_until_its_time_is_over() {
    let redis = Redis::start(free_port(), &[]);
    let (first, second) = (server(redis.port, "192.0.2.1", 4), server(redis.port, "192.0.2.2", 4));
    redis.say("FLUSHALL");
    let (first, second) = (Client::new(first.port), Client::new(second.port));
    let told = Instant::now();
    let (answer, _) = ask(&first, "shared");
    assert_eq!((answer.rdata.as_str(), answer.ttl), ("192.0.2.1", 4));
    // It is written behind the client's back.
    let deadline = Instant::now() + PATIENCE;
    while redis.size() == 0 {
        assert!(Instant::now() < deadline, "nothing is written");
        std::thread::sleep(Duration::from_millis(5));
    }
    let key = redis.key();
    assert_eq!(key, "catena:1:test:0:1:1:shared.example.net.");
    let left: i64 = redis.say(&format!("PTTL {key}"))[0].trim_start_matches(':').parse().unwrap();
    assert!((1..=4000).contains(&left), "it ends in Redis too: {left}");
    // Even if it did not, what it says about its end counts.
    assert_eq!(redis.say(&format!("PERSIST {key}")), [":1"]);
    let deadline = Instant::now() + PATIENCE;
    let mut shared = 0;
    loop {
        let (answer, _) = ask(&second, "shared");
        let age = told.elapsed();
        if answer.rdata == "192.0.2.2" {
            assert!(age > Duration::from_millis(3400), "it ended after {age:?}");
            break;
        }
        assert_eq!(answer.rdata, "192.0.2.1");
        assert!(
            f64::from(answer.ttl) <= 4.6 - age.as_secs_f64().min(4.0),
            "{} {age:?}",
            answer.ttl
        );
        shared += 1;
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(shared > 0, "the second server never told what the first heard");
}

/// Asks for names that nobody asked for before, until `done`; none may take long.
fn keep_asking(client: &Client, name: &str, done: impl Fn() -> bool) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let mut count = 0;
    while !done() || count < 20 {
        assert!(Instant::now() < deadline, "{name}: it does not come");
        let (_, took) = ask(client, &format!("{name}-{count}"));
        assert!(took < BOUND, "{name}-{count} took {took:?}");
        count += 1;
    }
    count
}

#[test]
fn no_query_waits_for_a_redis_that_dies_or_stops() {
    let mut redis = Redis::start(free_port(), &[]);
    let port = redis.port;
    let server = server(port, "192.0.2.1", 300);
    let client = Client::new(server.port);
    let said = |words: &str| server.said().matches(words).count();
    let (away, back) = ("lookups are suspended", "is up again");
    let asked = keep_asking(&client, "well", || redis.size() > 0);
    assert!(asked > 0 && said(away) == 0, "{}", server.said());

    redis.signal("KILL");
    redis.child.wait().unwrap();
    keep_asking(&client, "killed", || said(away) == 1);
    let redis = Redis::start(port, &[]);
    keep_asking(&client, "started", || said(back) == 1 && redis.size() > 0);

    // It takes connections and commands, and says nothing.
    redis.signal("STOP");
    keep_asking(&client, "stopped", || said(away) == 2);
    redis.signal("CONT");
    let before = redis.size();
    keep_asking(&client, "continued", || said(back) == 2 && redis.size() > before);
}

#[test]
fn a_redis_that_wants_a_password_is_left_alone() {
    let redis = Redis::start(free_port(), &["--requirepass", "secret"]);
    let server = server(redis.port, "192.0.2.1", 300);
    let client = Client::new(server.port);
    keep_asking(&client, "any", || server.said().contains("NOAUTH"));
}
