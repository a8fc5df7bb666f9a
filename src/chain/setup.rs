//! What a plugin gets during setup, and what it can request from the server.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};
use exchange::{Query, StateKey};
use wire::{Clock, Name, Reply};

use crate::run::Link;
use crate::{BoxFuture, Chain, Kept, OwnZones, ServeDns, Settings};
use files::watch::{PollSchedule, Watcher};

/// One key of a server block as routed: a zone on one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Lower-case zone.
    pub zone: Name,
    /// The listener as CoreDNS labels it in metrics: `dns://:53`.
    pub server: Arc<str>,
    /// Port.
    pub port: u16,
}

/// Resolves queries of our own with the whole server, as if the client had sent them.
pub trait Resolve: Send + Sync + 'static {
    /// Whether any server block on the query's listener would take `name` (wire form).
    fn is_served(&self, query: &Query, name: &[u8]) -> bool;

    /// Runs `query`, made with [`Query::make_subquery`], through the listener's chains.
    fn resolve<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()>;
}

/// A request to one of the server's HTTP endpoints.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// What follows the `?`.
    pub query: String,
    /// The `Host` header.
    pub host: String,
    /// The `Origin` header: set by browsers.
    pub origin: String,
    /// The `Authorization` header.
    pub authorization: String,
    /// The `Accept` header.
    pub accept: String,
    /// What the client sent; read only for an [`HttpHandler::Later`], and bounded.
    pub body: Vec<u8>,
}

/// The reply to it.
#[derive(Clone, Debug)]
pub struct HttpReply {
    /// Status code.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Body.
    pub body: Vec<u8>,
}

impl HttpReply {
    /// A reply of this type.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, headers: Vec::new(), body: body.into() }
    }

    /// A plain text.
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Answers requests to one path.
#[derive(Clone)]
pub enum HttpHandler {
    /// On the control thread, without waiting.
    Now(Arc<dyn Fn(&HttpRequest) -> HttpReply + Send + Sync>),
    /// After a while that the handler bounds itself. The future is dropped if the client leaves.
    Later(Arc<dyn Fn(HttpRequest) -> BoxFuture<'static, HttpReply> + Send + Sync>),
}

/// An endpoint that a plugin requested.
pub struct HttpEndpoint {
    /// Address to listen on, as written (`:8080` means all addresses).
    pub address: String,
    /// Where the address was written, if it was.
    pub span: Option<Span>,
    /// Path, such as `/health`. A later endpoint for the same address and path replaces this one.
    pub path: &'static str,
    /// The handler of its requests.
    pub handler: HttpHandler,
}

/// Work that runs once the new configuration serves.
pub type Task = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// The requests of a plugin to the server, which takes them after setup.
#[derive(Default)]
pub struct Requests {
    /// HTTP endpoints.
    pub endpoints: Vec<HttpEndpoint>,
    /// Background tasks: started when the configuration serves, dropped when it is replaced.
    pub tasks: Vec<Task>,
    /// Tasks that run one after the other once the configuration serves, each to its end even if
    /// the configuration is replaced meanwhile.
    pub on_startup: Vec<Task>,
    /// Tasks that outlive their configuration until they have finished its work.
    pub finishing: Vec<Task>,
    /// Tasks that run when the process begins to stop, before the listeners close.
    pub on_shutdown: Vec<Task>,
    /// Warnings that do not stop the start.
    pub warnings: Diagnostics,
}

/// Reports why the process must end, and ends it.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// The services of the process, the same for all server blocks of one configuration.
pub struct World {
    /// Number of workers; counters have one cell for each.
    pub workers: usize,
    /// The clock.
    pub clock: Clock,
    /// The objects that survive a reload.
    pub kept: Kept,
    /// Resolves queries of our own. Set when the configuration is complete.
    pub resolver: Arc<OnceLock<Weak<dyn Resolve>>>,
    /// The zones that plugins are authoritative for.
    pub own_zones: Arc<OwnZones>,
    /// The directory of relative paths without `root`.
    pub root: PathBuf,
    /// The SHA-512 of the parsed Corefile, in hexadecimal.
    pub fingerprint: String,
    /// A plugin calls this when going on would do harm: the process logs the message and ends.
    /// Without a process, the message is only logged.
    pub fatal: Fatal,
    services: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl World {
    /// A world without services.
    pub fn new(workers: usize, clock: Clock, kept: Kept) -> Self {
        Self {
            workers,
            clock,
            kept,
            resolver: Arc::new(OnceLock::new()),
            own_zones: Arc::default(),
            root: PathBuf::from("."),
            fingerprint: String::new(),
            fatal: Arc::new(log_fatal),
            services: HashMap::new(),
        }
    }

    /// Offers a service to plugins, by type: the network, the watcher of files.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, service: Arc<T>) -> Self {
        self.services.insert(TypeId::of::<T>(), service);
        self
    }

    /// The service of type `T`.
    pub fn service<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.services.get(&TypeId::of::<T>()).cloned()?.downcast().ok()
    }
}

fn log_fatal(message: &str) {
    telemetry::log::line(telemetry::log::Level::Fatal, format_args!("{message}"));
}

/// The chain that a plugin became part of, once it is complete.
#[derive(Clone, Default)]
pub struct Peers(Arc<OnceLock<Weak<Chain>>>);

impl Peers {
    /// Sets the chain.
    pub fn set(&self, chain: &Arc<Chain>) {
        let _ = self.0.set(Arc::downgrade(chain));
    }

    /// The chain, while its configuration lives.
    pub fn chain(&self) -> Option<Arc<Chain>> {
        self.0.get()?.upgrade()
    }
}

/// The set-up of one server block.
pub struct Setup<'a> {
    /// The keys of the block.
    pub keys: &'a [Key],
    /// The settings of the block for the server.
    pub settings: &'a mut Settings,
    /// The process.
    pub world: &'a World,
    /// The requests of this block to the server.
    pub requests: &'a mut Requests,
    links: &'a mut Vec<Link>,
    keys_used: &'a mut HashMap<TypeId, usize>,
    peers: Peers,
    name: &'static str,
}

/// The parts of a block's set-up that outlive the borrow of a [`Setup`].
#[derive(Default)]
pub struct BlockSetup {
    /// Settings so far.
    pub settings: Settings,
    /// Requests so far.
    pub requests: Requests,
    /// Links so far, in order.
    pub links: Vec<Link>,
    /// The chain that is being built.
    pub peers: Peers,
    keys_used: HashMap<TypeId, usize>,
}

impl BlockSetup {
    /// The set-up for the plugin `name`.
    pub fn plugin<'a>(
        &'a mut self,
        name: &'static str,
        keys: &'a [Key],
        world: &'a World,
    ) -> Setup<'a> {
        Setup {
            keys,
            settings: &mut self.settings,
            world,
            requests: &mut self.requests,
            links: &mut self.links,
            keys_used: &mut self.keys_used,
            peers: self.peers.clone(),
            name,
        }
    }
}

impl Setup<'_> {
    /// Adds a plugin to the chain at the place of this directive; several keep their order.
    pub fn link(&mut self, plugin: impl ServeDns) {
        self.links.push(Link { name: self.name, plugin: Box::new(plugin) });
    }

    /// Checks that the directives have neither arguments nor a block.
    ///
    /// # Errors
    /// Each directive that has.
    pub fn no_arguments(&self, uses: &[&Directive]) -> Result<(), Diagnostics> {
        let mut errors = Diagnostics::default();
        for directive in uses {
            errors.extend(directive.args().end().err());
            errors.extend(directive.no_body().err());
        }
        if errors.has_errors() { Err(errors) } else { Ok(()) }
    }

    /// The zones of the block, without repeats.
    pub fn zones(&self) -> Vec<Name> {
        let mut zones: Vec<Name> = Vec::new();
        for key in self.keys {
            if !zones.contains(&key.zone) {
                zones.push(key.zone.clone());
            }
        }
        zones
    }

    /// Declares that this plugin passes on no query in these zones.
    pub fn ends(&mut self, zones: impl IntoIterator<Item = Name>) {
        self.settings.ended.extend(zones.into_iter().map(|zone| (zone, self.name)));
    }

    /// Warns of zones among `args` that no query of this block is in.
    pub fn warn_outside(&mut self, args: &[Token]) {
        for arg in args {
            let Ok(zones) = crate::zones::from_text(arg.as_str()) else { continue };
            let meets = |zone: &Name| {
                self.keys.iter().any(|key| zone.is_under(&key.zone) || key.zone.is_under(zone))
            };
            if !self.keys.is_empty() && !zones.iter().any(meets) {
                let shown = arg.as_str();
                self.requests.warnings.push(
                    Diagnostic::warning(
                        arg.span,
                        format!("no query for `{shown}` reaches this server block"),
                    )
                    .label("it is outside the zones of this server block")
                    .help("add a server block for this zone, or remove the zone here"),
                );
            }
        }
    }

    /// The name of the block's view, for metrics; empty if it has none.
    pub fn view(&self) -> &str {
        self.settings.view.as_ref().map_or("", |view| &view.name)
    }

    /// A path argument, relative to the block's `root`.
    pub fn path(&self, token: &Token) -> PathBuf {
        let path = Path::new(token.as_str());
        let root = &self.settings.root;
        // In the working directory a file is called what it is called in the Corefile.
        if path.is_absolute() || root == Path::new(".") { path.to_owned() } else { root.join(path) }
    }

    /// The times at which to check these files for changes.
    pub fn poll_schedule<'p>(&self, files: impl Iterator<Item = &'p Path>) -> PollSchedule {
        PollSchedule::new(self.world.service::<Watcher>().as_deref(), files)
    }

    /// The key of this plugin's state in every query, between the way in and the way out.
    pub fn state_key<T: Default + Send + 'static>(&mut self) -> StateKey<T> {
        // Keys of one type share numbers between chains, so that a pooled query keeps its boxes;
        // a chain that uses a type several times gets several numbers.
        let nth = self.keys_used.entry(TypeId::of::<T>()).or_insert(0);
        let key = StateKey::new(key_number(TypeId::of::<T>(), *nth));
        *nth += 1;
        key
    }

    /// The chain this plugin will be part of.
    pub fn peers(&self) -> Peers {
        self.peers.clone()
    }

    /// The resolver of queries of our own.
    pub fn resolver(&self) -> Arc<OnceLock<Weak<dyn Resolve>>> {
        Arc::clone(&self.world.resolver)
    }

    /// Notes that the data of these zones is this server's own: what upstreams say of names in them does
    /// not count.
    pub fn owns<'n>(&self, zones: impl IntoIterator<Item = &'n Name>) {
        zones.into_iter().for_each(|zone| self.world.own_zones.add(zone));
    }

    /// Serves `path` over HTTP on `address`.
    pub fn http(
        &mut self,
        address: &str,
        span: Option<Span>,
        path: &'static str,
        handler: impl Fn(&HttpRequest) -> HttpReply + Send + Sync + 'static,
    ) {
        self.endpoint(address, span, path, HttpHandler::Now(Arc::new(handler)));
    }

    /// Serves `path` over HTTP on `address`, with replies that take a while.
    pub fn http_later<F>(
        &mut self,
        address: &str,
        span: Option<Span>,
        path: &'static str,
        handler: impl Fn(HttpRequest) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = HttpReply> + Send + 'static,
    {
        let later = move |request| Box::pin(handler(request)) as BoxFuture<'static, HttpReply>;
        self.endpoint(address, span, path, HttpHandler::Later(Arc::new(later)));
    }

    fn endpoint(
        &mut self,
        address: &str,
        span: Option<Span>,
        path: &'static str,
        handler: HttpHandler,
    ) {
        let address = address.to_owned();
        self.requests.endpoints.push(HttpEndpoint { address, span, path, handler });
    }

    /// Runs `task` in the background from when this configuration serves until it is replaced.
    pub fn task<F>(&mut self, task: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.requests.tasks.push(Box::new(move || Box::pin(task())));
    }

    /// Runs `task` once this configuration serves, after the tasks requested before it, and to its end
    /// even if the configuration is replaced meanwhile. The task bounds its own time.
    pub fn on_startup<F>(&mut self, task: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.requests.on_startup.push(Box::new(move || Box::pin(task())));
    }

    /// Runs `task` in the background, and lets it finish when this configuration is replaced or the
    /// process stops. It must end by itself once the plugin is dropped; at a stop it has a few
    /// seconds for that.
    pub fn finishing_task<F>(&mut self, task: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.requests.finishing.push(Box::new(move || Box::pin(task())));
    }

    /// Makes the plugins after this one record spans of traced queries.
    pub fn record_spans(&mut self) {
        self.settings.spans_from = Some(self.links.len());
    }

    /// Runs `task` when the process begins to stop, before the listeners close.
    pub fn on_shutdown<F>(&mut self, task: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.requests.on_shutdown.push(Box::new(move || Box::pin(task())));
    }

    /// The addresses that `text` (`:8080`, `127.0.0.1:8080`, `[::1]:8080`) stands for.
    ///
    /// Errors: not an address with a port.
    pub fn http_address(text: &str) -> Result<SocketAddr, String> {
        let full = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
        let mut full = full.replace("localhost:", "127.0.0.1:");
        // As in Go the system chooses a port that is left out.
        if full.ends_with(':') {
            full.push('0');
        }
        full.parse().map_err(|_| "expected an address such as `:8080` or `127.0.0.1:8080`".into())
    }
}

/// Numbers (type, nth use) pairs for the whole process.
fn key_number(kind: TypeId, nth: usize) -> usize {
    static NUMBERS: std::sync::Mutex<Vec<(TypeId, usize)>> = std::sync::Mutex::new(Vec::new());
    let mut numbers = NUMBERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match numbers.iter().position(|known| *known == (kind, nth)) {
        Some(number) => number,
        None => {
            numbers.push((kind, nth));
            numbers.len() - 1
        }
    }
}
