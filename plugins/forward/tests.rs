//! What takes several questions at once, or a look at what was sent: the rest is in tests.md.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chain::setup::BlockSetup;
use chain::{Chain, Clock, Kept, Key, Services};
use corefile::Directive;
use exchange::Query;
use net::client::{Network, Simulated};
use telemetry::metrics;
use tokio::time::Instant;
use wire::{Name, Rcode, Reply, Rtype, Transport};

use super::*;

type Datagrams = Vec<(Duration, Vec<u8>)>;
type Answer = Box<dyn Fn(SocketAddr, &[u8], bool) -> Datagrams + Send + Sync>;

/// An upstream made of a closure, which remembers what it was asked.
struct Fake {
    answer: Answer,
    seen: Mutex<Vec<(Vec<u8>, bool)>>,
}

impl Fake {
    fn new(
        answer: impl Fn(SocketAddr, &[u8], bool) -> Datagrams + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { answer: Box::new(answer), seen: Mutex::default() })
    }

    fn seen(&self) -> Vec<(Vec<u8>, bool)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ask(&self, to: SocketAddr, message: &[u8], tcp: bool) -> Datagrams {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push((message.to_vec(), tcp));
        (self.answer)(to, message, tcp)
    }
}

impl Simulated for Fake {
    fn udp(&self, to: SocketAddr, message: &[u8]) -> Datagrams {
        self.ask(to, message, false)
    }

    fn tcp(&self, to: SocketAddr, message: &[u8]) -> Option<(Duration, Vec<u8>)> {
        self.ask(to, message, true).into_iter().next()
    }
}

/// A chain of what the Corefile says and the tasks it asks for.
fn chain(corefile: &str, fake: &Arc<Fake>) -> (Arc<Chain>, Vec<chain::setup::Task>) {
    let (parsed, problems) = corefile::parse("Corefile", corefile, &corefile::NoFiles);
    assert!(!problems.has_errors());
    let uses: Vec<&Directive> = parsed.blocks[0].directives.iter().collect();
    let clock = Clock { now: net::clock::now, unix: net::clock::unix };
    let simulated: Arc<dyn Simulated> = Arc::clone(fake) as _;
    let services =
        Services::new(1, clock, Kept::default()).with(Arc::new(Network::Simulated(simulated)));
    let keys = [Key::new(Name::root(), wire::Endpoint::any(wire::Scheme::Dns, 53))];
    let mut block = BlockSetup::default();
    (PLUGIN.setup)(&uses, &mut block.plugin("forward", &keys, &services)).expect("a good Corefile");
    (Arc::new(Chain::new(block.links, clock)), block.requests.tasks)
}

fn question(text: &str) -> Query {
    let mut bytes = vec![0xAB, 0xCD, 0x01, 0x10, 0, 1, 0, 0, 0, 0, 0, 1];
    bytes.extend_from_slice(Name::from_text(text).unwrap().as_wire());
    bytes.extend_from_slice(&Rtype::A.0.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    // 4096, DO, options 65001 and 3 in this order.
    bytes.extend_from_slice(&[0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 10]);
    bytes.extend_from_slice(&[0xFD, 0xE9, 0, 2, 7, 7, 0, 3, 0, 0]);
    let mut query = Query::new();
    query.receive(&bytes).unwrap();
    query.client.transport = Transport::Udp;
    query.collect_metadata();
    query
}

async fn ask(chain: &Arc<Chain>, text: &str) -> (Query, Reply) {
    let (mut query, mut reply) = (question(text), Reply::new());
    reply.begin(&query);
    if let Some(at) = chain.run(&mut query, &mut reply) {
        chain.resume(at, &mut query, &mut reply).await;
    }
    (query, reply)
}

/// The question back with one address.
fn answer(message: &[u8]) -> Vec<u8> {
    let mut query = Query::new();
    query.receive(message).unwrap();
    let mut reply = message[..query.question_end()].to_vec();
    reply[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    reply.extend_from_slice(&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
    reply
}

const NOW: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn the_upstream_sees_the_clients_question() {
    let fake = Fake::new(|_, message, _| vec![(NOW, answer(message))]);
    let (chain, _) = chain(". {\n forward . 192.0.2.53:5353\n}\n", &fake);
    let (query, reply) = ask(&chain, "www.example.org.").await;
    assert_eq!(reply.rcode(), Rcode::NOERROR);
    assert!(reply.recursion_available && !reply.authoritative());
    assert_eq!(query.metadata("forward/upstream"), Some("192.0.2.53:5353"));
    let (sent, tcp) = &fake.seen()[0];
    assert!(!tcp);
    let at = query.edns().unwrap().at;
    assert_eq!(sent[2..at + 3], query.bytes()[2..at + 3], "flags and question");
    assert_eq!(sent[at + 3..at + 5], 1232u16.to_be_bytes(), "no fragments");
    assert_eq!(sent[at + 5..], query.bytes()[at + 5..], "DO and the options in order");
    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        ask(&chain, "www.example.org.").await;
    }
    ids.extend(fake.seen().iter().map(|(message, _)| [message[0], message[1]]));
    assert!(ids.len() > 90, "ids are fresh");
}

#[tokio::test(start_paused = true)]
async fn over_the_bound_queries_are_refused() {
    let fake = Fake::new(|_, message, _| vec![(Duration::from_secs(1), answer(message))]);
    let text = ". {\n forward . 192.0.2.53 {\n max_concurrent 2\n }\n}\n";
    let (chain, _) = chain(text, &fake);
    let rejected = metrics::counter(
        "coredns_forward_max_concurrent_rejects_total",
        "Counter of the number of queries rejected because the concurrent queries were at maximum.",
        &[],
        &[],
    );
    let before = rejected.get();
    let asked: Vec<_> = (0..5)
        .map(|_| {
            let chain = Arc::clone(&chain);
            tokio::spawn(async move { ask(&chain, "www.example.org.").await.1 })
        })
        .collect();
    let (mut served, mut refused) = (0, 0);
    for one in asked {
        let reply = one.await.unwrap();
        match reply.rcode() {
            Rcode::NOERROR => served += 1,
            Rcode::REFUSED => {
                let failure = reply.failure().unwrap();
                let cause = failure.cause.as_ref().unwrap().to_string();
                assert_eq!(cause, "concurrent queries exceeded maximum 2");
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((served, refused), (2, 3));
    assert_eq!(rejected.get() - before, 3);
    assert_eq!(ask(&chain, "www.example.org.").await.1.rcode(), Rcode::NOERROR, "places are free");
}

#[tokio::test(start_paused = true)]
async fn a_dead_upstream_costs_no_client_more_than_one_timeout() {
    let fake = Fake::new(
        |to, message, _| {
            if to.port() == 1 { Vec::new() } else { vec![(NOW, answer(message))] }
        },
    );
    let (chain, tasks) = chain(". {\n forward . 192.0.2.53:1 192.0.2.53:2\n}\n", &fake);
    for task in tasks {
        tokio::spawn(task());
    }
    let mut slow = 0;
    for _ in 0..50 {
        let begun = Instant::now();
        let (_, reply) = ask(&chain, "www.example.org.").await;
        assert_eq!(reply.rcode(), Rcode::NOERROR);
        // Four times the time after which a query is late.
        assert!(begun.elapsed() <= Duration::from_millis(400));
        slow += usize::from(begun.elapsed() > Duration::from_millis(10));
    }
    assert_eq!(slow, 1, "only the first to meet it waits");
}

/// How an upstream is: what it sends back, and when. The time is since the start.
type Way = fn(Duration, &[u8], bool) -> Datagrams;

/// Puts 5,000 questions a second to three upstreams, of which the first has this way; the time that
/// 99 of 100 took, and how many were not answered.
async fn one_bad_of_three(options: &str, way: Way) -> (Duration, usize) {
    let begun = Instant::now();
    let healthy: Way = |_, message, _| vec![(Duration::from_millis(2), answer(message))];
    let fake = Fake::new(move |to, message, tcp| {
        let way = if to.port() == 1 { way } else { healthy };
        way(begun.elapsed(), message, tcp)
    });
    let to = "192.0.2.53:1 192.0.2.53:2 192.0.2.53:3";
    let (chain, tasks) = chain(&format!(". {{\n forward . {to} {{\n {options}\n }}\n}}\n"), &fake);
    let mut running: tokio::task::JoinSet<()> = tasks.into_iter().map(|task| task()).collect();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..3_000 {
        for _ in 0..5 {
            let chain = Arc::clone(&chain);
            asked.spawn(async move {
                let begun = Instant::now();
                let (_, reply) = ask(&chain, "www.example.org.").await;
                (begun.elapsed(), reply.rcode())
            });
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let all = asked.join_all().await;
    running.abort_all();
    let mut times: Vec<Duration> = all.iter().map(|(took, _)| *took).collect();
    times.sort();
    let failed = all.iter().filter(|(_, rcode)| *rcode != Rcode::NOERROR).count();
    (times[times.len() * 99 / 100], failed)
}

#[tokio::test(start_paused = true)]
async fn one_bad_upstream_of_three_is_not_noticed() {
    const QUICK: Duration = Duration::from_millis(2);
    let healthy: Way = |_, message, _| vec![(QUICK, answer(message))];
    let (best, failed) = one_bad_of_three("", healthy).await;
    assert_eq!(failed, 0);
    let ways: [(&str, Way); 7] = [
        ("silent", |_, _, _| Vec::new()),
        ("2 s slow", |_, message, _| vec![(Duration::from_secs(2), answer(message))]),
        ("wrong question", |_, message, _| {
            let mut wrong = answer(message);
            wrong[13] ^= 1;
            vec![(QUICK, wrong)]
        }),
        ("flapping each second", |at, message, _| match at.as_secs() % 2 {
            0 => vec![(QUICK, answer(message))],
            _ => Vec::new(),
        }),
        ("truncating everything", |_, message, tcp| {
            let mut cut = answer(message);
            cut[2] |= if tcp { 0 } else { 0x02 };
            vec![(QUICK, cut)]
        }),
        ("silent to all but checks", |_, message, _| match message[12] {
            0 => vec![(QUICK, answer(message))],
            _ => Vec::new(),
        }),
        ("silent after a while", |at, message, _| match at.as_secs() {
            0 => vec![(QUICK, answer(message))],
            _ => Vec::new(),
        }),
    ];
    let mut runs: Vec<(&str, &str, Way)> =
        ways.iter().map(|&(name, way)| ("", name, way)).collect();
    let more = ["hedge", "policy fastest", "policy race 2"];
    runs.extend(more.iter().zip(&ways[3..]).map(|(&options, &(name, way))| (options, name, way)));
    for (options, name, way) in runs {
        let (time, failed) = one_bad_of_three(options, way).await;
        assert_eq!(failed, 0, "{name}, {options}");
        assert!(time <= best * 2, "{name}, {options}: {time:?}, and {best:?} without it");
    }
    let servfail: Way = |_, message, _| {
        let mut failure = message.to_vec();
        failure[2..4].copy_from_slice(&[0x81, 0x82]);
        vec![(QUICK, failure)]
    };
    for options in ["failover SERVFAIL", "circuit_breaker", "circuit_breaker SERVFAIL\n hedge"] {
        let (time, failed) = one_bad_of_three(options, servfail).await;
        assert_eq!(failed, 0, "{options}");
        assert!(time <= best * 2, "{options}: {time:?}, and {best:?} without it");
    }
}

#[tokio::test(start_paused = true)]
async fn health_checks_ask_what_the_option_says() {
    let fake = Fake::new(|_, _, _| Vec::new());
    let text = ". {\n forward . 192.0.2.53 {\n max_connect_attempts 1\n \
                health_check 5s no_rec domain Example.org\n }\n}\n";
    let (chain, tasks) = chain(text, &fake);
    for task in tasks {
        tokio::spawn(task());
    }
    ask(&chain, "www.example.org.").await;
    tokio::time::sleep(Duration::from_secs(13)).await;
    let seen = fake.seen();
    // At 2 s, and 6 s (a second's timeout, five seconds' pause) apart.
    assert_eq!(seen.len(), 4, "{seen:?}");
    for (check, tcp) in &seen[1..] {
        assert_eq!(check[2..12], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(check[12..25], *b"\x07example\x03org\0");
        assert_eq!(check[25..], [0, 2, 0, 1]);
        assert!(!tcp);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_over_tls_gets_nothing_over_udp() {
    let fake = Fake::new(|to, message, _| {
        let silent = to.port() == 853;
        if silent { Vec::new() } else { vec![(NOW, answer(message))] }
    });
    let text = ". {\n forward . tls://192.0.2.53 tls://192.0.2.54:8853 {\n prefer_udp\n \
                policy sequential\n tls_servername dns.example.net\n }\n}\n";
    let (chain, tasks) = chain(text, &fake);
    for task in tasks {
        tokio::spawn(task());
    }
    assert_eq!(ask(&chain, "www.example.org.").await.1.rcode(), Rcode::NOERROR);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let seen = fake.seen();
    assert!(seen.len() > 3, "checks too: {seen:?}");
    assert!(seen.iter().all(|(_, tcp)| *tcp));
}

/// A reply that breaks off: the record it promises is not there.
fn broken(message: &[u8], truncated: bool) -> Vec<u8> {
    let mut reply = answer(message);
    let len = reply.len() - 3;
    reply.truncate(len);
    reply[2] |= if truncated { 0x02 } else { 0 };
    reply
}

#[tokio::test(start_paused = true)]
async fn a_broken_reply_sends_us_to_tcp_unless_a_good_one_follows() {
    for truncated in [false, true] {
        let fake = Fake::new(move |_, message, tcp| {
            vec![(NOW, if tcp { answer(message) } else { broken(message, truncated) })]
        });
        let (chain, _) = chain(". {\n forward . 192.0.2.53\n}\n", &fake);
        let begun = Instant::now();
        assert_eq!(ask(&chain, "www.example.org.").await.1.rcode(), Rcode::NOERROR);
        assert!(begun.elapsed() < Duration::from_millis(200), "no timeout is waited for");
        assert_eq!(fake.seen().len(), 2);
    }
    let fake = Fake::new(|_, message, tcp| {
        let late = Duration::from_millis(20);
        if tcp {
            return Vec::new();
        }
        vec![(NOW, broken(message, true)), (late, answer(message))]
    });
    let (chain, _) = chain(". {\n forward . 192.0.2.53\n}\n", &fake);
    assert_eq!(ask(&chain, "www.example.org.").await.1.rcode(), Rcode::NOERROR);
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_keep_the_case_is_asked_over_tcp() {
    let fake = Fake::new(|_, message, _| {
        let mut lower = answer(message);
        lower[12..].make_ascii_lowercase();
        vec![(NOW, lower)]
    });
    let text = ". {\n forward . 192.0.2.53 {\n case_randomization\n }\n}\n";
    let (chain, _) = chain(text, &fake);
    let name = "A-Name-With-Enough-Letters-To-Be-Mixed-For-Sure.Example.Org.";
    let (query, reply) = ask(&chain, name).await;
    assert_eq!(reply.rcode(), Rcode::NOERROR);
    assert_eq!(reply.bytes()[12..reply.question_end() - 4], *query.original_name());
    let seen = fake.seen();
    assert_eq!(seen.iter().map(|(_, tcp)| *tcp).collect::<Vec<_>>(), [false, true]);
    assert_ne!(seen[0].0[12..40], query.bytes()[12..40], "mixed over UDP");
    assert_eq!(seen[1].0[12..40], query.bytes()[12..40], "not over TCP");
}

#[tokio::test(start_paused = true)]
async fn an_error_without_a_question_is_an_answer() {
    let fake = Fake::new(|_, message, _| {
        vec![(NOW, vec![message[0], message[1], 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0])]
    });
    let (chain, _) = chain(". {\n forward . 192.0.2.53\n}\n", &fake);
    assert_eq!(ask(&chain, "www.example.org.").await.1.rcode(), Rcode::FORMERR);
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_budget_holds() {
    let fake = Fake::new(|_, _, _| Vec::new());
    let text = ". {\n forward . 192.0.2.53:1 192.0.2.53:2 192.0.2.53:3 192.0.2.53:4\n}\n";
    let (chain, _) = chain(text, &fake);
    let begun = Instant::now();
    let (_, reply) = ask(&chain, "www.example.org.").await;
    let failure = reply.failure().unwrap();
    let cause = failure.cause.as_ref().unwrap().to_string();
    assert!(
        cause.starts_with("read udp 127.0.0.1:49152->192.0.2.53:")
            && cause.ends_with(": i/o timeout")
    );
    let (code, text) = failure.extended.as_ref().unwrap();
    assert!(*code == 22 && text.starts_with("no answer in time from 192.0.2.53:"), "{text}");
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[test]
fn warnings_say_what_does_nothing() {
    let text = ". {\n forward . 127.0.0.1 {\n source_address 2001:db8::1\n next NXDOMAIN\n \
                tls_servername a.example\n }\n}\n";
    let (parsed, _) = corefile::parse("Corefile", text, &corefile::NoFiles);
    let uses: Vec<&Directive> = parsed.blocks[0].directives.iter().collect();
    let clock = Clock { now: net::clock::now, unix: net::clock::unix };
    let services = Services::new(1, clock, Kept::default()).with(Arc::new(Network::Os));
    let mut block = BlockSetup::default();
    (PLUGIN.setup)(&uses, &mut block.plugin("forward", &[], &services)).unwrap();
    let warnings: Vec<_> = block.requests.warnings.iter().map(|one| &one.message).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(block.settings.block.all_classes.is_some());
}
