//! `grpc` before a server of the service, made of hyper: over TCP, TLS and a unix socket, with replies
//! that are right and replies of many other kinds.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::RecordType;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use wire::{Rtype, name};

use crate::ask::{Client, Question};
use crate::kit::{Answer, PATIENCE, Scratch, Server, free_port, question};

const NAME: &str = "dns.example.net";
/// Questions at once.
const BURST: u16 = 300;

/// A server of the service; ends with the value.
struct Upstream {
    /// Dropped, it ends everything that runs on it.
    _runtime: Runtime,
    connections: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
}

/// Where it listens.
enum At<'a> {
    Tcp(u16),
    Tls(u16, &'a rcgen::CertifiedKey<rcgen::KeyPair>),
    Unix(&'a Path),
}

impl Upstream {
    fn start(at: &At<'_>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (connections, calls) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&connections), Arc::clone(&calls));
        let _entered = runtime.enter();
        match *at {
            At::Unix(path) => {
                let listener = UnixListener::bind(path).unwrap();
                runtime.spawn(async move {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        counts.0.fetch_add(1, Ordering::Relaxed);
                        tokio::spawn(serve(stream, "localhost", Arc::clone(&counts.1)));
                    }
                });
            }
            At::Tcp(port) | At::Tls(port, _) => {
                let acceptor = match at {
                    At::Tls(_, certificate) => Some(acceptor(certificate)),
                    _ => None,
                };
                let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", port))).unwrap();
                runtime.spawn(async move {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        counts.0.fetch_add(1, Ordering::Relaxed);
                        let (acceptor, calls) = (acceptor.clone(), Arc::clone(&counts.1));
                        tokio::spawn(async move {
                            let Some(acceptor) = acceptor else {
                                return serve(stream, "127.0.0.1", calls).await;
                            };
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                            serve(stream, NAME, calls).await;
                        });
                    }
                });
            }
        }
        Self { _runtime: runtime, connections, calls }
    }
}

fn acceptor(certificate: &rcgen::CertifiedKey<rcgen::KeyPair>) -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(certificate.signing_key.serialize_der().into());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// A body that is there already.
struct Parts(VecDeque<Frame<Bytes>>);

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

async fn serve<S>(stream: S, host: &'static str, calls: Arc<AtomicUsize>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        calls.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, Infallible>(answer(request, host).await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // CoreDNS's bound on calls at once.
    builder.max_concurrent_streams(256);
    // It ends when the other side goes away.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// Answers as the first label of the name says.
async fn answer(request: Request<Incoming>, host: &str) -> Response<Parts> {
    let (head, body) = request.into_parts();
    assert_eq!(head.uri.path(), "/coredns.dns.DnsService/Query");
    assert_eq!(head.uri.host(), Some(host));
    for (name, value) in [("te", "trailers"), ("content-type", "application/grpc")] {
        assert_eq!(head.headers[name], value);
    }
    assert!(head.headers["grpc-timeout"].to_str().unwrap().ends_with('m'));
    let body = body.collect().await.unwrap().to_bytes();
    // The prefix, the field's key and a length that fits one or two octets.
    let (frame, packet) = body.split_first_chunk::<5>().unwrap();
    assert_eq!(frame[0], 0);
    assert_eq!(u32::from_be_bytes(*frame.last_chunk().unwrap()) as usize, packet.len());
    let asked = &packet[if packet[1] < 128 { 2 } else { 3 }..];
    let label = String::from_utf8_lossy(&asked[13..13 + usize::from(asked[12])]).into_owned();
    let mut good = reply(asked);
    match label.as_str() {
        "notfound" => return bare(&[("grpc-status", "5"), ("grpc-message", "no%20such%20name")]),
        "unavailable" => return bare(&[("grpc-status", "14")]),
        "internal" => return with_trailers(Vec::new(), &[("grpc-status", "13")]),
        "http" => return Response::builder().status(503).body(Parts(VecDeque::new())).unwrap(),
        "html" => {
            let html = Response::builder().header("content-type", "text/html");
            return html.body(Parts([Frame::data(Bytes::from("<html>"))].into())).unwrap();
        }
        "unsaid" => return with_trailers(framed(&good), &[("x", "y")]),
        "other" => good[13] ^= 1,
        "zero" => good[..2].fill(0),
        "garbage" => good = b"garbage".to_vec(),
        "long" => good.resize(70_000, 0),
        "never" => std::future::pending().await,
        _ => {}
    }
    with_trailers(framed(&good), &[("grpc-status", "0")])
}

fn bare(headers: &[(&'static str, &'static str)]) -> Response<Parts> {
    let mut response = Response::builder().header("content-type", "application/grpc");
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Parts(VecDeque::new())).unwrap()
}

fn with_trailers(body: Vec<u8>, trailers: &[(&'static str, &'static str)]) -> Response<Parts> {
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        map.insert(*name, HeaderValue::from_static(value));
    }
    // In parts, as they come through flow control.
    let parts = body.chunks(1000).map(|part| Frame::data(Bytes::copy_from_slice(part)));
    let frames = parts.chain([Frame::trailers(map)]).collect();
    let response = Response::builder().header("content-type", "application/grpc+proto");
    response.body(Parts(frames)).unwrap()
}

/// The message as protobuf in a frame, lengths written out.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x0A];
    let mut rest = message.len();
    while rest >= 128 {
        packet.push(rest as u8 | 128);
        rest >>= 7;
    }
    packet.push(rest as u8);
    packet.extend_from_slice(message);
    [&[0][..], &(packet.len() as u32).to_be_bytes(), &packet].concat()
}

/// An A record for whatever is asked.
fn reply(asked: &[u8]) -> Vec<u8> {
    let end = 12 + name::wire_len(&asked[12..]).unwrap() + 4;
    let mut reply = asked[..end].to_vec();
    reply[2] = 0x81;
    reply[3] = 0x80;
    reply[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
    reply.extend_from_slice(&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    reply
}

fn ask(server: &Server, name: &str) -> Answer {
    server.ask(&question(9, name, Rtype::A, &[]))
}

/// Sends a burst over UDP and waits for all answers.
fn burst(server: &Server) {
    let socket = server.udp();
    for id in 0..BURST {
        socket.send(&question(id, &format!("n{id}.example.org."), Rtype::A, &[])).unwrap();
    }
    let mut ids = HashSet::new();
    let mut bytes = [0; 2048];
    while ids.len() < usize::from(BURST) {
        let len = socket.recv(&mut bytes).unwrap();
        let answer = Answer(bytes[..len].to_vec());
        assert_eq!((answer.rcode(), answer.answers()), (0, 1));
        assert!(ids.insert(answer.id()));
    }
}

#[test]
fn calls_share_a_connection_and_only_replies_are_taken() {
    let port = free_port();
    let upstream = Upstream::start(&At::Tcp(port));
    let mut server = Server::start_under(
        &format!(
            ".:{{port}} {{\n  bind 127.0.0.1\n  errors\n  grpc . 127.0.0.1:{port} {{\n    \
             fallthrough through.test\n  }}\n  whoami\n}}\n"
        ),
        &[("GOMAXPROCS", "2")],
    );
    burst(&server);
    let connections = upstream.connections.load(Ordering::Relaxed);
    assert!((1..=2).contains(&connections), "{connections} connections for two workers");

    assert_eq!(ask(&server, "zero.test.").answers(), 1, "the id does not matter");
    let missing = ask(&server, "notfound.test.");
    assert_eq!((missing.rcode(), missing.answers()), (3, 0));
    // Somebody else answers, with addresses in the additional section.
    let elsewhere = ask(&server, "notfound.through.test.");
    assert_eq!((elsewhere.rcode(), elsewhere.authoritative()), (0, true));
    for (name, why) in [
        ("unavailable", "code = Unavailable"),
        ("internal", "code = Internal"),
        ("http", "HTTP status 503"),
        ("html", "a reply that is no gRPC"),
        ("unsaid", "a reply without status"),
        ("other", "a reply to another question"),
        ("garbage", "a reply to another question"),
        ("long", "too long"),
    ] {
        let answer = ask(&server, &format!("{name}.test."));
        assert_eq!((answer.rcode(), answer.answers()), (2, 0), "{name}");
        server.wait_for(why);
    }
    burst(&server);
    // Each failure was followed by a check, on a connection of its own.
    assert!(upstream.connections.load(Ordering::Relaxed) <= connections + 8, "they were kept");
}

#[test]
fn a_server_is_believed_by_its_certificate_and_found_again_when_it_restarts() {
    let certificate = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let files = Scratch::new();
    files.write("cert.pem", &certificate.cert.pem());
    let port = free_port();
    let upstream = Upstream::start(&At::Tls(port, &certificate));
    let ca = files.path().join("cert.pem");
    let block = |zone: &str, name: &str, tls: &str| {
        format!(
            "{zone}:{{port}} {{\n  bind 127.0.0.1\n  errors\n  grpc . 127.0.0.1:{port} {{\n    \
             {tls}\n    tls_servername {name}\n  }}\n}}\n"
        )
    };
    let tls = format!("tls {}", ca.display());
    let mut server = Server::start(
        &[
            block("example.org", NAME, &tls),
            block("wrong-name.test", "other.example.net", &tls),
            block("untrusted.test", NAME, "tls"),
        ]
        .concat(),
    );
    burst(&server);
    for zone in ["wrong-name.test.", "untrusted.test."] {
        assert_eq!(ask(&server, zone).rcode(), 2);
    }
    server.wait_for("x509: certificate is valid for dns.example.net, not other.example.net");
    server.wait_for("x509: certificate signed by unknown authority");

    drop(upstream);
    let _upstream = Upstream::start(&At::Tls(port, &certificate));
    let patient = Client::with_patience(server.port, PATIENCE);
    let here = Question::new("again.example.org.", RecordType::A);
    let deadline = Instant::now() + PATIENCE;
    // Until somebody listens again it is refused at once.
    while patient.try_udp(&here).unwrap().rcode != ResponseCode::NoError {
        assert!(Instant::now() < deadline);
    }
    burst(&server);
}

#[test]
fn a_unix_socket_is_an_upstream() {
    let folder = Scratch::new();
    let path: PathBuf = folder.path().join("dns.sock");
    let upstream = Upstream::start(&At::Unix(&path));
    let server = Server::start(&format!(
        ".:{{port}} {{\n  bind 127.0.0.1\n  grpc . unix://{}\n}}\n",
        path.display()
    ));
    burst(&server);
    assert!(upstream.calls.load(Ordering::Relaxed) >= usize::from(BURST));
}

#[test]
fn an_upstream_that_is_gone_holds_up_nobody() {
    let ports = [free_port(), free_port()];
    let (silent, _good) =
        (Upstream::start(&At::Tcp(ports[0])), Upstream::start(&At::Tcp(ports[1])));
    let server = Server::start(&format!(
        ".:{{port}} {{\n  bind 127.0.0.1\n  grpc . 127.0.0.1:{} 127.0.0.1:{} {{\n    policy \
         sequential\n  }}\n}}\n",
        ports[0], ports[1]
    ));
    assert!(silent.calls.load(Ordering::Relaxed) > 0);
    drop(silent);
    // Gone: the next one answers at once.
    for number in 0..20 {
        let begun = Instant::now();
        assert_eq!(ask(&server, &format!("n{number}.test.")).answers(), 1);
        assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    }
    let _silent = Upstream::start(&At::Tcp(ports[0]));
    // Nobody answers this name; after a second both were asked, after five it is over.
    let begun = Instant::now();
    let patient = Client::with_patience(server.port, PATIENCE);
    let never = patient.try_udp(&Question::new("never.test.", RecordType::A)).unwrap();
    assert_eq!(never.rcode, ResponseCode::ServFail);
    let took = begun.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(8)).contains(&took), "{took:?}");
    assert_eq!(ask(&server, "after.test.").answers(), 1);
}
