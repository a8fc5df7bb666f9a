use super::message::schema::{Dnstap as Tapped, Inner};
use super::*;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use chain::setup::{BlockSetup, Key, Task};
use chain::{Chain, Kept, Link, Services};
use corefile::NoFiles;
use prost::Message;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use wire::{Name, Rcode, Rtype, Transport};

use super::frames::reader;

/// A folder of this test alone, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("catena-dnstap-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("tap.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn clock() -> Clock {
    Clock { now: net::clock::now, unix: net::clock::unix }
}

/// The chain of a block with this directive, before one that answers, and the task of the sink.
fn chain_in(services: &Services, directive: &str) -> Result<(Arc<Chain>, Task, String), String> {
    let text = format!(". {{\n{directive}\n}}\n");
    let (corefile, problems) = corefile::parse("Corefile", &text, &NoFiles);
    assert!(problems.is_empty());
    let endpoint = wire::Endpoint::dns("127.0.0.1:1053".parse().unwrap());
    let keys = [Key::new(Name::root(), endpoint)];
    let mut block = BlockSetup::default();
    let uses: Vec<&Directive> = corefile.blocks[0].directives.iter().collect();
    let shown = |problems: &Diagnostics| corefile::render(problems, &corefile.sources);
    setup(&uses, &mut block.plugin("dnstap", &keys, services)).map_err(|wrong| shown(&wrong))?;
    block.plugin("answers", &keys, services).link(Answers);
    let links: Vec<Link> = std::mem::take(&mut block.links);
    let warnings = shown(&block.requests.warnings);
    let task = block.requests.finishing.remove(0);
    Ok((Arc::new(Chain::new(links, clock())), task, warnings))
}

fn services() -> Services {
    Services::new(1, clock(), Kept::default())
}

/// Answers at once, and has asked an upstream for it.
struct Answers;
impl ServeDns for Answers {
    fn on_query(&self, _: &mut Query, reply: &mut Reply) -> Served {
        reply.set_rcode(Rcode::NXDOMAIN);
        Ok(Step::Done)
    }
}

const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01";

fn query() -> Query {
    let mut query = Query::new();
    query.receive(QUESTION).unwrap();
    query.client.peer = "[::ffff:192.0.2.7]:5353".parse().unwrap();
    query.client.local = "192.0.2.1:53".parse().unwrap();
    query.client.received = net::clock::now();
    query
}

/// Asks, and sends `message` as the reply.
fn ask(chain: &Chain, message: &[u8]) {
    let (mut query, mut reply) = (query(), Reply::new());
    reply.begin(&query);
    assert_eq!(chain.run(&mut query, &mut reply), None);
    assert!(chain.watches_sent());
    chain.sent(&query, message);
}

async fn next(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) -> Tapped {
    Tapped::decode(&reader::next(stream).await.expect("a message")[..]).unwrap()
}

fn kind(tapped: &Tapped) -> i32 {
    tapped.message.as_ref().unwrap().kind
}

async fn accept(listener: &UnixListener) -> UnixStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    reader::begin(&mut stream).await;
    stream
}

#[tokio::test]
async fn a_reader_gets_query_reply_and_exchanges() {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.socket()).unwrap();
    let (chain, task, warnings) = chain_in(
        &services(),
        &format!(
            "dnstap {} full {{\n identity me\n version 7\n extra \"{{name}} {{rcode}}\"\n}}",
            folder.socket().display()
        ),
    )
    .unwrap();
    assert_eq!(warnings, "");
    let task = tokio::spawn(task());
    ask(&chain, b"the reply");
    let upstream: SocketAddr = "[2001:db8::53]:53".parse().unwrap();
    let taps: Vec<_> = chain.plugins().iter().filter_map(|plugin| plugin.roles().tap).collect();
    let now = net::clock::now();
    taps[0].exchanged(
        &query(),
        &UpstreamExchange {
            upstream,
            local: None,
            transport: Transport::Tls,
            question: b"asked",
            asked: now,
            reply: Some((b"came", now)),
        },
    );
    // A lookup of our own is nobody's query.
    let (mut own, mut reply) = (Query::new(), Reply::new());
    own.make_subquery(&query(), Name::from_text("b.").unwrap().as_wire(), Rtype::A, false);
    reply.begin(&own);
    chain.run(&mut own, &mut reply);

    let mut stream = accept(&listener).await;
    let asked = next(&mut stream).await;
    assert_eq!(asked.identity.as_deref(), Some(&b"me"[..]));
    assert_eq!(asked.version.as_deref(), Some(&b"7"[..]));
    assert_eq!(asked.extra.as_deref(), Some(&b"a.test. -"[..]));
    let message = asked.message.unwrap();
    let Inner { query_time_sec, query_time_nsec, .. } = message;
    assert!(query_time_sec.unwrap() > 1_700_000_000);
    let client = Inner {
        kind: 5,
        socket_family: Some(1),
        socket_protocol: Some(1),
        query_address: Some(vec![192, 0, 2, 7]),
        query_port: Some(5353),
        response_address: Some(vec![192, 0, 2, 1]),
        response_port: Some(53),
        query_time_sec,
        query_time_nsec,
        query_message: Some(QUESTION.to_vec()),
        ..Inner::default()
    };
    assert_eq!(message, client);
    let message = next(&mut stream).await.message.unwrap();
    let Inner { response_time_sec, response_time_nsec, .. } = message;
    assert!(response_time_sec >= query_time_sec);
    let answered = Inner {
        kind: 6,
        query_message: None,
        response_message: Some(b"the reply".to_vec()),
        response_time_sec,
        response_time_nsec,
        query_time_sec: message.query_time_sec,
        query_time_nsec: message.query_time_nsec,
        ..client
    };
    assert_eq!(message, answered);
    let message = next(&mut stream).await.message.unwrap();
    assert_eq!(
        (message.kind, message.socket_family, message.socket_protocol),
        (7, Some(2), Some(3))
    );
    assert_eq!((message.query_address, message.response_port), (None, Some(53)));
    assert_eq!(message.query_message.as_deref(), Some(&b"asked"[..]));
    let message = next(&mut stream).await.message.unwrap();
    assert_eq!((message.kind, message.response_message.as_deref()), (8, Some(&b"came"[..])));
    assert!(message.response_time_sec.is_some());
    drop(chain);
    assert_eq!(reader::next(&mut stream).await, None, "nothing more, and the end");
    task.await.unwrap();
}

#[tokio::test]
async fn messages_wait_for_a_reader_that_comes_late_or_again() {
    let folder = Folder::new();
    let socket = folder.socket();
    let (chain, task, _) =
        chain_in(&services(), &format!("dnstap unix://{}", socket.display())).unwrap();
    let task = tokio::spawn(task());
    ask(&chain, b"one");
    tokio::task::yield_now().await;
    let listener = UnixListener::bind(&socket).unwrap();
    let mut stream = accept(&listener).await;
    let first = next(&mut stream).await;
    assert_eq!((kind(&first), first.extra), (5, None));
    assert_eq!(first.message.unwrap().query_message, None, "only `full` has it");
    assert_eq!(kind(&next(&mut stream).await), 6);
    drop(stream);
    let mut stream = accept(&listener).await;
    ask(&chain, b"two");
    assert_eq!(kind(&next(&mut stream).await), 5);
    drop(chain);
    assert_eq!(kind(&next(&mut stream).await), 6);
    assert_eq!(reader::next(&mut stream).await, None);
    task.await.unwrap();
}

#[tokio::test]
async fn over_the_bounds_messages_are_dropped_and_counted() {
    let endpoint = |name: &str| Endpoint::Unix(Path::new("/nowhere").join(name));
    let mode = || Mode::Connect { verification: net::stream::Verification::System, send_buffer: 0 };
    let target = |name, queue| Target { endpoint: endpoint(name), mode: mode(), queue };
    let many = Sink::new(target("many", 1));
    for _ in 0..10_003 {
        many.offer(0, b"message");
    }
    assert_eq!(many.dropped(), 3);
    let large = Sink::new(target("large", 2));
    let message = vec![0; 1 << 20];
    for _ in 0..40 {
        large.offer(0, &message);
    }
    assert_eq!(large.dropped(), 8, "16 MiB for each 10,000 messages");
    // Who never came gets nothing, and the task ends with the sink.
    let task = large.task().unwrap();
    assert!(large.task().is_none(), "there is one task");
    drop(large);
    task.await;
}

/// A reader that connects as soon as somebody listens.
async fn connected(address: SocketAddr) -> TcpStream {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            reader::begin(&mut stream).await;
            return stream;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn readers_that_connect_get_what_comes_from_then_on() {
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let directive = format!("dnstap listen tcp://{address} full");
    let first = services();
    let (chain, task, warnings) = chain_in(&first, &directive).unwrap();
    assert_eq!(warnings, "");
    let task = tokio::spawn(task());
    ask(&chain, b"nobody is there");
    let mut one = connected(address).await;
    let mut two = connected(address).await;
    // A reader counts once the server saw that it agreed.
    let patience = std::time::Duration::from_millis(20);
    while tokio::time::timeout(patience, two.peek(&mut [0])).await.is_err() {
        ask(&chain, b"x");
    }
    let told = next(&mut two).await;
    assert_eq!(kind(&told), 5);
    assert_eq!(kind(&next(&mut one).await), 5);
    drop(one);

    // The same directive in the configuration that follows: the reader notices nothing.
    let second = Services::new(1, clock(), first.kept.successor());
    let (next_chain, next_task, _) = chain_in(&second, &directive).unwrap();
    next_task().await;
    drop((first, chain));
    second.kept.settle();
    ask(&next_chain, b"after the reload");
    loop {
        let message = next(&mut two).await.message.unwrap();
        if message.response_message.as_deref() == Some(b"after the reload") {
            break;
        }
    }
    drop((second, next_chain));
    assert_eq!(reader::next(&mut two).await, None);
    task.await.unwrap();
}

#[tokio::test]
async fn arguments_are_those_of_coredns() {
    for good in [
        "dnstap a.sock",
        "dnstap a.sock full 1024 4096",
        "dnstap unix:///tmp/a.sock full",
        "dnstap tcp://[::1]:6000",
        "dnstap tcp://example.com:6000 full 1",
        "dnstap tls://127.0.0.1:6000 full {\nskipverify\n}",
        "dnstap listen tcp://:6000",
        "dnstap a.sock {\nextra \"\"\n}",
    ] {
        let set_up = chain_in(&services(), good);
        assert_eq!(set_up.map(|(.., warnings)| warnings), Ok(String::new()), "{good}");
    }
    for (odd, expected) in [
        ("dnstap a.sock {\nskipverify\n}", "`skipverify` has no effect here"),
        ("dnstap listen tls://:6000", "no reader can connect to this listener"),
        ("dnstap listen tls://:6000 full {\ntls cert key ca\nskipverify\n}", "cannot use cert: "),
        ("dnstap listen tcp://:6000 {\ntls a b\n}", "`tls` has no effect here"),
        ("dnstap listen a.sock full 2", "a listener has no write buffer"),
        ("dnstap a.sock {\nextra {/forward/upstream}\n}", "metadata is not collected"),
        ("dnstap a.sock {\nextra {nmae}\n}", "did you mean `{name}`?"),
    ] {
        let (.., warnings) = chain_in(&services(), odd).unwrap();
        assert!(warnings.contains(expected), "{odd}: {warnings}");
    }
    for (bad, expected) in [
        ("dnstap", "SOCKET"),
        ("dnstap listen", "SOCKET"),
        ("dnstap a.sock ful", "expected `full`"),
        ("dnstap a.sock full 0", "from 1 to 1024"),
        ("dnstap a.sock full 1 4097", "from 1 to 4096"),
        ("dnstap a.sock full 1 1 1", "`1`"),
        ("dnstap tcp://127.0.0.1", "expected a host and a port"),
        ("dnstap udp://127.0.0.1:1", "expected `unix`, `tcp` or `tls`"),
        ("dnstap unix://", "the path or the host is missing"),
        ("dnstap a.sock {\nidentity\n}", "IDENTITY"),
        ("dnstap a.sock {\nversion 1 2\n}", "`2`"),
        ("dnstap a.sock {\nidentitiy a\n}", "did you mean `identity`?"),
        ("dnstap tls://a:1 {\ntls a b\n}", "`tls` applies only to listeners"),
        ("dnstap listen tls://a:1 {\ntls a\n}", "KEY"),
    ] {
        let Err(shown) = chain_in(&services(), bad) else { panic!("accepted: {bad}") };
        assert!(shown.contains(expected), "{bad}: {shown}");
    }
}
