//! The HTTP side: metrics, health, ready and profiles, on the addresses that plugins request.
//!
//! A listener survives a reload if the new configuration still has its address; only its handler
//! changes.

#![allow(clippy::disallowed_types, reason = "the HTTP endpoints listen here")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use chain::{HttpAddress, HttpEndpoint, HttpHandler, HttpReply, HttpRequest};
use corefile::Diagnostic;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Clients of one endpoint served at once; more wait in the backlog.
const MAX_CLIENTS: usize = 64;
/// A client that has not sent its request by then is dropped.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A client is dropped after this long, unless it waits for a handler.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);
/// As much as a client may send; only handlers that answer later get it.
const MAX_BODY: usize = 64 * 1024;

type Paths = HashMap<&'static str, HttpHandler>;

struct Bound {
    paths: Arc<ArcSwap<Paths>>,
    task: JoinHandle<()>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The HTTP listeners that are open.
#[derive(Default)]
pub(crate) struct Admin {
    bound: HashMap<SocketAddr, Bound>,
}

/// Endpoints with their sockets, ready to be put in place.
pub(crate) struct Prepared {
    wanted: HashMap<SocketAddr, Paths>,
    fresh: Vec<(SocketAddr, TcpListener)>,
}

impl Prepared {
    /// How many sockets there will be.
    pub(crate) fn sockets(&self) -> usize {
        self.wanted.len()
    }
}

impl Admin {
    /// Opens the sockets that are not open yet, without answering on them.
    ///
    /// Errors: an address that cannot be understood or is taken.
    pub(crate) async fn prepare(
        &self,
        endpoints: Vec<HttpEndpoint>,
    ) -> Result<Prepared, Diagnostic> {
        let mut wanted: HashMap<SocketAddr, Paths> = HashMap::new();
        let mut fresh = Vec::new();
        for endpoint in endpoints {
            let wrong = |message: String| Diagnostic {
                span: endpoint.address.span,
                ..Diagnostic::error(endpoint.address.span.unwrap_or_default(), message)
            };
            let address = HttpAddress::resolve(&endpoint.address.text)
                .map_err(|problem| wrong(format!("`{}`: {problem}", endpoint.address.text)))?;
            if !wanted.contains_key(&address) && !self.bound.contains_key(&address) {
                let socket = listen(address).map_err(|error| {
                    wrong(format!("cannot listen on {address} for {}: {error}", endpoint.path))
                        .help("choose another address, or stop the program that uses this one")
                })?;
                fresh.push((address, socket));
            }
            wanted.entry(address).or_default().insert(endpoint.path, endpoint.handler);
        }
        Ok(Prepared { wanted, fresh })
    }

    /// Serves what was prepared and closes what is no longer wanted. New endpoints have clients for so
    /// many descriptors, all together.
    pub(crate) fn apply(&mut self, prepared: Prepared, descriptors: usize) {
        let Prepared { mut wanted, fresh } = prepared;
        let clients = (descriptors / wanted.len().max(1)).clamp(1, MAX_CLIENTS);
        self.bound.retain(|address, _| wanted.contains_key(address));
        for (address, bound) in &self.bound {
            if let Some(paths) = wanted.remove(address) {
                bound.paths.store(Arc::new(paths));
            }
        }
        for (address, socket) in fresh {
            let paths = wanted.remove(&address).unwrap_or_default();
            let paths = Arc::new(ArcSwap::from_pointee(paths));
            let task = tokio::spawn(accept(socket, Arc::clone(&paths), clients));
            self.bound.insert(address, Bound { paths, task });
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let open = |address: SocketAddr| {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    match open(address) {
        // `:8080` means all addresses; without IPv6 that is 0.0.0.0.
        Err(_) if address.ip() == std::net::Ipv6Addr::UNSPECIFIED => {
            open((std::net::Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        opened => opened,
    }
}

async fn accept(socket: TcpListener, paths: Arc<ArcSwap<Paths>>, clients: usize) {
    let clients = Arc::new(Semaphore::new(clients));
    loop {
        let Ok(place) = Arc::clone(&clients).acquire_owned().await else { return };
        let Ok((stream, _)) = socket.accept().await else {
            // Out of file descriptors: let some close before the next try.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let paths = Arc::clone(&paths);
        tokio::spawn(async move {
            // Whether a handler is at work, which takes its own time.
            let busy = &AtomicBool::new(false);
            let service = service_fn(|request| {
                let handler = paths.load().get(request.uri().path()).cloned();
                async move { Ok::<_, Infallible>(answer(handler, request, busy).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = pin!(connection);
            // A client that breaks off is its own business.
            while tokio::time::timeout(CLIENT_TIMEOUT, connection.as_mut()).await.is_err()
                && busy.load(Ordering::Relaxed)
            {}
            drop(place);
        });
    }
}

async fn answer(
    handler: Option<HttpHandler>,
    request: Request<Incoming>,
    busy: &AtomicBool,
) -> Response<Full<Bytes>> {
    let header = |name| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let mut asked = HttpRequest {
        method: request.method().to_string(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        accept: header(hyper::header::ACCEPT),
        host: header(hyper::header::HOST),
        origin: header(hyper::header::ORIGIN),
        authorization: header(hyper::header::AUTHORIZATION),
        body: Vec::new(),
    };
    let reply = match handler {
        None => HttpReply::text(404, "404 page not found\n"),
        Some(HttpHandler::Now(handler)) => handler(&asked),
        Some(HttpHandler::Later(handler)) => {
            match Limited::new(request.into_body(), MAX_BODY).collect().await {
                Ok(body) => {
                    asked.body = body.to_bytes().into();
                    busy.store(true, Ordering::Relaxed);
                    let reply = handler(asked).await;
                    busy.store(false, Ordering::Relaxed);
                    reply
                }
                Err(_) => HttpReply::text(413, "request body too large\n"),
            }
        }
    };
    let mut response = Response::builder()
        .status(reply.status)
        .header(hyper::header::CONTENT_TYPE, reply.content_type);
    if reply.status == 404 {
        response = response.header(hyper::header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    }
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(reply.body))).unwrap_or_default()
}
