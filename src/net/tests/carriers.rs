//! Queries over HTTPS, QUIC and HTTP/3, each on a stream of its own, to servers that misbehave.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod peer;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use net::client::{
    Carried, Connections, ConnectionsFull, InvalidReply, Method, Network, Outgoing, Over,
    PoolOptions, Resource, Template,
};
use net::tls::{Client, Session, Trust};
use peer::{Does, Kind, NAME, Peer, certificate};

const SECOND: Duration = Duration::from_secs(1);
const KINDS: [Kind; 3] = [Kind::Https, Kind::Quic, Kind::H3];

// --- questions

fn session(trust: &Trust, name: &str) -> Session {
    Client::new(trust, None).unwrap().session(name).unwrap()
}

/// What is spoken with a peer of this kind, with its certificate trusted.
fn over(kind: Kind, method: Method) -> Over {
    let session = session(&certificate().trusted(), NAME);
    let resource = || Resource::new("dns.example.org", &Template::default(), method).unwrap();
    match kind {
        Kind::Https => Over::https(&session, resource()),
        Kind::Quic => Over::quic(&session).unwrap(),
        Kind::H3 => Over::h3(&session, resource()).unwrap(),
    }
}

fn connections(kind: Kind) -> Arc<Connections> {
    Arc::new(Connections::new(&over(kind, Method::Post), PoolOptions::default()))
}

async fn ask(pool: &Connections, to: SocketAddr, message: &[u8]) -> io::Result<Carried> {
    ask_for(pool, to, message, 20 * SECOND).await
}

/// Takes the reply that is the message itself.
async fn ask_for(
    pool: &Connections,
    to: SocketAddr,
    message: &[u8],
    patience: Duration,
) -> io::Result<Carried> {
    let mut accept = |reply: &[u8]| reply == message;
    let sent = Outgoing::new(to, message, patience);
    let carried = pool.ask(&Network::Os, sent, &mut accept).await?;
    assert_eq!(carried.reply, message);
    Ok(carried)
}

fn numbered(number: usize) -> Vec<u8> {
    format!("id query {number}").into_bytes()
}

/// Asks so many at once; all must be answered. How many had a connection opened for them.
async fn ask_many(pool: &Arc<Connections>, to: SocketAddr, count: usize) -> usize {
    let asked: Vec<_> = (0..count)
        .map(|number| {
            let pool = Arc::clone(pool);
            tokio::spawn(async move { ask(&pool, to, &numbered(number)).await })
        })
        .collect();
    let mut opened = 0;
    for one in asked {
        opened += usize::from(!one.await.unwrap().unwrap().reused);
    }
    opened
}

fn echo(asked: &[u8]) -> Does {
    Does::Answer(asked.to_vec())
}

fn why(error: &io::Error) -> &str {
    &error.get_ref().unwrap().downcast_ref::<InvalidReply>().unwrap().0
}

// --- connections

#[tokio::test]
async fn many_queries_share_one_connection_and_say_no_id() {
    for kind in KINDS {
        let peer = Peer::start(kind, |asked| {
            assert!(asked.starts_with(b"\0\0 query"), "{asked:?}");
            echo(asked)
        })
        .await;
        let pool = connections(kind);
        assert_eq!(ask_many(&pool, peer.address, 100).await, 1, "{kind:?}");
        assert!(ask(&pool, peer.address, b"id query").await.unwrap().reused);
        assert_eq!(peer.connections(), 1);
    }
}

#[tokio::test]
async fn there_is_a_second_connection_when_the_first_is_full() {
    for kind in KINDS {
        let peer = Peer::start(kind, |_| Does::Hold).await;
        let pool = connections(kind);
        let asked: Vec<_> = (0..150)
            .map(|number| {
                let pool = Arc::clone(&pool);
                tokio::spawn(async move { ask(&pool, peer.address, &numbered(number)).await })
            })
            .collect();
        while peer.asked() < 150 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(peer.connections(), 2, "{kind:?}");
        asked.iter().for_each(|one| one.abort());
    }
}

#[tokio::test]
async fn a_query_that_gives_up_leaves_the_others_alone() {
    for kind in KINDS {
        let peer = Peer::start(kind, |asked| match asked {
            b"\0\0 slow" => Does::Hold,
            _ => echo(asked),
        })
        .await;
        let pool = connections(kind);
        ask(&pool, peer.address, b"id query").await.unwrap();
        let (gave_up, answered) = tokio::join!(
            ask_for(&pool, peer.address, b"id slow", Duration::from_millis(100)),
            ask(&pool, peer.address, b"id query"),
        );
        assert_eq!(gave_up.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(answered.unwrap().reused);
        assert!(ask(&pool, peer.address, b"id query").await.unwrap().reused, "{kind:?}");
        assert_eq!(peer.connections(), 1);
    }
}

#[tokio::test]
async fn who_never_answers_gets_a_new_connection_next_time() {
    for kind in KINDS {
        let peer = Peer::start(kind, |_| Does::Hold).await;
        let pool = connections(kind);
        for _ in 0..2 {
            let wait = Duration::from_millis(100);
            let error = ask_for(&pool, peer.address, b"id query", wait).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        assert_eq!(peer.connections(), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn a_connection_that_died_is_replaced_and_its_queries_are_asked_again() {
    for kind in KINDS {
        let peer = Peer::start(kind, |asked| match asked {
            b"\0\0 die" => Does::HangUp,
            _ => echo(asked),
        })
        .await;
        let pool = connections(kind);
        // Opened for this query, so it may be the query's fault.
        let error = ask(&pool, peer.address, b"id die").await.unwrap_err();
        // A reset, if something was on its way to it.
        let gone = matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset);
        assert!(gone, "{kind:?}: {error}");
        ask(&pool, peer.address, b"id query").await.unwrap();
        let before = peer.connections();
        // Twice, each over a connection that died.
        assert!(ask(&pool, peer.address, b"id die").await.is_err());
        assert_eq!(peer.asked_for(b"\0\0 die"), 3, "{kind:?}");
        assert!(peer.connections() > before);
        eventually("one that is opened ahead", || peer.open() == 1).await;
        assert_eq!(ask_many(&pool, peer.address, 20).await, 0, "{kind:?}");
    }
}

/// The server is gone and another one is at its address: TCP says so, QUIC does not.
#[tokio::test]
async fn a_server_that_started_again_costs_no_timeout() {
    for kind in KINDS {
        let mut peer = Peer::start(kind, echo).await;
        let pool = connections(kind);
        ask(&pool, peer.address, b"id query").await.unwrap();
        peer.restart().await;
        let begun = Instant::now();
        ask(&pool, peer.address, b"id query").await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(1800), "{kind:?} {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_slow_answer_is_waited_for_on_the_connection_that_it_was_asked_on() {
    for kind in KINDS {
        let peer = Peer::start(kind, |asked| Does::Later(asked.to_vec(), 2 * SECOND)).await;
        let pool = connections(kind);
        ask(&pool, peer.address, b"id query").await.unwrap();
        ask(&pool, peer.address, b"id query").await.unwrap();
        assert_eq!((peer.connections(), peer.asked()), (1, 2), "{kind:?}");
    }
}

#[tokio::test]
async fn where_nobody_listens_is_known_at_once() {
    for kind in KINDS {
        let mut peer = Peer::start(kind, echo).await;
        peer.stop().await;
        let begun = Instant::now();
        let error = ask(&connections(kind), peer.address, b"id query").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{kind:?}: {error}");
        let to = peer.address;
        let dialled = match kind {
            Kind::Https => format!("Post \"https://{to}/dns-query\": dial tcp {to}: connect: "),
            Kind::Quic => format!("->{to}: read: "),
            Kind::H3 => format!("Post \"https://{to}/dns-query\": "),
        };
        let text = error.to_string();
        assert!(text.contains(&dialled) && text.ends_with("connection refused"), "{text}");
        assert!(begun.elapsed() < SECOND);
    }
}

#[tokio::test]
async fn sessions_are_resumed() {
    for kind in KINDS {
        let peer = Peer::start(kind, echo).await;
        let over = over(kind, Method::Post);
        for _ in 0..3 {
            ask(&Connections::once(&over), peer.address, b"id query").await.unwrap();
        }
        assert_eq!((peer.connections(), peer.resumed.load(Ordering::SeqCst)), (3, 2), "{kind:?}");
    }
}

#[tokio::test]
async fn who_cannot_prove_who_it_is_gets_nothing() {
    for kind in KINDS {
        let peer = Peer::start(kind, echo).await;
        let named = session(&certificate().trusted(), "other.example.org");
        let unknown = session(&Trust::none(), NAME);
        for (session, expected) in [(named, "is valid for"), (unknown, "unknown authority")] {
            let resource =
                Resource::new("dns.example.org", &Template::default(), Method::Post).unwrap();
            let over = match kind {
                Kind::Https => Over::https(&session, resource),
                Kind::Quic => Over::quic(&session).unwrap(),
                Kind::H3 => Over::h3(&session, resource).unwrap(),
            };
            let pool = Connections::new(&over, PoolOptions::default());
            let error = ask(&pool, peer.address, b"id query").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{kind:?}: {error}");
            // What QUIC says of TLS is text by the time it comes here.
            let told = error.to_string().replace("not valid for name", "is valid for");
            let told = told.replace("UnknownIssuer", "unknown authority");
            assert!(told.contains(expected), "{kind:?}: {error}");
        }
        assert_eq!(peer.asked(), 0);
    }
}

#[tokio::test]
async fn over_the_bound_queries_are_refused() {
    let peer = Peer::start(Kind::Https, |_| Does::Hold).await;
    let pool = connections(Kind::Https);
    let places = 32 * 100;
    let waiting = 1000;
    let asked: Vec<_> = (0..places + waiting)
        .map(|number| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move {
                ask_for(&pool, peer.address, &numbered(number), 60 * SECOND).await
            })
        })
        .collect();
    while peer.asked() < places {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = ask(&pool, peer.address, b"id query").await.unwrap_err();
    assert!(error.get_ref().unwrap().is::<ConnectionsFull>(), "{error}");
    assert_eq!(peer.connections(), 32);
    asked.iter().for_each(|one| one.abort());
}

// --- kept warm

async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < 20 * SECOND, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_connection_is_opened_ahead_of_the_first_query() {
    for kind in KINDS {
        let peer = Peer::start(kind, echo).await;
        let pool = connections(kind);
        pool.warm(None, peer.address);
        pool.warm(None, peer.address);
        eventually("a connection", || peer.connections() == 1).await;
        assert!(ask(&pool, peer.address, b"id query").await.unwrap().reused);
        assert_eq!(peer.connections(), 1);
    }
}

#[tokio::test]
async fn an_idle_connection_ends_unless_others_of_the_upstream_are_used() {
    for kind in KINDS {
        let peer = Peer::start(kind, echo).await;
        let expire = SECOND;
        let options = PoolOptions { expire, ..PoolOptions::default() };
        let pools = Connections::several(&over(kind, Method::Post), &options, 2);
        for pool in &pools {
            ask(pool, peer.address, b"id query").await.unwrap();
        }
        // Worker 1 idles, worker 0 does not.
        let begun = Instant::now();
        while begun.elapsed() < 2 * expire {
            ask(&pools[0], peer.address, b"id query").await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!((peer.open(), peer.connections()), (2, 2), "{kind:?}");
        assert!(ask(&pools[1], peer.address, b"id query").await.unwrap().reused);
        eventually("the end of both", || peer.open() == 0).await;
        assert_eq!(peer.connections(), 2, "and none is opened for nobody");
    }
}

#[tokio::test]
async fn a_pool_that_goes_takes_its_connections_along() {
    for kind in KINDS {
        let peer = Peer::start(kind, echo).await;
        let pool = connections(kind);
        ask(&pool, peer.address, b"id query").await.unwrap();
        drop(pool);
        eventually("the end", || peer.open() == 0).await;
    }
}

// --- HTTP

#[tokio::test]
async fn get_and_post() {
    for kind in [Kind::Https, Kind::H3] {
        for (method, expected) in
            [(Method::Get, "GET /dns-query?dns=AAAgcXVlcnk"), (Method::Post, "POST /dns-query")]
        {
            let peer = Peer::start(kind, echo).await;
            let pool = Connections::new(&over(kind, method), PoolOptions::default());
            ask(&pool, peer.address, b"id query").await.unwrap();
            assert_eq!(peer.heads(), [format!("{expected} dns.example.org")], "{kind:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_and_the_connection_goes_on() {
    let html = "HTTP content of type `text/html` is no DNS message";
    let moved =
        "HTTP status 302 Found, to `https://elsewhere.example/`: redirects are not followed";
    for kind in [Kind::Https, Kind::H3] {
        let peer = Peer::start(kind, |asked| match asked {
            b"\0\0 missing" => Does::Status(404, vec![]),
            b"\0\0 moved" => Does::Status(302, vec![("location", "https://elsewhere.example/")]),
            b"\0\0 html" => Does::Http(b"<p>".to_vec(), vec![("content-type", "text/html")]),
            b"\0\0 long" => Does::Answer(vec![0; 65_536]),
            b"\0\0 other" => Does::Answer(b"\0\0 another".to_vec()),
            b"\0\0 old" => Does::Http(
                asked.to_vec(),
                vec![("content-type", "application/dns-message"), ("age", "250")],
            ),
            _ => echo(asked),
        })
        .await;
        let pool = connections(kind);
        ask(&pool, peer.address, b"id query").await.unwrap();
        for (message, expected) in [
            (&b"id missing"[..], "HTTP status 404 Not Found"),
            (b"id moved", moved),
            (b"id html", html),
            (b"id long", "HTTP content of more than 65535 bytes"),
            (b"id other", "what came is no reply to the question"),
        ] {
            let error = ask(&pool, peer.address, message).await.unwrap_err();
            assert_eq!(why(&error), expected);
        }
        let carried = ask(&pool, peer.address, b"id old").await.unwrap();
        assert_eq!((carried.reused, carried.age), (true, 250));
        assert_eq!(peer.connections(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn the_longest_messages_come_through() {
    for kind in KINDS {
        let peer = Peer::start(kind, echo).await;
        let pool = connections(kind);
        let mut long = vec![b'x'; 65_535];
        long[..2].copy_from_slice(b"id");
        for _ in 0..20 {
            ask(&pool, peer.address, &long).await.unwrap();
        }
        assert_eq!(peer.connections(), 1, "{kind:?}");
        long.push(0);
        let error = ask(&pool, peer.address, &long).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn a_server_must_speak_http_2() {
    let peer = Peer::start(Kind::Quic, echo).await;
    let error = ask(&connections(Kind::H3), peer.address, b"id query").await.unwrap_err();
    assert!(error.to_string().contains("QUIC: aborted by peer"), "{error}");
    let address = peer::tls_without_protocol().await;
    let error = ask(&connections(Kind::Https), address, b"id query").await.unwrap_err();
    let request = format!("Post \"https://{address}/dns-query\"");
    assert_eq!(error.to_string(), format!("{request}: the server does not speak HTTP/2"));
}

// --- DNS over QUIC

/// RFC 9250 section 4.3.3: these are errors that end the connection, whose other queries are asked
/// again.
#[tokio::test]
async fn a_server_that_breaks_the_rules_of_doq_is_hung_up_on() {
    let rules = "against the rules of DNS over QUIC: ";
    for (bytes, expected) in [
        (&b"\0"[..], "the stream ended before the message"),
        (b"\0\x08\0\0 doq", "the stream ended within the message"),
        (b"\0\x06\0\0 doq\0\x06\0\0 doq", "more than one message for a query"),
        (b"\0\x06id doq", "a message with an id"),
    ] {
        let peer = Peer::start(Kind::Quic, move |asked| match asked {
            b"\0\0 doq" => Does::Raw(bytes.to_vec()),
            b"\0\0 wait" => Does::Later(asked.to_vec(), SECOND / 2),
            _ => echo(asked),
        })
        .await;
        let pool = connections(Kind::Quic);
        ask(&pool, peer.address, b"id query").await.unwrap();
        let (other, error) = tokio::join!(
            ask(&pool, peer.address, b"id wait"),
            ask(&pool, peer.address, b"id doq"),
        );
        assert_eq!(why(&error.unwrap_err()), format!("{rules}{expected}"));
        assert!(other.is_ok());
        assert_eq!(peer.asked_for(b"\0\0 wait"), 2);
        eventually("DOQ_PROTOCOL_ERROR", || peer.closed() == [2]).await;
    }
}

#[tokio::test]
async fn a_stream_that_a_doq_server_resets_is_an_answer_too() {
    let peer = Peer::start(Kind::Quic, |asked| match asked {
        b"\0\0 reset" => Does::Reset(1),
        _ => echo(asked),
    })
    .await;
    let pool = connections(Kind::Quic);
    ask(&pool, peer.address, b"id query").await.unwrap();
    let error = ask(&pool, peer.address, b"id reset").await.unwrap_err();
    assert_eq!(why(&error), "DOQ_INTERNAL_ERROR from the server");
    ask(&pool, peer.address, b"id query").await.unwrap();
    assert_eq!((peer.connections(), peer.asked_for(b"\0\0 reset")), (1, 1));
}
