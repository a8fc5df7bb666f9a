use super::*;

use std::sync::Arc;
use std::time::Duration;

use chain::setup::{BlockSetup, Key, Task};
use chain::{BoxFuture, Chain, Failure, Kept, Link, Next, Services};
use corefile::NoFiles;
use prost::Message;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wire::{Name, Rtype};

/// A collector: it keeps the requests, and answers with these statuses in turn, then with 202.
struct Sink {
    listener: TcpListener,
    statuses: Vec<u16>,
}

struct Request {
    head: String,
    body: Vec<u8>,
}

impl Sink {
    async fn new(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, statuses: statuses.to_vec() }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// The next request.
    async fn request(&mut self) -> Request {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        let (head, length) = loop {
            stream.read_buf(&mut bytes).await.unwrap();
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length = length.unwrap().parse::<usize>().unwrap();
                break (head, length);
            }
        };
        while bytes.len() < length {
            stream.read_buf(&mut bytes).await.unwrap();
        }
        let status = if self.statuses.is_empty() { 202 } else { self.statuses.remove(0) };
        let reply =
            format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(reply.as_bytes()).await.unwrap();
        Request { head, body: bytes }
    }
}

/// Fails, with a cause.
struct Fails;
impl ServeDns for Fails {
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        Err(if query.qtype() == Rtype::TXT {
            Failure::rcode(Rcode::REFUSED)
        } else {
            Failure::servfail("out of order")
        })
    }
}

/// Waits, and asks on.
struct Waits;
impl ServeDns for Waits {
    fn on_query(&self, _: &mut Query, _: &mut Reply) -> Served {
        Ok(Step::Wait)
    }
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            next.run(query, reply).await;
            Ok(Step::Done)
        })
    }
}

/// A chain behind this directive, and the exporter of it.
fn chain(directive: &str) -> (Arc<Chain>, Task) {
    let text = format!(". {{\n{directive}\n}}\n");
    let (corefile, problems) = corefile::parse("Corefile", &text, &NoFiles);
    assert!(problems.is_empty());
    let clock = Clock { now: net::clock::now, unix: net::clock::unix };
    let services = Services::new(1, clock, Kept::default());
    let endpoint = wire::Endpoint::dns("127.0.0.1:1053".parse().unwrap());
    let keys = [Key::new(Name::root(), endpoint)];
    let mut block = BlockSetup::default();
    let uses: Vec<&Directive> = corefile.blocks[0].directives.iter().collect();
    if let Err(wrong) = setup(&uses, &mut block.plugin("trace", &keys, &services)) {
        panic!("{}", corefile::render(&wrong, &corefile.sources));
    }
    block.plugin("waits", &keys, &services).link(Waits);
    block.plugin("fails", &keys, &services).link(Fails);
    let links: Vec<Link> = std::mem::take(&mut block.links);
    let links = chain::spans::watched(links, block.settings.block.spans_from, clock);
    (Arc::new(Chain::new(links, clock)), block.requests.finishing.remove(0))
}

fn query(name: &str, qtype: Rtype) -> Query {
    let mut query = Query::new();
    let name = Name::from_text(name).unwrap();
    query.make_subquery(&Query::new(), name.as_wire(), qtype, false);
    query.client.peer = "192.0.2.7:5353".parse().unwrap();
    query.client.received = net::clock::now();
    query.collect_metadata();
    query
}

/// Asks; the number of the trace as metadata tell it.
async fn ask(chain: &Arc<Chain>, query: &mut Query) -> Option<String> {
    let mut reply = Reply::new();
    reply.begin(query);
    if let Some(place) = chain.run(query, &mut reply) {
        chain.resume(place, query, &mut reply).await;
    }
    assert!(!query.is_traced(), "the trace ends with the query");
    query.metadata("trace/traceid").map(ToOwned::to_owned)
}

#[tokio::test]
async fn zipkin_gets_a_span_for_the_query_and_each_plugin() {
    let mut sink = Sink::new(&[]).await;
    let (chain, exporter) = chain(&format!(
        "trace {} {{\n service Dns\n zipkin_max_batch_size 3\n zipkin_max_batch_interval 1h\n}}",
        sink.address()
    ));
    let exporter = tokio::spawn(exporter());
    // The first look at the clock of the exporter is at once: let it find nothing.
    tokio::task::yield_now().await;
    let id = ask(&chain, &mut query("WWW.example.org.", Rtype::A)).await.unwrap();
    let request = sink.request().await;
    assert!(request.head.starts_with("POST /api/v2/spans HTTP/1.1\r\n"), "{}", request.head);
    for header in ["b3: 0", "content-type: application/json"] {
        assert!(request.head.contains(&format!("{header}\r\n")), "{}", request.head);
    }
    let spans: Value = serde_json::from_slice(&request.body).unwrap();
    let spans = spans.as_array().unwrap();
    let names: Vec<&str> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["servedns", "waits", "fails"]);
    assert!(spans.iter().all(|span| span["traceId"] == id.as_str() && id.len() == 16));
    assert_eq!(spans[0]["id"], id.as_str());
    assert_eq!(spans[0].get("parentId"), None);
    assert_eq!(spans[1]["parentId"], spans[0]["id"]);
    assert_eq!(spans[2]["parentId"], spans[1]["id"]);
    let local = &spans[0]["localEndpoint"];
    assert_eq!(
        (&local["serviceName"], &local["ipv4"], &local["port"]),
        (&"dns".into(), &"127.0.0.1".into(), &1053.into())
    );
    let whole = &spans[0];
    assert_eq!(whole["kind"], "SERVER");
    for (tag, value) in [
        ("coredns.io/name", "www.example.org."),
        ("coredns.io/type", "A"),
        ("coredns.io/proto", "udp"),
        ("coredns.io/remote", "192.0.2.7"),
        ("coredns.io/rcode", "SERVFAIL"),
        ("error", "true"),
    ] {
        assert_eq!(whole["tags"][tag], value, "{tag}");
    }
    assert_eq!(whole["annotations"][1]["value"], "error.object:out of order");
    let now = net::clock::unix_nanos(net::clock::now()) / 1000;
    let begun = whole["timestamp"].as_u64().unwrap();
    assert!((now - 60_000_000..=now).contains(&begun), "microseconds: {begun}");
    let took = |span: &Value| span["duration"].as_u64().unwrap();
    assert!(took(whole) >= took(&spans[2]) && took(&spans[2]) >= 1);

    drop(chain);
    exporter.await.unwrap();
}

#[tokio::test]
async fn otlp_gets_the_same_and_parts_of_other_traces() {
    let mut sink = Sink::new(&[]).await;
    let (chain, exporter) = chain(&format!("trace otlp {}", sink.address()));
    let id = ask(&chain, &mut query("a.", Rtype::A)).await.unwrap();
    let mut part = query("b.", Rtype::TXT);
    part.state.within = Some(SpanContext { trace: 0xAB, span: 0xCD });
    assert_eq!(ask(&chain, &mut part).await, None, "the query it is for has told it");
    drop(chain);
    // No more can come, so all is sent now.
    let (request, ()) = tokio::join!(sink.request(), exporter());
    assert!(request.head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", request.head);
    assert!(request.head.contains("content-type: application/x-protobuf\r\n"), "{}", request.head);
    let sent = otlp::Request::decode(&request.body[..]).unwrap();
    let [resource] = &sent.resource_spans[..] else { panic!("{sent:?}") };
    let text = |attributes: &[otlp::KeyValue], key: &str| {
        let found = attributes.iter().find(|it| it.key == key)?;
        found.value.clone()?.text
    };
    let about = &resource.resource.as_ref().unwrap().attributes;
    assert_eq!(text(about, "service.name").as_deref(), Some("coredns"));
    let spans = &resource.scope_spans[0].spans;
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["servedns", "waits", "fails", "waits", "fails"]);
    let number = u128::from_str_radix(&id, 16).unwrap();
    assert_eq!((spans[0].trace_id.as_slice(), id.len()), (&number.to_be_bytes()[..], 32));
    assert_eq!((spans[0].kind, spans[1].kind), (2, 1));
    assert!(spans[0].parent_span_id.is_empty());
    assert_eq!(spans[1].parent_span_id, spans[0].span_id);
    assert_eq!(text(&spans[0].attributes, "coredns.io/rcode").as_deref(), Some("SERVFAIL"));
    let status = spans[0].status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "out of order"));
    assert!(spans[0].start <= spans[1].start && spans[1].end <= spans[0].end);
    assert_eq!(spans[3].trace_id, 0xAB_u128.to_be_bytes());
    assert_eq!(spans[3].parent_span_id, 0xCD_u64.to_be_bytes());
    assert_eq!(spans[4].parent_span_id, spans[3].span_id);
}

#[tokio::test]
async fn datadog_gets_the_whole_query_only() {
    let mut sink = Sink::new(&[]).await;
    let (chain, exporter) =
        chain(&format!("trace datadog {} {{\n datadog_analytics_rate 0.25\n}}", sink.address()));
    let id = ask(&chain, &mut query("a.", Rtype::A)).await.unwrap();
    drop(chain);
    let (request, ()) = tokio::join!(sink.request(), exporter());
    assert!(request.head.starts_with("POST /v0.4/traces HTTP/1.1\r\n"), "{}", request.head);
    assert!(request.head.contains("x-datadog-trace-count: 1\r\n"), "{}", request.head);
    let traces: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((traces.as_array().unwrap().len(), traces[0].as_array().unwrap().len()), (1, 1));
    let span = &traces[0][0];
    assert_eq!((&span["name"], &span["service"]), (&"servedns".into(), &"coredns".into()));
    let number = span["trace_id"].as_u64().unwrap();
    assert_eq!(id, format!("{}{number:016x}", span["meta"]["_dd.p.tid"].as_str().unwrap()));
    assert_eq!(span["meta"]["coredns.io@name"], "a.");
    assert_eq!(span["meta"]["error.message"], "out of order");
    assert_eq!((&span["error"], &span["parent_id"]), (&1.into(), &0.into()));
    assert_eq!(span["metrics"]["_dd1.sr.eausr"], 0.25);
}

#[tokio::test]
async fn one_query_of_every_so_many_is_traced() {
    for (every, expected) in [(1, [true; 4]), (2, [false, true, false, true]), (0, [false; 4])] {
        let (chain, _exporter) = chain(&format!("trace {{\n every {every}\n}}"));
        for expected in expected {
            let traced = ask(&chain, &mut query("a.", Rtype::A)).await.is_some();
            assert_eq!(traced, expected, "every {every}");
        }
    }
}

#[tokio::test]
async fn what_the_collector_cannot_take_now_comes_again() {
    let mut sink = Sink::new(&[503, 200, 400]).await;
    let (chain, exporter) =
        chain(&format!("trace {} {{\n zipkin_max_batch_interval 20ms\n}}", sink.address()));
    let exporter = tokio::spawn(exporter());
    ask(&chain, &mut query("a.", Rtype::A)).await;
    let first = sink.request().await;
    let again = sink.request().await;
    assert_eq!(first.body, again.body);
    ask(&chain, &mut query("b.", Rtype::A)).await;
    let refused = sink.request().await;
    assert_ne!(refused.body, again.body, "taken once");
    drop(chain);
    // What was refused for good is not sent again, so nobody is waited for.
    exporter.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_oldest_go_when_too_many_wait() {
    let counter = |name| metrics::counter(name, "For this test.", &[], &[]);
    let sent = counter("catena_trace_test_sent_total");
    let dropped = counter("catena_trace_test_dropped_total");
    // Nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = format!(". {{\ntrace {address} {{\n zipkin_max_backlog_size 5\n}}\n}}\n");
    let (corefile, _) = corefile::parse("Corefile", &text, &NoFiles);
    let uses: Vec<&Directive> = corefile.blocks[0].directives.iter().collect();
    let Ok((config, _)) = config::parse(&uses) else { panic!("it is well formed") };
    let exporter = Exporter::new(config, None, sent.clone(), dropped.clone());
    let (queue, finished) = mpsc::channel(QUEUE);
    let exporter = tokio::spawn(exporter.run(finished));
    for _ in 0..4 {
        let mut spans = Spans::new(SpanContext { trace: 1, span: 0 }, 1);
        spans.begin(0, "one", wire::Moment(1));
        spans.begin(1, "two", wire::Moment(2));
        let (trace, spans) = spans.finish(wire::Moment(3));
        assert!(queue.try_send(Record { trace, spans, about: None }).is_ok());
    }
    while dropped.get() < 3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((sent.get(), dropped.get()), (0, 3));
    drop(queue);
    exporter.await.unwrap();
    assert_eq!((sent.get(), dropped.get()), (0, 8), "nobody took the rest");
}
