//! Connections with many queries on them, over TCP and TLS, to servers that misbehave.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use net::client::{Connections, Network, Outgoing, Over, PoolOptions, Reused, StreamPool};
use net::tls::{Client, Identity, Trust};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio_rustls::TlsAcceptor;

const SECOND: Duration = Duration::from_secs(1);
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NAME: &str = "dns.example.org";

/// A connection to a server, of either kind.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}
type Boxed = Box<dyn Stream>;

/// What a server saw.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    handshakes: Mutex<Vec<HandshakeKind>>,
}

/// A server that does with each connection what `script` says.
async fn serve<F>(
    tls: Option<ServerConfig>,
    script: impl Fn(Boxed) -> F + Send + 'static,
) -> (SocketAddr, Arc<Seen>)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.connections.fetch_add(1, Ordering::Relaxed);
            let Some(acceptor) = &acceptor else {
                tokio::spawn(script(Box::new(stream)));
                continue;
            };
            // One after the other, so that the order in `handshakes` is that of the queries.
            if let Ok(stream) = acceptor.accept(stream).await {
                let kind = stream.get_ref().1.handshake_kind().unwrap();
                counted.handshakes.lock().unwrap().push(kind);
                tokio::spawn(script(Box::new(stream)));
            }
        }
    });
    (address, seen)
}

async fn receive(stream: &mut Boxed) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn send(stream: &mut Boxed, message: &[u8]) -> io::Result<()> {
    let framed = [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat();
    stream.write_all(&framed).await?;
    stream.flush().await
}

/// Answers each message with itself.
async fn echo(mut stream: Boxed) -> io::Result<()> {
    loop {
        let message = receive(&mut stream).await?;
        send(&mut stream, &message).await?;
    }
}

// --- certificates

/// A certificate that vouches for itself.
struct Certificate {
    pem: String,
    key_pem: String,
    made: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Certificate {
    fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    fn with(name: &str, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Self {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let cert = params.self_signed(&signing_key).unwrap();
        let made = rcgen::CertifiedKey { cert, signing_key };
        Self { pem: made.cert.pem(), key_pem: made.signing_key.serialize_pem(), made }
    }

    /// A server with this certificate, that asks clients for one of theirs if `clients` is given.
    fn server(&self, clients: Option<&Self>) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.made.cert.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivatePkcs8KeyDer::from(self.made.signing_key.serialize_der());
        builder.with_single_cert(vec![self.made.cert.der().clone()], key.into()).unwrap()
    }

    fn trusted(&self) -> Trust {
        Trust::from_pem(self.pem.as_bytes()).unwrap()
    }

    fn options(&self) -> PoolOptions {
        let session = Client::new(&self.trusted(), None).unwrap().session(NAME).unwrap();
        PoolOptions { session: Some(session), ..PoolOptions::default() }
    }
}

// --- questions

async fn ask(pool: &StreamPool, to: SocketAddr, message: &[u8]) -> io::Result<(Vec<u8>, Reused)> {
    ask_for(pool, to, message, 20 * SECOND).await
}

/// Takes the reply that is the message itself.
async fn ask_for(
    pool: &StreamPool,
    to: SocketAddr,
    message: &[u8],
    patience: Duration,
) -> io::Result<(Vec<u8>, Reused)> {
    let mut accept = |reply: &[u8]| reply == message;
    pool.ask(&Network::Os, Outgoing::new(to, message, patience), &mut accept).await
}

/// A message with this number, and an id that many others have too.
fn numbered(number: usize) -> Vec<u8> {
    format!("{:02}, query {number}", number % 10).into_bytes()
}

/// Asks so many at once; all must be answered.
async fn ask_many(pool: &Arc<StreamPool>, to: SocketAddr, count: usize) -> Vec<Reused> {
    let asked: Vec<_> = (0..count)
        .map(|number| {
            let pool = Arc::clone(pool);
            tokio::spawn(async move { ask(&pool, to, &numbered(number)).await })
        })
        .collect();
    let mut reused = Vec::new();
    for one in asked {
        reused.push(one.await.unwrap().unwrap().1);
    }
    reused
}

/// Holds everything back until `count` messages came on all connections together, then answers
/// the last first.
fn reversing(count: usize) -> impl Fn(Boxed) -> futures::Boxed {
    let came = Arc::new(tokio::sync::watch::channel(0).0);
    move |stream| {
        let came = Arc::clone(&came);
        Box::pin(async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let all = Arc::new(Mutex::new(Vec::new()));
            let mut told = came.subscribe();
            let kept = Arc::clone(&all);
            tokio::spawn(async move {
                loop {
                    let mut message = vec![0; usize::from(reader.read_u16().await?)];
                    reader.read_exact(&mut message).await?;
                    kept.lock().unwrap().push(message);
                    came.send_modify(|came| *came += 1);
                }
                #[allow(unreachable_code, reason = "names the type of errors")]
                Ok::<_, io::Error>(())
            });
            told.wait_for(|came| *came >= count).await.unwrap();
            loop {
                let next = all.lock().unwrap().pop();
                let Some(message) = next else { break };
                writer.write_u16(u16::try_from(message.len()).unwrap()).await?;
                writer.write_all(&message).await?;
            }
            writer.flush().await?;
            std::future::pending().await
        })
    }
}

mod futures {
    pub(crate) type Boxed = std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;
}

#[tokio::test]
async fn a_thousand_queries_over_few_connections_answered_in_any_order() {
    let certificate = Certificate::new(NAME);
    let secure = (Some(certificate.server(None)), certificate.options());
    for (tls, options) in [(None, PoolOptions::default()), secure] {
        let (to, seen) = serve(tls, reversing(1000)).await;
        let pool = Arc::new(StreamPool::new(options));
        let reused = ask_many(&pool, to, 1000).await;
        let opened = reused.iter().filter(|reused| !reused.0).count();
        // 64 on each; a few more if this machine is slow, which looks like a slow server.
        assert!((16..32).contains(&opened), "{opened}");
        assert_eq!(seen.connections.load(Ordering::Relaxed), opened);
    }
}

#[tokio::test]
async fn a_server_that_takes_its_time_for_one_query_does_not_hold_up_all() {
    let held_up = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&held_up);
    let (to, _) = serve(None, move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            loop {
                let message = receive(&mut stream).await?;
                if message.starts_with(b"slow") {
                    counted.fetch_add(1, Ordering::Relaxed);
                    return std::future::pending().await;
                }
                send(&mut stream, &message).await?;
            }
        }
    })
    .await;
    let pool = Arc::new(StreamPool::new(PoolOptions::default()));
    let slow = |_| {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { ask(&pool, to, b"slow").await })
    };
    let slow: Vec<_> = (0..8).map(slow).collect();
    while held_up.load(Ordering::Relaxed) < 4 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(150)).await;
    tokio::time::resume();
    let begun = std::time::Instant::now();
    ask_many(&pool, to, 300).await;
    assert!(begun.elapsed() < 10 * SECOND, "nobody waited behind a slow one");
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn idle_connections_are_bounded_and_expire() {
    let (to, seen) = serve(None, reversing(200)).await;
    let expire = Duration::from_millis(50);
    let options = PoolOptions { expire, max_idle: 2, ..PoolOptions::default() };
    let pool = Arc::new(StreamPool::new(options));
    ask_many(&pool, to, 200).await;
    assert_eq!(seen.connections.load(Ordering::Relaxed), 4);
    assert_eq!(pool.len(), 2);
    while !pool.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_connection_is_used_for_longer_than_max_age() {
    let (to, _) = serve(None, echo).await;
    let (expire, max_age) = (10 * SECOND, 10 * SECOND);
    let pool = StreamPool::new(PoolOptions { expire, max_age, ..PoolOptions::default() });
    let mut reused = Vec::new();
    for seconds in [0, 4, 4, 4, 9, 2, 30] {
        tokio::time::pause();
        tokio::time::advance(seconds * SECOND).await;
        tokio::time::resume();
        reused.push(ask(&pool, to, b"question").await.unwrap().1.0);
    }
    assert_eq!(reused, [false, true, true, false, true, false, false]);
}

#[tokio::test]
async fn who_closes_after_each_reply_is_asked_all_the_same() {
    let certificate = Certificate::new(NAME);
    let secure = (Some(certificate.server(None)), certificate.options());
    // More than there may be connections; fewer over TLS, which takes its time in a debug build.
    for ((tls, options), count) in [((None, PoolOptions::default()), 400), (secure, 50)] {
        let (to, _) = serve(tls, |mut stream| async move {
            let message = receive(&mut stream).await?;
            send(&mut stream, &message).await?;
            stream.shutdown().await
        })
        .await;
        let pool = Arc::new(StreamPool::new(options));
        for number in 0..10 {
            ask(&pool, to, &numbered(number)).await.unwrap();
        }
        ask_many(&pool, to, count).await;
    }
}

#[tokio::test]
async fn who_closes_in_mid_reply_fails_each_query_once() {
    let (to, seen) = serve(None, |mut stream| async move {
        receive(&mut stream).await?;
        stream.write_all(&[0, 200, 1, 2, 3]).await
    })
    .await;
    let pool = Arc::new(StreamPool::new(PoolOptions::default()));
    let error = ask(&pool, to, b"question").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(seen.connections.load(Ordering::Relaxed), 1, "its own connection died");
    let asked: Vec<_> = (0..5)
        .map(|number| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { ask(&pool, to, &numbered(number)).await })
        })
        .collect();
    for one in asked {
        assert!(one.await.unwrap().is_err());
    }
    let connections = seen.connections.load(Ordering::Relaxed);
    assert_eq!(connections, 1 + 4 + 2, "two shared one, and got one each");
    assert!(pool.is_empty());
}

/// What CoreDNS says, and so the patterns of its operators.
#[tokio::test]
async fn failures_are_told_as_go_tells_them() {
    let certificate = Certificate::new(NAME);
    let plain = || StreamPool::new(PoolOptions::default());
    let wait = Duration::from_millis(50);
    let told = async |pool: StreamPool, to| ask_for(&pool, to, b"question", wait).await;
    let told = async |pool, to| told(pool, to).await.unwrap_err().to_string();
    let (hangs_up, _) =
        serve(None, |mut stream| async move { receive(&mut stream).await.map(drop) }).await;
    assert_eq!(told(plain(), hangs_up).await, "EOF");
    let (breaks_off, _) = serve(None, |mut stream| async move {
        receive(&mut stream).await?;
        stream.write_all(&[0, 200, 1, 2, 3]).await
    })
    .await;
    assert_eq!(told(plain(), breaks_off).await, "unexpected EOF");
    let (silent, _) = serve(None, |stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
        Ok(())
    })
    .await;
    let text = told(plain(), silent).await;
    let rest = text.strip_prefix("read tcp 127.0.0.1:").unwrap();
    assert!(rest.ends_with(&format!("->{silent}: i/o timeout")), "{text}");
    let greets_nobody = StreamPool::new(certificate.options());
    assert_eq!(told(greets_nobody, silent).await, "context deadline exceeded");
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    for pool in [plain(), StreamPool::new(certificate.options())] {
        let expected = format!("dial tcp {gone}: connect: connection refused");
        assert_eq!(told(pool, gone).await, expected);
    }
}

#[tokio::test]
async fn a_connection_is_opened_ahead_and_may_be_gone_when_it_is_needed() {
    let certificate = Certificate::new(NAME);
    let certificate_options = certificate.options();
    let gone = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&gone);
    // The first connection ends before it is used.
    let script = move |stream: Boxed| {
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if first { Ok(()) } else { echo(stream).await } }
    };
    let (to, seen) = serve(Some(certificate.server(None)), script).await;
    let session = certificate_options.session.unwrap();
    let pool = Connections::new(&Over::Tls(session), PoolOptions::default());
    pool.warm(None, to);
    pool.warm(None, to);
    let mut accept = |reply: &[u8]| reply == b"question";
    let sent = Outgoing::new(to, b"question", 20 * SECOND);
    pool.ask(&Network::Os, sent, &mut accept).await.unwrap();
    assert_eq!(seen.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn who_never_answers_is_not_asked_on_the_same_connection_again() {
    let (to, seen) = serve(None, |mut stream| async move {
        while receive(&mut stream).await? != b"question" {}
        echo(stream).await
    })
    .await;
    let pool = StreamPool::new(PoolOptions::default());
    let wait = Duration::from_millis(50);
    let error = ask_for(&pool, to, b"nothing", wait).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(pool.is_empty());
    assert_eq!(
        ask_for(&pool, to, b"question", wait).await.unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    assert_eq!(seen.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn the_late_reply_to_who_left_goes_to_nobody_else() {
    let barrier = Arc::new(Barrier::new(2));
    let here = Arc::clone(&barrier);
    let (to, seen) = serve(None, move |mut stream| {
        let barrier = Arc::clone(&barrier);
        async move {
            let first = receive(&mut stream).await?;
            barrier.wait().await;
            let second = receive(&mut stream).await?;
            assert_ne!(first[..2], second[..2], "the id is still taken");
            for message in [first, second] {
                send(&mut stream, &message).await?;
            }
            let third = receive(&mut stream).await?;
            assert_eq!(third[..2], *b"ID", "the reply came: it is free");
            send(&mut stream, &third).await
        }
    })
    .await;
    let strays = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&strays);
    let stray = Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let pool = StreamPool::new(PoolOptions { stray, ..PoolOptions::default() });
    tokio::select! {
        _ = ask(&pool, to, b"ID first") => panic!("it is not answered"),
        _ = here.wait() => {}
    }
    for question in [b"ID second", b"ID third!"] {
        let sent = Outgoing::new(to, question, 20 * SECOND);
        let (reply, reused) = pool.ask(&Network::Os, sent, &mut |_| true).await.unwrap();
        assert!(reused.0);
        assert_eq!(reply, question);
    }
    assert_eq!(seen.connections.load(Ordering::Relaxed), 1);
    assert_eq!(strays.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_right_id_is_not_enough() {
    let (to, _) = serve(None, |mut stream| async move {
        let message = receive(&mut stream).await?;
        let mut wrong = message.clone();
        wrong[3] ^= 1;
        send(&mut stream, &wrong).await?;
        send(&mut stream, b"x").await?;
        send(&mut stream, &[]).await?;
        send(&mut stream, &message).await?;
        std::future::pending().await
    })
    .await;
    let pool = StreamPool::new(PoolOptions::default());
    assert_eq!(ask(&pool, to, b"question").await.unwrap().0, b"question");
}

#[tokio::test]
async fn certificates_must_be_right() {
    let (good, other) = (Certificate::new(NAME), Certificate::new("other.example.org"));
    let (to, _) = serve(Some(other.server(None)), echo).await;
    // Both certificates have the same issuer, by name.
    let other_name = "x509: certificate is valid for other.example.org, not dns.example.org";
    for (options, why) in [(other.options(), other_name), (good.options(), "BadSig")] {
        let pool = Arc::new(StreamPool::new(options));
        // Also to those who did not open the connection.
        let (one, two) = tokio::join!(ask(&pool, to, b"question"), ask(&pool, to, b"another"));
        for error in [one.unwrap_err(), two.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(pool.is_empty());
    }
    let (plain, _) =
        serve(None, |mut stream| async move { send(&mut stream, b"no TLS").await }).await;
    let pool = StreamPool::new(good.options());
    let error = ask(&pool, plain, b"question").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "tls: first record does not look like a TLS handshake");
}

#[tokio::test]
async fn a_server_may_have_the_very_certificate_that_is_trusted() {
    let authority = |params: &mut rcgen::CertificateParams| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    };
    let trusted = Certificate::with(NAME, authority);
    let twin = Certificate::with(NAME, authority);
    let named = Certificate::with("other.example.org", authority);
    let old = Certificate::with(NAME, |params| {
        authority(params);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let refused = [
        (&twin, &trusted, "CaUsedAsEndEntity"),
        (&named, &named, "certificate is valid for other.example.org, not"),
        (&old, &old, "expired"),
    ];
    for (server, client, why) in refused {
        let (to, _) = serve(Some(server.server(None)), echo).await;
        let pool = StreamPool::new(client.options());
        let error = ask(&pool, to, b"question").await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let (to, _) = serve(Some(trusted.server(None)), echo).await;
    ask(&StreamPool::new(trusted.options()), to, b"question").await.unwrap();
}

#[tokio::test]
async fn sessions_are_resumed() {
    let certificate = Certificate::new(NAME);
    let (to, seen) = serve(Some(certificate.server(None)), echo).await;
    let session = certificate.options().session;
    for _ in 0..3 {
        let once = StreamPool::new(PoolOptions::once(session.clone()));
        ask(&once, to, b"question").await.unwrap();
    }
    let handshakes = seen.handshakes.lock().unwrap();
    assert_eq!(*handshakes, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed]);
}

#[tokio::test]
async fn servers_may_ask_who_we_are() {
    let (server, client) = (Certificate::new(NAME), Certificate::new("client.example.org"));
    let (to, _) = serve(Some(server.server(Some(&client))), echo).await;
    let nobody = StreamPool::new(server.options());
    assert!(ask(&nobody, to, b"question").await.is_err());
    let identity = Identity::from_pem(client.pem.as_bytes(), client.key_pem.as_bytes()).unwrap();
    let known = Client::new(&server.trusted(), Some(&identity)).unwrap();
    let session = Some(known.session(NAME).unwrap());
    let pool = StreamPool::new(PoolOptions { session, ..PoolOptions::default() });
    ask(&pool, to, b"question").await.unwrap();
}

#[test]
fn what_is_no_certificate_is_refused() {
    let (one, other) = (Certificate::new(NAME), Certificate::new(NAME));
    assert!(Trust::from_pem(one.key_pem.as_bytes()).is_err());
    assert!(Identity::from_pem(one.key_pem.as_bytes(), one.key_pem.as_bytes()).is_err());
    assert!(Identity::from_pem(one.pem.as_bytes(), one.pem.as_bytes()).is_err());
    let mixed = Identity::from_pem(one.pem.as_bytes(), other.key_pem.as_bytes()).unwrap();
    assert!(Client::new(&one.trusted(), Some(&mixed)).is_err());
}

#[test]
fn sessions_are_equal_if_all_they_are_made_of_is() {
    let (one, other) = (Certificate::new(NAME), Certificate::new(NAME));
    let session = |certificate: &Certificate| certificate.options().session.unwrap();
    assert_eq!(session(&one), session(&one));
    assert_ne!(session(&one), session(&other));
    let named = Client::new(&one.trusted(), None).unwrap().session("192.0.2.1").unwrap();
    assert_ne!(session(&one), named);
}
