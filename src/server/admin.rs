//! The HTTP side: metrics, health and ready, on addresses that plugins asked for.
//!
//! Listeners live through a reload if the new configuration still wants their address; only the
//! handlers behind them change.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chain::setup::{HttpEndpoint, HttpHandler};
use chain::{HttpReply, HttpRequest, Setup};
use corefile::Diagnostic;
use http_body_util::Full;
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
/// A client is dropped after this long, whatever it does.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

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
                span: endpoint.span,
                ..Diagnostic::error(endpoint.span.unwrap_or_default(), message)
            };
            let address = Setup::http_address(&endpoint.address)
                .map_err(|problem| wrong(format!("`{}`: {problem}", endpoint.address)))?;
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

    /// Serves what was prepared and closes what is no longer wanted.
    pub(crate) fn apply(&mut self, prepared: Prepared) {
        let Prepared { mut wanted, fresh } = prepared;
        self.bound.retain(|address, _| wanted.contains_key(address));
        for (address, bound) in &self.bound {
            if let Some(paths) = wanted.remove(address) {
                bound.paths.store(Arc::new(paths));
            }
        }
        for (address, socket) in fresh {
            let paths = wanted.remove(&address).unwrap_or_default();
            let paths = Arc::new(ArcSwap::from_pointee(paths));
            let task = tokio::spawn(accept(socket, Arc::clone(&paths)));
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

async fn accept(socket: TcpListener, paths: Arc<ArcSwap<Paths>>) {
    let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&clients).acquire_owned().await else { return };
        let Ok((stream, _)) = socket.accept().await else {
            // Out of file descriptors: let some close before the next try.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let paths = Arc::clone(&paths);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&paths.load(), &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // A client that breaks off is its own business.
            let _ = tokio::time::timeout(CLIENT_TIMEOUT, connection).await;
            drop(place);
        });
    }
}

fn answer(paths: &Paths, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let asked = HttpRequest {
        query: request.uri().query().unwrap_or_default().to_owned(),
        accept: request
            .headers()
            .get(hyper::header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
    };
    let reply = match paths.get(request.uri().path()) {
        Some(handler) => handler(&asked),
        None => HttpReply::text(404, "404 page not found\n"),
    };
    let mut response = Response::builder()
        .status(reply.status)
        .header(hyper::header::CONTENT_TYPE, reply.content_type);
    if reply.status == 404 {
        response = response.header(hyper::header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    }
    response.body(Full::new(Bytes::from(reply.body))).unwrap_or_default()
}
