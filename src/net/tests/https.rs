//! DNS over HTTPS over real sockets: what clients may do, and what they had better not.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::*;
use data_encoding::BASE64URL_NOPAD;
use h2::client::{Builder, SendRequest};
use http::{Method, Request, Response};
use net::tls::{
    Acceptor, Certificate, Chain, ClientAuth, Clients, Credentials, Identity, Material, TicketKeys,
    Trust,
};
use net::{Limits, ListenSpec};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio_rustls::TlsConnector;
use wire::{Endpoint, Scheme};

const NAME: &str = "dns.example";

/// A listener with TLS, and the configuration of its clients.
struct Site {
    spec: ListenSpec,
    config: ClientConfig,
}

impl Site {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let chain = Chain::from_pem(made.cert.pem().as_bytes()).unwrap();
        let identity = Identity::new(chain, made.signing_key.serialize_pem().as_bytes()).unwrap();
        let material = Material {
            certificates: vec![Certificate::new(&identity).unwrap()],
            clients: Clients::new(ClientAuth::None, &Trust::none()).unwrap(),
        };
        let credentials = Credentials::new(material, TicketKeys::random().unwrap(), None);
        let mut spec = plain();
        spec.tls = Some(Acceptor::new(vec![Arc::new(credentials)]).unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { spec, config }
    }

    /// A session whose octets the test makes itself.
    fn raw(&self, to: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        StreamOwned::new(
            ClientConnection::new(Arc::new(self.config.clone()), name).unwrap(),
            stream,
        )
    }

    /// A client of HTTP/2.
    async fn client(&self, to: SocketAddr) -> SendRequest<Bytes> {
        self.client_with(to, &Builder::new()).await
    }

    async fn client_with(&self, to: SocketAddr, builder: &Builder) -> SendRequest<Bytes> {
        let stream = tokio::net::TcpStream::connect(to).await.unwrap();
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        let name = ServerName::try_from(NAME).unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let (client, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

/// A listener without TLS.
fn plain() -> ListenSpec {
    let address = "127.0.0.1:0".parse().unwrap();
    ListenSpec::new(Endpoint { scheme: Scheme::Https, address })
}

fn run<F: Future>(test: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), test).await }).unwrap()
}

fn get(message: &[u8]) -> Request<()> {
    let uri = format!("https://{NAME}/dns-query?dns={}", BASE64URL_NOPAD.encode(message));
    Request::get(uri).body(()).unwrap()
}

fn post(path: &str) -> Request<()> {
    Request::post(format!("https://{NAME}{path}"))
        .header("content-type", "application/dns-message")
        .body(())
        .unwrap()
}

/// Sends a request; the response with its body.
async fn ask(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    body: Option<&[u8]>,
) -> Result<Response<Vec<u8>>, h2::Error> {
    let mut client = client.clone().ready().await?;
    let (response, mut sending) = client.send_request(request, body.is_none())?;
    if let Some(body) = body {
        sending.send_data(Bytes::copy_from_slice(body), true)?;
    }
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        let _ = body.flow_control().release_capacity(part.len());
        bytes.extend_from_slice(&part);
    }
    Ok(Response::from_parts(head, bytes))
}

async fn must(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    body: Option<&[u8]>,
) -> Response<Vec<u8>> {
    ask(client, request, body).await.unwrap()
}

#[test]
fn get_and_post_over_http2() {
    let workers = workers(1, Limits::default());
    let site = Site::new();
    let (_listener, addr, _) = listen_with(&workers, &site.spec);
    run(async {
        let client = site.client(addr).await;
        let asked = message(0, READY, &[7; 30]);
        let replies = [
            must(&client, get(&asked), None).await,
            must(&client, post("/dns-query"), Some(&asked)).await,
        ];
        for reply in replies {
            assert_eq!(reply.status(), 200);
            assert_eq!(reply.headers()["content-type"], "application/dns-message");
            assert_eq!(reply.headers()["cache-control"], "max-age=0");
            assert_eq!(reply.headers()["content-length"], "43");
            assert_eq!(reply.body()[13..], [7; 30]);
        }
        let large = message(0, READY, &vec![7; 65_535 - 13]);
        let reply = must(&client, post("/dns-query"), Some(&large)).await;
        assert_eq!(reply.body().len(), 65_535);
        let status = async |request, body| must(&client, request, body).await.status().as_u16();
        let other = |method: Method| {
            Request::builder()
                .method(method)
                .uri(format!("https://{NAME}/dns-query"))
                .body(())
                .unwrap()
        };
        assert_eq!(status(post("/other"), Some(&asked)).await, 404);
        assert_eq!(status(other(Method::PUT), Some(&asked)).await, 405);
        assert_eq!(status(other(Method::HEAD), None).await, 405);
        assert_eq!(status(other(Method::GET), None).await, 400);
        assert_eq!(status(post("/dns-query"), Some(&[0; 11])).await, 400);
        assert_eq!(status(post("/dns-query"), Some(&[0; 70_000])).await, 413);
        assert_eq!(status(get(&message(0, SILENT, &[])), None).await, 500);
        assert_eq!(status(get(&message(0, LATE_PANIC, &[])), None).await, 500);
        assert_eq!(status(get(&asked), None).await, 200, "the connection goes on");
    });
    workers.shutdown(Duration::ZERO);
}

#[test]
fn answers_overtake_each_other_and_streams_are_bounded() {
    let workers = workers(1, Limits::default());
    let mut site = Site::new();
    site.spec.http.as_mut().unwrap().max_streams = 40;
    let (_listener, addr, _) = listen_with(&workers, &site.spec);
    run(async {
        let client = site.client(addr).await;
        let slow = { client.clone() };
        let slow = tokio::spawn(async move {
            let reply = must(&slow, get(&message(0, WAITS, &[250])), None).await;
            (reply.status(), Instant::now())
        });
        let mut quick = Vec::new();
        for _ in 0..300 {
            let client = client.clone();
            quick.push(tokio::spawn(async move {
                must(&client, get(&message(0, READY, &[1])), None).await.status()
            }));
        }
        for reply in quick {
            assert_eq!(reply.await.unwrap(), 200);
        }
        let quick_done = Instant::now();
        let (status, slow_done) = slow.await.unwrap();
        assert!(status == 200 && slow_done > quick_done, "the slow one is behind");
        assert_eq!(client.current_max_send_streams(), 40);
    });
    workers.shutdown(Duration::ZERO);
}

/// Preface and settings of a client that makes frames by itself.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Writes frames until the server has enough of it; whether it had before `most`.
fn flood(
    stream: &mut StreamOwned<ClientConnection, TcpStream>,
    most: usize,
    mut frames: impl FnMut(usize) -> Vec<u8>,
) -> bool {
    if stream.write_all(PREFACE).is_err() {
        return true;
    }
    for round in 0..most {
        if stream.write_all(&frames(round)).is_err() {
            return true;
        }
    }
    // What it said meanwhile, up to its end.
    let _ = stream.sock.set_read_timeout(Some(Duration::from_secs(2)));
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return !matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                );
            }
        }
    }
}

#[test]
fn attacks_end_the_connection_and_nothing_else() {
    let workers = workers(1, Limits::default());
    let site = Site::new();
    let (_listener, addr, _) = listen_with(&workers, &site.spec);
    run(async {
        let honest = site.client(addr).await;
        let asked = get(&message(0, READY, &[7]));
        assert_eq!(must(&honest, asked.clone(), None).await.status(), 200);
        // Headers without end, in frames without end.
        let mut stream = site.raw(addr);
        assert!(flood(&mut stream, 5000, |round| match round {
            0 => frame(1, 0, 1, &[0x82, 0x87]),
            // A literal header that nobody knows, and its value.
            _ => frame(
                9,
                0,
                1,
                &[&[0x00, 0x01, b'x', 0x7f, 0x81, 0x7e][..], &[b'y'; 16_000]].concat()
            ),
        }));
        // Streams that are reset at once.
        let mut stream = site.raw(addr);
        assert!(flood(&mut stream, 20_000, |round| {
            let id = round as u32 * 2 + 1;
            // GET https / with no authority: enough to be a request.
            [frame(1, 5, id, &[0x82, 0x87, 0x84]), frame(3, 0, id, &[0, 0, 0, 8])].concat()
        }));
        // Pings without end are answered, and cost no memory if nobody reads the answers.
        let mut stream = site.raw(addr);
        let _ = flood(&mut stream, 2000, |_| frame(6, 0, 0, &[0; 8]));
        // A frame larger than permitted, and one on a stream that cannot be.
        let mut stream = site.raw(addr);
        assert!(flood(&mut stream, 1, |_| frame(0, 0, 1, &[0; 20_000])));
        let mut stream = site.raw(addr);
        assert!(flood(&mut stream, 1, |_| frame(1, 5, 2, &[0x82, 0x87, 0x84])));
        assert_eq!(must(&honest, asked, None).await.status(), 200);
    });
    workers.shutdown(Duration::ZERO);
}

#[test]
fn who_takes_no_replies_gets_no_more_of_them() {
    let workers = workers(1, Limits::default());
    let mut site = Site::new();
    site.spec.tcp.write = Duration::from_millis(500);
    let (_listener, addr, _) = listen_with(&workers, &site.spec);
    run(async {
        let mut builder = Builder::new();
        builder.initial_window_size(0);
        let greedy = site.client_with(addr, &builder).await;
        let large = message(0, READY, &vec![7; 50_000]);
        let mut all = Vec::new();
        for _ in 0..60 {
            let (greedy, large) = (greedy.clone(), large.clone());
            all.push(tokio::spawn(async move {
                ask(&greedy, post("/dns-query"), Some(&large)).await.is_ok()
            }));
        }
        for reply in all {
            assert!(!reply.await.unwrap(), "there is no room for it");
        }
        let stats = workers.stats();
        assert!(stats.https_dropped >= 60 - 21 && stats.tcp_timed_out == 1, "{stats:?}");
    });
    eventually("it is gone", || workers.stats().tcp_open == 0);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn connections_are_bounded_and_idle_ones_close() {
    let workers = workers(1, Limits::default());
    let mut site = Site::new();
    site.spec.http.as_mut().unwrap().max_connections = 2;
    site.spec.tcp.idle = Duration::from_millis(300);
    let (_listener, addr, _) = listen_with(&workers, &site.spec);
    run(async {
        let asked = || get(&message(0, READY, &[7]));
        let (one, two) = (site.client(addr).await, site.client(addr).await);
        assert_eq!(must(&one, asked(), None).await.status(), 200);
        assert_eq!(must(&two, asked(), None).await.status(), 200);
        let mut third = tokio::net::TcpStream::connect(addr).await.unwrap();
        let read = tokio::io::AsyncReadExt::read(&mut third, &mut [0; 1]).await;
        assert!(read.is_err() || read.is_ok_and(|octets| octets == 0));
        assert_eq!(workers.stats().https_refused, 1);
        // A query that waits longer keeps its connection.
        assert_eq!(must(&two, get(&message(0, WAITS, &[255, 0])), None).await.status(), 200);
        eventually("idle ones are closed", || workers.stats().tcp_open == 0);
        assert!(ask(&one, asked(), None).await.is_err());
        assert_eq!(must(&site.client(addr).await, asked(), None).await.status(), 200);
    });
    workers.shutdown(Duration::ZERO);
}

#[test]
fn a_listener_that_closes_answers_what_it_has() {
    let workers = workers(1, Limits::default());
    let site = Site::new();
    let (listener, addr, _) = listen_with(&workers, &site.spec);
    run(async {
        let client = site.client(addr).await;
        let waiting = { client.clone() };
        let waiting = tokio::spawn(async move {
            must(&waiting, get(&message(0, WAITS, &[200])), None).await.status()
        });
        eventually("it waits", || workers.stats().waiting == 1);
        let start = Instant::now();
        listener.close(Duration::from_secs(5)).await;
        assert_eq!(waiting.await.unwrap(), 200);
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert!(ask(&client, get(&message(0, READY, &[7])), None).await.is_err());
    });
    workers.shutdown(Duration::ZERO);
}

/// Sends text to a plain listener; what comes back until it closes, or two seconds.
fn exchange(addr: SocketAddr, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(text).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn http1_in_plain_text() {
    let workers = workers(1, Limits::default());
    let mut spec = plain();
    spec.tcp.idle = Duration::from_millis(400);
    spec.tcp.read = Duration::from_millis(400);
    spec.http.as_mut().unwrap().proxies = vec![("127.0.0.0".parse().unwrap(), 8)];
    let (_listener, addr, _) = listen_with(&workers, &spec);
    let asked = BASE64URL_NOPAD.encode(&message(0, ADDRESSES, &[]));
    let get = format!(
        "GET /dns-query?dns={asked} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9, 127.0.0.1\r\n\r\n"
    );
    // Two on one connection, which then is closed.
    let said = exchange(addr, get.repeat(2).as_bytes());
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
    assert_eq!(said.matches("203.0.113.9:0 127.0.0.1").count(), 2, "{said}");
    let post = |headers: &str, body: &[u8]| {
        let head = format!("POST /dns-query HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        exchange(addr, &[head.as_bytes(), body].concat())
    };
    let small = message(0, READY, &[7; 30]);
    let length = format!("Content-Length: {}\r\n", small.len());
    assert!(post(&length, &small).starts_with("HTTP/1.1 200"));
    assert!(post("Content-Length: 70000\r\n", &[0; 1000]).starts_with("HTTP/1.1 413"));
    let chunk = [&b"4000\r\n"[..], &[0; 0x4000], b"\r\n"].concat();
    let said = post("Transfer-Encoding: chunked\r\n", &chunk.repeat(5));
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
    let said = post("Content-Length: 100\r\n", &[0; 10]);
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(exchange(addr, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(exchange(addr, b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    // Heads that are too long, or do not end.
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(200_000));
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _ = stream.write_all(long.as_bytes());
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).contains(" 200 "));
    let start = Instant::now();
    exchange(addr, b"GET /dns-query HTTP/1.1\r\nHost:");
    assert!(start.elapsed() < Duration::from_millis(1900), "{:?}", start.elapsed());
    eventually("all are gone", || workers.stats().tcp_open == 0);
    workers.shutdown(Duration::ZERO);
}
