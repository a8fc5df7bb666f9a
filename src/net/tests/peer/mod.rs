//! Servers of DNS over HTTPS, QUIC and HTTP/3 that do what a test says, each in a runtime of its
//! own, so that it can be gone from one moment to the next.

#![allow(unreachable_pub, reason = "a part of a test")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Request, Response};
use net::tls::Trust;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, VarInt};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

pub const NAME: &str = "dns.example.org";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Https,
    Quic,
    H3,
}

/// What becomes of a query.
pub enum Does {
    /// This comes back as a DNS message.
    Answer(Vec<u8>),
    /// After a while.
    Later(Vec<u8>, Duration),
    /// Nothing, for ever.
    Hold,
    /// The connection ends.
    HangUp,
    /// A response of HTTP with these headers.
    Http(Vec<u8>, Vec<(&'static str, &'static str)>),
    /// An empty response of HTTP.
    Status(u16, Vec<(&'static str, &'static str)>),
    /// These bytes on the stream.
    Raw(Vec<u8>),
    /// The stream is reset.
    Reset(u32),
}

type Script = Arc<dyn Fn(&[u8]) -> Does + Send + Sync>;

/// What a server saw.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    asked: Mutex<Vec<Vec<u8>>>,
    heads: Mutex<Vec<String>>,
    closed: Mutex<Vec<u64>>,
}

/// Counts the connections that are open.
struct Open(Arc<Seen>);

impl Open {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.connections.fetch_add(1, Ordering::SeqCst);
        seen.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(seen))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A server.
pub struct Peer {
    kind: Kind,
    pub address: SocketAddr,
    runtime: Option<Runtime>,
    script: Script,
    seen: Arc<Seen>,
    /// How many sessions were resumed.
    pub resumed: Arc<AtomicUsize>,
}

impl Peer {
    pub async fn start(kind: Kind, script: impl Fn(&[u8]) -> Does + Send + Sync + 'static) -> Self {
        let mut peer = Self {
            kind,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            runtime: None,
            script: Arc::new(script),
            seen: Arc::default(),
            resumed: Arc::default(),
        };
        peer.run().await;
        peer
    }

    /// Ends without a word, and begins again at the same address.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.run().await;
    }

    /// Ends without a word.
    pub async fn stop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
        while self.bind().await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn bind(&self) -> io::Result<(Option<TcpListener>, Option<UdpSocket>)> {
        Ok(match self.kind {
            Kind::Https => (Some(TcpListener::bind(self.address).await?), None),
            Kind::Quic | Kind::H3 => (None, Some(UdpSocket::bind(self.address).await?)),
        })
    }

    async fn run(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (listener, socket) = self.bind().await.unwrap();
        let tls = server_config(self.kind, &self.resumed);
        let (script, seen) = (Arc::clone(&self.script), Arc::clone(&self.seen));
        let _inside = runtime.enter();
        if let Some(listener) = listener {
            self.address = listener.local_addr().unwrap();
            let listener = TcpListener::from_std(listener.into_std().unwrap()).unwrap();
            runtime.spawn(https(listener, tls, script, seen));
            self.runtime = Some(runtime);
            return;
        }
        if let Some(socket) = socket {
            self.address = socket.local_addr().unwrap();
            let crypto = QuicServerConfig::try_from(Arc::new(tls)).unwrap();
            let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
            let endpoint = Endpoint::new(
                quinn::EndpointConfig::default(),
                Some(config),
                socket.into_std().unwrap(),
                Arc::new(quinn::TokioRuntime),
            )
            .unwrap();
            let kind = self.kind;
            runtime.spawn(async move {
                while let Some(incoming) = endpoint.accept().await {
                    let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                    tokio::spawn(async move {
                        let Ok(connection) = incoming.await else { return };
                        let open = Open::new(&seen);
                        match kind {
                            Kind::H3 => h3(connection, script, seen).await,
                            _ => quic(connection, script, seen).await,
                        }
                        drop(open);
                    });
                }
            });
        }
        self.runtime = Some(runtime);
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many connections there are.
    pub fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    /// How many queries came.
    pub fn asked(&self) -> usize {
        self.seen.asked.lock().unwrap().len()
    }

    /// How often this was asked.
    pub fn asked_for(&self, message: &[u8]) -> usize {
        self.seen.asked.lock().unwrap().iter().filter(|asked| *asked == message).count()
    }

    /// Method, path and authority of all requests.
    pub fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    /// With which codes connections were closed by the other side.
    pub fn closed(&self) -> Vec<u64> {
        self.seen.closed.lock().unwrap().clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

// --- certificates

/// A certificate that vouches for itself, for [`NAME`].
pub struct Certificate(rcgen::CertifiedKey<rcgen::KeyPair>);

/// That of all servers here.
pub fn certificate() -> &'static Certificate {
    static MADE: OnceLock<Certificate> = OnceLock::new();
    MADE.get_or_init(|| Certificate(rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap()))
}

impl Certificate {
    pub fn trusted(&self) -> Trust {
        Trust::from_pem(self.0.cert.pem().as_bytes()).unwrap()
    }
}

fn server_config(kind: Kind, resumed: &Arc<AtomicUsize>) -> ServerConfig {
    let certificate = &certificate().0;
    let key = PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key.into())
        .unwrap();
    config.session_storage = Arc::new(Sessions {
        kept: ServerSessionMemoryCache::new(64),
        resumed: Arc::clone(resumed),
    });
    config.alpn_protocols = match kind {
        Kind::Https => vec![b"h2".to_vec()],
        Kind::Quic => vec![b"doq".to_vec()],
        Kind::H3 => vec![b"h3".to_vec()],
    };
    config
}

/// Sessions, and how many were resumed.
#[derive(Debug)]
struct Sessions {
    kept: Arc<ServerSessionMemoryCache>,
    resumed: Arc<AtomicUsize>,
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.kept.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.kept.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let taken = self.kept.take(key);
        self.resumed.fetch_add(usize::from(taken.is_some()), Ordering::SeqCst);
        taken
    }

    fn can_cache(&self) -> bool {
        true
    }
}

// --- HTTP/2

async fn https(listener: TcpListener, tls: ServerConfig, script: Script, seen: Arc<Seen>) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, script, seen) = (acceptor.clone(), Arc::clone(&script), Arc::clone(&seen));
        tokio::spawn(async move {
            // Whoever does not like us goes away.
            let _ = https_connection(stream, acceptor, script, seen).await;
        });
    }
}

async fn https_connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    script: Script,
    seen: Arc<Seen>,
) -> io::Result<()> {
    let stream = acceptor.accept(stream).await?;
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 20);
    let mut connection = builder.handshake::<_, Bytes>(stream).await.map_err(io::Error::other)?;
    let _open = Open::new(&seen);
    let hang_up = Arc::new(Notify::new());
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = hang_up.notified() => return Ok(()),
        };
        let Some(Ok((request, mut respond))) = accepted else { return Ok(()) };
        let (script, seen, hang_up) =
            (Arc::clone(&script), Arc::clone(&seen), Arc::clone(&hang_up));
        tokio::spawn(async move {
            let (head, mut body) = request.into_parts();
            let mut message = Vec::new();
            while let Some(Ok(chunk)) = body.data().await {
                body.flow_control().release_capacity(chunk.len()).unwrap();
                message.extend_from_slice(&chunk);
            }
            let request = Request::from_parts(head, ());
            match web(&request, message, &script, &seen).await {
                Some((response, bytes)) => {
                    let mut stream: h2::SendStream<Bytes> =
                        respond.send_response(response, bytes.is_empty()).unwrap();
                    if !bytes.is_empty() {
                        // A client that has read enough resets the stream.
                        let _ = stream.send_data(bytes.into(), true);
                    }
                }
                None => {
                    hang_up.notify_one();
                    // Dropped, it would reset the stream.
                    std::future::pending::<()>().await;
                }
            }
        });
    }
}

/// What comes of a request; nothing: the connection is to end.
async fn web(
    request: &Request<()>,
    body: Vec<u8>,
    script: &Script,
    seen: &Seen,
) -> Option<(Response<()>, Vec<u8>)> {
    let (method, uri) = (request.method(), request.uri());
    let path = uri.path_and_query().unwrap();
    let host = uri.authority().unwrap();
    seen.heads.lock().unwrap().push(format!("{method} {path} {host}"));
    let asked = if method == "GET" { b"\0\0 query".to_vec() } else { body };
    seen.asked.lock().unwrap().push(asked.clone());
    let dns = ("content-type", "application/dns-message");
    let (status, bytes, headers) = match script(&asked) {
        Does::Answer(message) => (200, message, vec![dns]),
        Does::Later(message, when) => {
            tokio::time::sleep(when).await;
            (200, message, vec![dns])
        }
        Does::Hold => std::future::pending().await,
        Does::HangUp => return None,
        Does::Http(bytes, headers) => (200, bytes, headers),
        Does::Status(status, headers) => (status, Vec::new(), headers),
        Does::Raw(_) | Does::Reset(_) => panic!("not in HTTP"),
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Some((response.body(()).unwrap(), bytes))
}

/// A server with the right certificate that has not heard of HTTP/2.
pub async fn tls_without_protocol() -> SocketAddr {
    let mut config = server_config(Kind::Https, &Arc::default());
    config.alpn_protocols.clear();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(https(listener, config, Arc::new(|_| Does::Hold), Arc::default()));
    address
}

// --- QUIC

async fn quic(connection: quinn::Connection, script: Script, seen: Arc<Seen>) {
    loop {
        let (mut send, mut receive) = match connection.accept_bi().await {
            Ok(stream) => stream,
            Err(quinn::ConnectionError::ApplicationClosed(close)) => {
                seen.closed.lock().unwrap().push(close.error_code.into_inner());
                return;
            }
            Err(_) => return,
        };
        let (script, seen, connection) =
            (Arc::clone(&script), Arc::clone(&seen), connection.clone());
        tokio::spawn(async move {
            let Ok(framed) = receive.read_to_end(2 + 65_535).await else { return };
            let (length, asked) = framed.split_first_chunk::<2>().unwrap();
            assert_eq!(usize::from(u16::from_be_bytes(*length)), asked.len());
            seen.asked.lock().unwrap().push(asked.to_vec());
            let framed = |message: Vec<u8>| {
                let length = u16::try_from(message.len()).unwrap();
                [length.to_be_bytes().to_vec(), message].concat()
            };
            let bytes = match script(asked) {
                Does::Answer(message) => framed(message),
                Does::Later(message, when) => {
                    tokio::time::sleep(when).await;
                    framed(message)
                }
                Does::Hold => std::future::pending().await,
                Does::HangUp => return connection.close(VarInt::from_u32(0), b""),
                Does::Raw(bytes) => bytes,
                Does::Reset(code) => {
                    send.reset(VarInt::from_u32(code)).unwrap();
                    return;
                }
                Does::Http(..) | Does::Status(..) => panic!("not in QUIC"),
            };
            // Whoever gave up wants it no more.
            if send.write_all(&bytes).await.is_ok() {
                send.finish().unwrap();
            }
        });
    }
}

// --- HTTP/3

async fn h3(quic: quinn::Connection, script: Script, seen: Arc<Seen>) {
    let connection = h3_quinn::Connection::new(quic.clone());
    let Ok(mut connection) = h3::server::Connection::<_, Bytes>::new(connection).await else {
        return;
    };
    while let Ok(Some(resolver)) = connection.accept().await {
        let (script, seen, quic) = (Arc::clone(&script), Arc::clone(&seen), quic.clone());
        tokio::spawn(async move {
            let Ok((request, mut stream)) = resolver.resolve_request().await else { return };
            let mut message = Vec::new();
            while let Ok(Some(mut data)) = stream.recv_data().await {
                while data.has_remaining() {
                    let chunk = data.chunk();
                    message.extend_from_slice(chunk);
                    let len = chunk.len();
                    data.advance(len);
                }
            }
            match web(&request, message, &script, &seen).await {
                Some((response, bytes)) => {
                    // A client that has read enough stops the stream.
                    if stream.send_response(response).await.is_ok()
                        && stream.send_data(bytes.into()).await.is_ok()
                    {
                        let _ = stream.finish().await;
                    }
                }
                None => quic.close(VarInt::from_u32(0x100), b""),
            }
        });
    }
}
