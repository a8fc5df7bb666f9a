//! An upstream of the bench's own over TLS (RFC 7858) and HTTPS (RFC 8484), on the load's core.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::upstream::{Mood, answer};

/// What its certificate is for.
pub(crate) const NAME: &str = "upstream.lab";
/// What a connection may hold of queries at once.
const STREAMS: u32 = 256;

/// A running upstream; ends when dropped.
pub(crate) struct Secure {
    pub(crate) tls_port: u16,
    pub(crate) https_port: u16,
    /// Its certificate, which is to be trusted.
    pub(crate) authority: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Secure {
    /// With a certificate made for it, which is written into `dir`.
    pub(crate) fn start(dir: &Path) -> Result<Self, String> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]);
        let made = made.map_err(|error| error.to_string())?;
        let authority = dir.join("upstream.pem");
        super::server::write(&authority, &made.cert.pem());
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
        let config = || {
            ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key.clone_key())
        };
        let tls = config().map_err(|error| error.to_string())?;
        let mut https = config().map_err(|error| error.to_string())?;
        https.alpn_protocols = vec![b"h2".to_vec()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let listen = || runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let (for_tls, for_https) = (
            listen().map_err(|error| error.to_string())?,
            listen().map_err(|error| error.to_string())?,
        );
        let port = |listener: &TcpListener| listener.local_addr().map_or(0, |at| at.port());
        let (tls_port, https_port) = (port(&for_tls), port(&for_https));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                tokio::spawn(accept(for_tls, tls, serve_tls));
                tokio::spawn(accept(for_https, https, serve_https));
                let _ = stopped.await;
            });
        });
        Ok(Self { tls_port, https_port, authority, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn accept<F>(
    listener: TcpListener,
    config: ServerConfig,
    serve: impl Fn(TlsStream<TcpStream>) -> F + Copy + Send + 'static,
) where
    F: Future<Output = ()> + Send,
{
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream).await;
            }
        });
    }
}

/// Answers all queries that have come, in one go.
async fn serve_tls(mut stream: TlsStream<TcpStream>) {
    let mut into = vec![0; 65_536];
    let (mut pending, mut out, mut one) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let Ok(count @ 1..) = stream.read(&mut into).await else { return };
        pending.extend_from_slice(&into[..count]);
        let mut at = 0;
        out.clear();
        while let Some(&[high, low]) = pending.get(at..at + 2) {
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let Some(query) = pending.get(at + 2..end) else { break };
            if answer(query, Mood::Healthy, true, &mut one) {
                out.extend_from_slice(&(one.len() as u16).to_be_bytes());
                out.extend_from_slice(&one);
            }
            at = end;
        }
        pending.drain(..at);
        if stream.write_all(&out).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

async fn serve_https(stream: TlsStream<TcpStream>) {
    let reply = |request: Request<Incoming>| async move {
        let body = request.into_body().collect().await;
        let mut one = Vec::new();
        let query = body.map(|body| body.to_bytes()).unwrap_or_default();
        let response = if answer(&query, Mood::Healthy, true, &mut one) {
            Response::builder().header("content-type", "application/dns-message")
        } else {
            Response::builder().status(400)
        };
        Ok::<_, Infallible>(response.body(Full::new(Bytes::from(one))).unwrap_or_default())
    };
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder.max_concurrent_streams(STREAMS);
    let _ = builder.serve_connection(TokioIo::new(stream), service_fn(reply)).await;
}
