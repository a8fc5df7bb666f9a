//! What a plugin gets during setup, and what it can request from the server.

mod keys;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};
use exchange::StateKey;
use files::watch::{PollSchedule, Watcher};
use wire::{Clock, Endpoint, Name};

use crate::admin::guard::Claim;
use crate::http::{HttpAddress, HttpEndpoint, HttpHandler, HttpReply, HttpRequest};
use crate::run::Link;
use crate::settings::{
    Bind, Credentials, HttpOptions, Lameduck, Origin, Reload, Setting, Timeouts, View,
};
use crate::{BoxFuture, Chain, Kept, OwnZones, Resolver, ServeDns, Settings, ZoneSet};

/// One key of a server block as routed: a zone on one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Lower-case zone.
    pub zone: Name,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The endpoint as CoreDNS labels it in metrics: `dns://:53`.
    pub server: Arc<str>,
}

impl Key {
    /// The key of `zone` on `endpoint`.
    pub fn new(zone: Name, endpoint: Endpoint) -> Self {
        Self { zone, endpoint, server: endpoint.to_string().into() }
    }

    /// The port of the endpoint.
    pub fn port(&self) -> u16 {
        self.endpoint.address.port()
    }
}

/// Work that runs once the new configuration serves.
pub type Task = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// The requests of a plugin to the server, which takes them after setup.
#[derive(Default)]
pub struct Requests {
    /// HTTP endpoints.
    pub endpoints: Vec<HttpEndpoint>,
    /// The options of admin endpoints, in the order of the Corefile.
    pub admins: Vec<Claim>,
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

impl Requests {
    /// Adds the requests of a further block.
    pub fn append(&mut self, mut block: Self) {
        self.endpoints.append(&mut block.endpoints);
        self.admins.append(&mut block.admins);
        self.tasks.append(&mut block.tasks);
        self.on_startup.append(&mut block.on_startup);
        self.finishing.append(&mut block.finishing);
        self.on_shutdown.append(&mut block.on_shutdown);
        self.warnings.extend(block.warnings);
    }
}

/// Reports why the process must end, and ends it.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// The services of the process, the same for all server blocks of one configuration.
pub struct Services {
    /// Number of workers; counters have one cell for each.
    pub workers: usize,
    /// The clock.
    pub clock: Clock,
    /// The objects that survive a reload.
    pub kept: Kept,
    /// Resolves queries of our own. Set when the configuration is complete.
    pub resolver: Resolver,
    /// The zones that plugins are authoritative for.
    pub own_zones: Arc<OwnZones>,
    /// The directory of relative paths without `root`.
    pub root: PathBuf,
    /// The SHA-512 of the parsed Corefile, in hexadecimal.
    pub fingerprint: String,
    /// A plugin calls this when going on would do harm: the process logs the message and ends.
    /// Without a process, the message is only logged.
    pub fatal: Fatal,
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Services {
    /// A process that offers no service by type.
    pub fn new(workers: usize, clock: Clock, kept: Kept) -> Self {
        Self {
            workers,
            clock,
            kept,
            resolver: Resolver::default(),
            own_zones: Arc::default(),
            root: PathBuf::from("."),
            fingerprint: String::new(),
            fatal: Arc::new(log_fatal),
            by_type: HashMap::new(),
        }
    }

    /// Offers a service to plugins, by type: the network, the watcher of files.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, service: Arc<T>) -> Self {
        self.by_type.insert(TypeId::of::<T>(), service);
        self
    }

    /// The service of type `T`.
    pub fn service<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.by_type.get(&TypeId::of::<T>()).cloned()?.downcast().ok()
    }
}

fn log_fatal(message: &str) {
    telemetry::log::line(telemetry::log::Level::Fatal, format_args!("{message}"));
}

/// The chain that a plugin became part of, once it is complete.
#[derive(Clone, Default)]
pub struct ChainRef(Arc<OnceLock<Weak<Chain>>>);

impl ChainRef {
    /// Sets the chain.
    pub fn set(&self, chain: &Arc<Chain>) {
        let _ = self.0.set(Arc::downgrade(chain));
    }

    /// The chain, while its configuration lives.
    pub fn chain(&self) -> Option<Arc<Chain>> {
        self.0.get()?.upgrade()
    }
}

/// The set-up of one plugin in one server block: what it may ask, and what it may request.
pub struct Setup<'a> {
    keys: &'a [Key],
    settings: &'a mut Settings,
    services: &'a Services,
    requests: &'a mut Requests,
    links: &'a mut Vec<Link>,
    keys_used: &'a mut HashMap<TypeId, usize>,
    chain_ref: ChainRef,
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
    pub chain_ref: ChainRef,
    keys_used: HashMap<TypeId, usize>,
}

impl BlockSetup {
    /// The set-up for the plugin `name`.
    pub fn plugin<'a>(
        &'a mut self,
        name: &'static str,
        keys: &'a [Key],
        services: &'a Services,
    ) -> Setup<'a> {
        Setup {
            keys,
            settings: &mut self.settings,
            services,
            requests: &mut self.requests,
            links: &mut self.links,
            keys_used: &mut self.keys_used,
            chain_ref: self.chain_ref.clone(),
            name,
        }
    }
}

impl<'a> Setup<'a> {
    /// The plugin that is set up: the name of its directive.
    pub fn plugin(&self) -> &'static str {
        self.name
    }

    /// The keys of the block.
    pub fn keys(&self) -> &'a [Key] {
        self.keys
    }

    /// Reports something that does not stop the start.
    pub fn warn(&mut self, warning: Diagnostic) {
        self.requests.warnings.push(warning);
    }

    /// Reports several such things.
    pub fn warn_all(&mut self, warnings: impl IntoIterator<Item = Diagnostic>) {
        self.requests.warnings.extend(warnings);
    }

    /// The warnings so far, for a parser that adds to them.
    pub fn warnings(&mut self) -> &mut Diagnostics {
        &mut self.requests.warnings
    }

    /// The server's clock.
    pub fn clock(&self) -> Clock {
        self.services.clock
    }

    /// The number of workers; counters have one cell for each.
    pub fn workers(&self) -> usize {
        self.services.workers
    }

    /// The service of type `T`, such as the network.
    pub fn service<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.services.service()
    }

    /// The value kept under `key`, from this configuration or the one before, or a new one. The key
    /// must contain everything whose change makes a value unfit for reuse.
    pub fn keep<T: Send + Sync + 'static>(
        &self,
        key: impl Into<String>,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let Ok(value) = self.try_keep(key, || Ok::<_, Infallible>(make()));
        value
    }

    /// The same for a value whose making can fail.
    ///
    /// Errors: those of `make`.
    pub fn try_keep<T: Send + Sync + 'static, E>(
        &self,
        key: impl Into<String>,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        self.services.kept.get(key, make)
    }

    /// Reports that going on would do harm: logs the message and ends the process.
    pub fn fatal(&self) -> Fatal {
        Arc::clone(&self.services.fatal)
    }

    /// The SHA-512 of the parsed Corefile, in hexadecimal.
    pub fn fingerprint(&self) -> &'a str {
        &self.services.fingerprint
    }

    /// The directory in which the server was started.
    pub fn start_directory(&self) -> &'a Path {
        &self.services.root
    }

    /// The zones that plugins are authoritative for.
    pub fn own_zones(&self) -> Arc<OwnZones> {
        Arc::clone(&self.services.own_zones)
    }

    /// The origin of a setting of this plugin at `span`.
    fn origin(&self, span: Span) -> Origin {
        Origin { directive: self.name, span }
    }

    /// A value that this plugin sets at `span`.
    pub fn setting<T>(&self, value: T, span: Span) -> Option<Setting<T>> {
        Some(Setting { value, origin: self.origin(span) })
    }

    /// Checks for a changed Corefile from time to time.
    pub fn set_reload(&mut self, reload: Reload, span: Span) {
        self.settings.process.reload = self.setting(reload, span);
    }

    /// Logs debug lines, and lets panics end the process.
    pub fn set_debug(&mut self, span: Span) {
        self.settings.process.debug = Some(self.origin(span));
    }

    /// Limits the memory of the process, in octets.
    pub fn set_memory_limit(&mut self, limit: u64, span: Span) {
        self.settings.process.memory = self.setting(limit, span);
    }

    /// Keeps serving for a while after a stop signal.
    pub fn set_lameduck(&mut self, lameduck: Lameduck, span: Span) {
        self.settings.process.lameduck = self.setting(lameduck, span);
    }

    /// Sets the number of sockets of each listener of the block.
    pub fn set_sockets(&mut self, count: usize, span: Span) {
        self.settings.listener.sockets = self.setting(count, span);
    }

    /// Sets how long clients of the block's listeners may take.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.settings.listener.timeouts = timeouts;
    }

    /// Sets how the block's listeners speak HTTP.
    pub fn set_http(&mut self, options: HttpOptions, span: Span) {
        self.settings.listener.http = self.setting(options, span);
    }

    /// Sets what the block's listeners identify themselves with; `()` if it is known that nothing can.
    pub fn set_credentials<T: Send + Sync + 'static>(&mut self, credentials: Arc<T>, span: Span) {
        let credentials = self.setting(Credentials(credentials), span);
        self.settings.listener.tls.extend(credentials);
    }

    /// Sets the directory of relative paths.
    pub fn set_root(&mut self, path: PathBuf, span: Span) {
        self.settings.block.root = self.setting(path, span);
    }

    /// Listens on these addresses, and on those of earlier calls.
    pub fn bind(&mut self, binds: impl IntoIterator<Item = Bind>) {
        self.settings.block.bind.extend(binds);
    }

    /// The addresses to listen on, as written; empty means all.
    pub fn binds(&self) -> &[Bind] {
        &self.settings.block.bind
    }

    /// Logs the stack of a panic.
    pub fn log_stacks(&mut self, span: Span) {
        self.settings.block.stacktrace = Some(self.origin(span));
    }

    /// Lets queries of all classes enter the chain, not only those of class IN.
    pub fn take_all_classes(&mut self, span: Span) {
        self.settings.block.all_classes = Some(self.origin(span));
    }

    /// Collects metadata for queries in these zones.
    pub fn collect_metadata(&mut self, zones: ZoneSet, span: Span) {
        self.settings.block.metadata = self.setting(zones, span);
    }

    /// Whether the block collects metadata.
    pub fn has_metadata(&self) -> bool {
        self.settings.block.metadata.is_some()
    }

    /// Takes only some of the queries in the block's zones.
    pub fn set_view(&mut self, view: View, span: Span) {
        self.settings.block.view = self.setting(view, span);
    }

    /// Everything but its zones that tells whose queries the block takes, as words for the key of a
    /// value that survives a reload: the kind of word, then the word.
    pub fn audience(&self) -> Vec<(&'static str, &str)> {
        let block = &self.settings.block;
        let mut words = Vec::new();
        for bind in &block.bind {
            words.extend(bind.addresses.iter().map(|(address, _)| ("bind", address.as_str())));
            words.extend(bind.except.iter().map(|(address, _)| ("except", address.as_str())));
        }
        words.extend(block.view.as_ref().map(|view| ("view", view.value.identity.as_str())));
        words
    }

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
        self.settings.block.ended.extend(zones.into_iter().map(|zone| (zone, self.name)));
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
        self.settings.block.view.as_ref().map_or("", |view| &view.value.name)
    }

    /// A path argument, relative to the block's `root`.
    pub fn path(&self, token: &Token) -> PathBuf {
        let path = Path::new(token.as_str());
        let root = self.root();
        // In the working directory a file is called what it is called in the Corefile.
        if path.is_absolute() || root == Path::new(".") { path.to_owned() } else { root.join(path) }
    }

    /// The directory of relative paths.
    pub fn root(&self) -> &Path {
        self.settings.block.root.as_ref().map_or(&self.services.root, |root| &root.value)
    }

    /// The times at which to check these files for changes.
    pub fn poll_schedule<'p>(&self, files: impl Iterator<Item = &'p Path>) -> PollSchedule {
        PollSchedule::new(self.services.service::<Watcher>().as_deref(), files)
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
    pub fn chain_ref(&self) -> ChainRef {
        self.chain_ref.clone()
    }

    /// The resolver of queries of our own.
    pub fn resolver(&self) -> Resolver {
        self.services.resolver.clone()
    }

    /// Notes that the data of these zones is this server's own: what upstreams say of names in them does
    /// not count.
    pub fn owns<'n>(&self, zones: impl IntoIterator<Item = &'n Name>) {
        zones.into_iter().for_each(|zone| self.services.own_zones.add(zone));
    }

    /// Notes what an admin endpoint asks of requests.
    pub(crate) fn claim(&mut self, claim: Claim) {
        self.requests.admins.push(claim);
    }

    /// Serves `path` over HTTP on `address`.
    pub fn http(
        &mut self,
        address: &HttpAddress,
        path: &'static str,
        handler: impl Fn(&HttpRequest) -> HttpReply + Send + Sync + 'static,
    ) {
        self.endpoint(address, path, HttpHandler::Now(Arc::new(handler)));
    }

    /// Serves `path` over HTTP on `address`, with replies that take a while.
    pub fn http_later<F>(
        &mut self,
        address: &HttpAddress,
        path: &'static str,
        handler: impl Fn(HttpRequest) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = HttpReply> + Send + 'static,
    {
        let later = move |request| Box::pin(handler(request)) as BoxFuture<'static, HttpReply>;
        self.endpoint(address, path, HttpHandler::Later(Arc::new(later)));
    }

    fn endpoint(&mut self, address: &HttpAddress, path: &'static str, handler: HttpHandler) {
        self.requests.endpoints.push(HttpEndpoint { address: address.clone(), path, handler });
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
        self.settings.block.spans_from = Some(self.links.len());
    }

    /// Runs `task` when the process begins to stop, before the listeners close.
    pub fn on_shutdown<F>(&mut self, task: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.requests.on_shutdown.push(Box::new(move || Box::pin(task())));
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
