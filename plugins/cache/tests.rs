//! Behaviour with a chain built by hand: the cache before a scripted source.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chain::kept::Kept;
use chain::setup::BlockSetup;
use chain::{
    BoxFuture, Chain, Clock, Failure, Link, Next, Query, Reply, ServeDns, Served, Services, Step,
};
use corefile::{Directive, Span, Token};
use wire::edns::ede;
use wire::{Moment, Name, NewRecord, Rcode, Rdata, Rtype, Section, Transport, name};

mod waiting;

/// The simulated time in seconds: one clock for each test, as each has a thread of its own.
mod time {
    use super::*;
    thread_local! {
        static NOW: std::cell::Cell<u64> = const { std::cell::Cell::new(1_000_000_000) };
    }

    pub(super) fn now() -> Moment {
        Moment(NOW.get())
    }
    pub(super) fn pass(span: Duration) {
        NOW.set(NOW.get() + span.as_nanos() as u64);
    }
    pub(super) fn clock() -> Clock {
        Clock { now, unix: |moment| 1_700_000_000 + moment.0 / 1_000_000_000 }
    }
}

fn wire(text: &str) -> Vec<u8> {
    Name::from_text(text).unwrap().as_wire().to_vec()
}

/// What the source says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Say {
    /// An A record with this last octet and TTL.
    Address(u8, u32),
    /// The denial with a SOA of this TTL.
    NameError(u32),
    /// NXDOMAIN and nothing else.
    Bare,
    /// An empty NOERROR.
    Empty,
    /// Only this rcode.
    Code(Rcode),
    /// An A record with the third octet of the client's network, and for that network alone.
    Scoped,
    /// No upstream answers.
    Dead,
    /// Cut to fit, unless asked over a stream.
    Cut,
    Nothing,
    Panic,
}

/// An upstream that answers as told, after a while.
#[derive(Clone)]
struct Source(Arc<Script>);

struct Script {
    says: Mutex<Say>,
    delay: Mutex<Duration>,
    asked: AtomicU64,
    saw_ad: AtomicBool,
    authoritative: AtomicBool,
    authentic: AtomicBool,
}

impl ServeDns for Source {
    fn on_query(&self, _: &mut Query, _: &mut Reply) -> Served {
        Ok(Step::Wait)
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        _: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            let script = &self.0;
            script.asked.fetch_add(1, Ordering::SeqCst);
            script.saw_ad.store(query.authentic_data(), Ordering::SeqCst);
            let delay = *script.delay.lock().unwrap();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
                time::pass(delay);
            }
            let says = *script.says.lock().unwrap();
            reply.set_authoritative(script.authoritative.load(Ordering::SeqCst));
            reply.authentic_data = script.authentic.load(Ordering::SeqCst);
            reply.recursion_available = true;
            reply.opt.push(10, b"cookie!!");
            match says {
                Say::Address(octet, ttl) => {
                    reply.answer(ttl, Rdata::A([192, 0, 2, octet].into()));
                }
                Say::Scoped => {
                    let asked = query.options().find(|known| known.code == 8).unwrap();
                    let mut told = asked.data.to_vec();
                    told[3] = 24;
                    reply.opt.push(8, &told);
                    reply.answer(60, Rdata::A([192, 0, 2, told[6]].into()));
                }
                Say::NameError(ttl) => {
                    let soa = Rdata::Soa {
                        mname: name!("ns."),
                        rname: name!("host."),
                        serial: 0,
                        refresh: 0,
                        retry: 0,
                        expire: 0,
                        minimum: 0,
                    };
                    reply.push(Section::Authority, NewRecord::new(name!("org."), ttl, soa));
                    reply.set_rcode(Rcode::NXDOMAIN);
                }
                Say::Bare => reply.set_rcode(Rcode::NXDOMAIN),
                Say::Empty => reply.set_rcode(Rcode::NOERROR),
                Say::Code(rcode) => reply.set_rcode(rcode),
                Say::Dead => {
                    return Err(Failure::unresolved("no healthy proxies")
                        .extended(ede::NO_REACHABLE_AUTHORITY, "no upstream"));
                }
                Say::Cut if query.client.transport == Transport::Udp => {
                    reply.set_rcode(Rcode::NOERROR);
                    reply.truncated = true;
                }
                Say::Cut => {
                    reply.answer(60, Rdata::A([192, 0, 2, 99].into()));
                }
                Say::Nothing => return Ok(Step::Drop),
                Say::Panic => panic!("a plugin went wrong"),
            }
            Ok(Step::Done)
        })
    }
}

/// A server block with `cache` and the source.
struct Block {
    chain: Arc<Chain>,
    services: Services,
    source: Source,
    lines: Vec<&'static str>,
}

fn directive(line: &str) -> Directive {
    let token = |text: &str| Token { text: text.into(), span: Span::default(), quoted: false };
    let mut words = line.split(' ').map(token);
    let name = words.next().unwrap();
    Directive {
        name,
        args: words.collect(),
        body: None,
        span: Span::default(),
        end: Span::default(),
    }
}

fn build(lines: &[&str], services: &Services, source: &Source) -> Arc<Chain> {
    let mut cache = directive(lines[0]);
    cache.body = Some(lines[1..].iter().map(|line| directive(line)).collect());
    let keys = [chain::Key::new(Name::root(), wire::Endpoint::any(wire::Scheme::Dns, 53))];
    let mut block = BlockSetup::default();
    (super::PLUGIN.setup)(&[&cache], &mut block.plugin("cache", &keys, services)).unwrap();
    let mut links = std::mem::take(&mut block.links);
    links.push(Link { name: "source", plugin: Box::new(source.clone()) });
    let chain = Arc::new(Chain::new(links, services.clock));
    block.chain_ref.set(&chain);
    chain
}

fn block(lines: &[&'static str]) -> Block {
    let services = Services::new(1, time::clock(), Kept::default());
    let source = Source(Arc::new(Script {
        says: Mutex::new(Say::Address(1, 300)),
        delay: Mutex::default(),
        asked: AtomicU64::new(0),
        saw_ad: AtomicBool::new(false),
        authoritative: AtomicBool::new(false),
        authentic: AtomicBool::new(false),
    }));
    let chain = build(lines, &services, &source);
    Block { chain, services, source, lines: lines.to_vec() }
}

/// A question as a client sends it.
fn question(name: &str, flags: &str) -> Query {
    let has = |flag: &str| flags.contains(flag);
    let low = 0x20 * u8::from(has("ad")) + 0x10 * u8::from(has("cd"));
    let mut bytes = vec![0, 1, 1, low, 0, 1, 0, 0, 0, 0, 0, 1];
    bytes.extend(wire(name));
    bytes.extend([0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0x80 * u8::from(has("do")), 0, 0, 0]);
    let mut query = Query::new();
    query.receive(&bytes).unwrap();
    if has("tcp") {
        query.client.transport = Transport::Tcp;
    }
    query.client.now = time::now();
    query
}

/// Runs a query to its end, as the server does: what waits waits, what renews renews afterwards.
async fn serve(chain: &Chain, mut query: Query) -> (Reply, Ran) {
    let mut reply = Reply::new();
    reply.begin(&query);
    let place = chain.run(&mut query, &mut reply);
    let ran = match (place, &query.state.renewal) {
        (Some(_), _) => Ran::Waited,
        (None, Some(_)) => Ran::Renewed,
        (None, None) => Ran::Done,
    };
    if let Some(place) = place {
        chain.resume(place, &mut query, &mut reply).await;
    }
    if let Some(mut renewal) = query.state.renewal.take() {
        let mut other = Reply::new();
        other.begin(&renewal.query);
        chain.refresh(renewal.link, &mut renewal.query, &mut other).await;
    }
    (reply, ran)
}

/// How a query was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ran {
    /// At once.
    Done,
    /// At once, and renewed afterwards.
    Renewed,
    /// After waiting.
    Waited,
}

/// The reply in short: `NOERROR 1@300 aa ad`, `NXDOMAIN @300`, `drop`.
fn show(reply: &Reply) -> String {
    if reply.is_silent() {
        return "drop".into();
    }
    let mut text = reply.rcode().to_string();
    for record in reply.records() {
        let record = record.unwrap();
        let octet = record.rdata().last().filter(|_| record.rtype == Rtype::A);
        let octet = octet.map(ToString::to_string).unwrap_or_default();
        text += &format!(" {octet}@{}", record.ttl);
    }
    let flags =
        [(reply.authoritative(), " aa"), (reply.authentic_data, " ad"), (reply.truncated, " tc")];
    text.extend(flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name));
    for option in reply.opt.options().filter(|_| reply.failure().is_none()) {
        match option.code {
            wire::edns::option::EXTENDED_ERROR => text += &format!(" ede={}", option.data[1]),
            _ => text += " opt",
        }
    }
    if let Some((code, _)) = reply.failure().and_then(|failure| failure.extended.as_ref()) {
        text += &format!(" ede={code}");
    }
    text
}

impl Block {
    async fn ask(&self, name: &str) -> String {
        self.ask_with(name, "").await
    }
    async fn ask_with(&self, name: &str, flags: &str) -> String {
        show(&serve(&self.chain, question(name, flags)).await.0)
    }
    fn says(&self, say: Say) -> &Self {
        *self.source.0.says.lock().unwrap() = say;
        self
    }
    fn delay(&self, delay: Duration) {
        *self.source.0.delay.lock().unwrap() = delay;
    }
    fn asked(&self) -> u64 {
        self.source.0.asked.load(Ordering::SeqCst)
    }
    fn reloaded(&self, lines: &[&'static str]) -> Self {
        let mut services = Services::new(1, time::clock(), self.services.kept.successor());
        services.fingerprint = "new".into();
        let chain = build(lines, &services, &self.source);
        Self { chain, services, source: self.source.clone(), lines: lines.to_vec() }
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(start_paused = true)]
async fn a_hit_counts_down_until_it_expires() {
    let block = block(&["cache"]);
    assert_eq!(block.ask("www.example.org.").await, "NOERROR 1@300");
    time::pass(seconds(100));
    assert_eq!(block.ask("WWW.example.org.").await, "NOERROR 1@200");
    time::pass(seconds(199));
    assert_eq!(block.ask("www.example.org.").await, "NOERROR 1@1");
    assert_eq!(block.asked(), 1);
    time::pass(seconds(1));
    block.says(Say::Address(2, 300));
    assert_eq!(block.ask("www.example.org.").await, "NOERROR 2@300");
}

#[tokio::test(start_paused = true)]
async fn do_and_cd_are_other_questions() {
    let block = block(&["cache"]);
    for flags in ["", "do", "cd", "docd"] {
        block.ask_with("a.", flags).await;
        block.ask_with("a.", flags).await;
    }
    assert_eq!(block.asked(), 4);
    block.ask("b.").await;
    assert_eq!(block.asked(), 5);
}

#[tokio::test(start_paused = true)]
async fn authentic_data_is_for_those_who_ask() {
    let block = block(&["cache"]);
    block.source.0.authentic.store(true, Ordering::SeqCst);
    assert_eq!(block.ask("a.").await, "NOERROR 1@300");
    assert!(block.source.0.saw_ad.load(Ordering::SeqCst), "upstreams are always asked for it");
    assert_eq!(block.ask_with("a.", "ad").await, "NOERROR 1@300 ad");
    assert_eq!(block.ask_with("a.", "do").await, "NOERROR 1@300 ad");
    assert_eq!(block.ask_with("a.", "do").await, "NOERROR 1@300 ad");
    assert_eq!(block.ask("a.").await, "NOERROR 1@300");
    assert_eq!(block.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn data_of_our_own_stays_authoritative() {
    let block = block(&["cache"]);
    block.source.0.authoritative.store(true, Ordering::SeqCst);
    assert_eq!(block.ask("a.").await, "NOERROR 1@300 aa");
    assert_eq!(block.ask("a.").await, "NOERROR 1@300 aa");
}

#[tokio::test(start_paused = true)]
async fn failures_and_denials() {
    let block = block(&["cache"]);
    for (name, say, first, again, asked) in [
        ("a.", Say::NameError(9000), "NXDOMAIN @1800", "NXDOMAIN @1800", 1),
        ("b.", Say::Bare, "NXDOMAIN", "NXDOMAIN", 2),
        ("c.", Say::Empty, "NOERROR", "NOERROR", 1),
        ("d.", Say::Code(Rcode::SERVFAIL), "SERVFAIL", "SERVFAIL", 1),
        ("e.", Say::Code(Rcode::REFUSED), "REFUSED", "REFUSED", 2),
        ("f.", Say::Dead, "SERVFAIL ede=22", "SERVFAIL ede=13", 1),
        ("g.", Say::Nothing, "drop", "drop", 2),
        ("h.", Say::Cut, "NOERROR tc", "NOERROR tc", 2),
        ("i.", Say::Address(1, 0), "NOERROR 1@5", "NOERROR 1@5", 1),
    ] {
        block.says(say);
        let before = block.asked();
        assert_eq!(block.ask(name).await, first, "{name}");
        assert_eq!(block.ask(name).await, again, "{name}");
        assert_eq!(block.asked() - before, asked, "{name}");
        time::pass(seconds(5));
    }
    let before = block.asked();
    block.says(Say::Address(7, 60));
    assert_eq!(block.ask("d.").await, "NOERROR 7@60");
    assert_eq!(block.ask("f.").await, "NOERROR 7@60");
    assert_eq!(block.asked() - before, 2, "failures last five seconds");
}

#[tokio::test(start_paused = true)]
async fn servfail_zero_and_disabled_zones_keep_nothing() {
    let block = block(&["cache", "servfail 0s", "disable denial x", "disable success y"]);
    for (name, say) in [
        ("a.", Say::Code(Rcode::SERVFAIL)),
        ("b.", Say::Dead),
        ("n.x.", Say::NameError(60)),
        ("n.y.", Say::Address(1, 60)),
    ] {
        block.says(say);
        let before = block.asked();
        block.ask(name).await;
        block.ask(name).await;
        assert_eq!(block.asked() - before, 2, "{name}");
    }
    block.says(Say::NameError(60));
    let before = block.asked();
    block.ask("n.z.").await;
    block.ask("n.z.").await;
    assert_eq!(block.asked() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn keepttl_does_not_count_down() {
    let block = block(&["cache", "keepttl"]);
    block.ask("a.").await;
    time::pass(seconds(299));
    assert_eq!(block.ask("a.").await, "NOERROR 1@300");
    time::pass(seconds(1));
    block.says(Say::Address(2, 300));
    assert_eq!(block.ask("a.").await, "NOERROR 2@300");
}

#[tokio::test(start_paused = true)]
async fn popular_entries_are_renewed_before_they_expire() {
    let block = block(&["cache", "prefetch 2 1m 10%"]);
    block.ask("a.").await;
    time::pass(seconds(269));
    block.ask("a.").await;
    assert_eq!(block.asked(), 1, "31 seconds left, and one hit");
    time::pass(seconds(1));
    block.says(Say::Address(2, 300));
    assert_eq!(block.ask("a.").await, "NOERROR 1@30");
    assert_eq!(block.asked(), 2);
    assert_eq!(block.ask("a.").await, "NOERROR 2@300");
    time::pass(seconds(285));
    assert_eq!(block.ask("a.").await, "NOERROR 2@15");
    assert_eq!(block.asked(), 2, "the gap was too long: the count starts anew");
}

#[tokio::test(start_paused = true)]
async fn stale_data_at_once_and_renewed_afterwards() {
    let block = block(&["cache", "serve_stale 1h immediate 30s 10s"]);
    block.ask("a.").await;
    time::pass(seconds(301));
    block.says(Say::Dead);
    assert_eq!(block.ask("a.").await, "NOERROR 1@30 ede=3");
    assert_eq!(block.asked(), 2);
    assert_eq!(block.ask("a.").await, "NOERROR 1@30 ede=3");
    assert_eq!(block.asked(), 2, "not again within ten seconds");
    time::pass(seconds(10));
    block.says(Say::Address(2, 300));
    assert_eq!(block.ask("a.").await, "NOERROR 1@30 ede=3");
    assert_eq!(block.ask("a.").await, "NOERROR 2@300");
    time::pass(seconds(300 + 3600));
    block.says(Say::Dead);
    assert_eq!(block.ask("a.").await, "SERVFAIL ede=22", "too old");
}

#[tokio::test(start_paused = true)]
async fn only_better_data_replaces_stale_data() {
    let block = block(&["cache", "serve_stale"]);
    block.ask("a.").await;
    time::pass(seconds(300));
    for bad in [Say::Code(Rcode::SERVFAIL), Say::Code(Rcode::REFUSED), Say::Nothing, Say::Bare] {
        block.says(bad);
        assert_eq!(block.ask("a.").await, "NOERROR 1@0 ede=3");
    }
    block.says(Say::Cut);
    assert_eq!(block.ask("a.").await, "NOERROR 1@0 ede=3");
    assert_eq!(block.ask("a.").await, "NOERROR 99@60", "asked again over a stream");
    time::pass(seconds(60));
    block.says(Say::NameError(60));
    assert_eq!(block.ask("a.").await, "NOERROR 99@0 ede=3");
    assert_eq!(block.ask("a.").await, "NXDOMAIN @60");
}

#[tokio::test(start_paused = true)]
async fn verification_comes_first() {
    let block = block(&["cache", "serve_stale 1h verify"]);
    block.ask("a.").await;
    time::pass(seconds(300));
    block.says(Say::Dead);
    assert_eq!(block.ask("a.").await, "NOERROR 1@0 ede=3");
    block.says(Say::Address(2, 300));
    assert_eq!(block.ask("a.").await, "NOERROR 2@300");
    assert_eq!(block.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn verification_has_a_time_limit_and_goes_on() {
    let block = block(&["cache", "serve_stale 1h verify 100ms 7s"]);
    block.ask("a.").await;
    time::pass(seconds(300));
    block.says(Say::Address(2, 300)).delay(Duration::from_millis(50));
    assert_eq!(block.ask("a.").await, "NOERROR 2@300", "in time");
    time::pass(seconds(300));
    block.says(Say::Address(3, 300)).delay(Duration::from_millis(500));
    let begin = tokio::time::Instant::now();
    assert_eq!(block.ask("a.").await, "NOERROR 2@7 ede=3", "too late");
    assert_eq!(begin.elapsed(), Duration::from_millis(100));
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(block.asked(), 3);
    assert_eq!(block.ask("a.").await, "NOERROR 3@300", "it went on");
}

#[tokio::test(start_paused = true)]
async fn many_wait_for_the_one_verification() {
    let block = block(&["cache", "serve_stale 1h verify 100ms 30s 20s"]);
    block.ask("a.").await;
    time::pass(seconds(300));
    block.says(Say::Address(2, 300)).delay(Duration::from_millis(50));
    let ask = || block.ask("a.");
    let all = tokio::join!(ask(), ask(), ask());
    assert_eq!([&*all.0, &*all.1, &*all.2], ["NOERROR 2@300"; 3], "none gets the old answer");
    assert_eq!(block.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_verification_is_not_repeated_at_once() {
    let block = block(&["cache", "serve_stale 1h verify 0s 30s 20s"]);
    block.ask("a.").await;
    time::pass(seconds(300));
    block.says(Say::Dead).delay(seconds(5));
    assert_eq!(block.ask("a.").await, "NOERROR 1@30 ede=3");
    for _ in 0..3 {
        assert_eq!(block.ask("a.").await, "NOERROR 1@30 ede=3");
    }
    assert_eq!(block.asked(), 2);
    time::pass(seconds(20));
    block.says(Say::Address(2, 300));
    assert_eq!(block.ask("a.").await, "NOERROR 2@300");
}

#[tokio::test(start_paused = true)]
async fn the_last_good_answer_is_preferred() {
    let block = block(&["cache", "serve_stale", "serve_stale_policy prefer_positive"]);
    block.ask("a.").await;
    time::pass(seconds(300));
    for version in [Say::NameError(600), Say::Empty, Say::Code(Rcode::SERVFAIL)] {
        block.says(version);
        assert_eq!(block.ask("a.").await, "NOERROR 1@0 ede=3", "{version:?}");
        assert_eq!(block.ask("a.").await, "NOERROR 1@0 ede=3", "{version:?}");
    }
    block.says(Say::Address(2, 60));
    assert_eq!(block.ask("a.").await, "NOERROR 1@0 ede=3");
    assert_eq!(block.ask("a.").await, "NOERROR 2@60");
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_is_cached() {
    let block = block(&["cache", "success 5000"]);
    block.ask("a.").await;
    let again = block.reloaded(&block.lines);
    assert_eq!(again.ask("a.").await, "NOERROR 1@300");
    let other = again.reloaded(&["cache 60", "success 5000", "keepttl"]);
    assert_eq!(other.ask("a.").await, "NOERROR 1@300");
    assert_eq!(other.asked(), 1);
    let smaller = other.reloaded(&["cache", "success 4000"]);
    smaller.ask("a.").await;
    assert_eq!(smaller.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_store_is_bounded() {
    let block = block(&["cache", "success 1024"]);
    for number in 0..3000 {
        block.ask(&format!("n{number}.example.org.")).await;
    }
    assert_eq!(block.asked(), 3000);
    for number in 0..3000 {
        block.ask(&format!("n{number}.example.org.")).await;
    }
    let hits = 6000 - block.asked();
    assert!((500..=1024).contains(&hits), "{hits}");
}

#[tokio::test(start_paused = true)]
async fn transfers_and_other_zones_pass() {
    let block = block(&["cache example.org"]);
    block.says(Say::Address(1, 90_000));
    assert_eq!(block.ask("a.net.").await, "NOERROR 1@90000 opt");
    assert_eq!(block.ask("a.example.org.").await, "NOERROR 1@3600");
    assert_eq!(block.ask("a.net.").await, "NOERROR 1@90000 opt");
    assert_eq!(block.asked(), 3);
}
