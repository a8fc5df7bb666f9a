//! A running server: sockets, the configuration behind them, reload and shutdown.

mod admin;
mod descriptors;
mod listeners;
mod memory;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chain::memory::Memory;
use chain::settings::{ProcessSettings, Reload};
use chain::{Clock, Entry, Kept, Registry, Resolve, Services, Setting};
use corefile::{Corefile, Diagnostic, Diagnostics, Loader, Severity, Sources, Span};
use files::watch::Watcher;
use net::{Handler, Workers};
use telemetry::metrics;
use tokio::task::JoinSet;

use super::baseline;
use super::config::{Config, ListenerIds};
use super::plan::{self, Plan, Wanted};
use super::serve::{ListenerHandler, Serving};
use admin::Admin;
use descriptors::Descriptors;
use listeners::{GRACE, Listeners};

pub(crate) use memory::allowed as allowed_memory;

/// Configurations whose startup hooks may run at the same time.
const MAX_STARTUPS: usize = 16;

/// What the configuration without a Corefile is called.
pub(crate) const BUILTIN: &str = "builtin";

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub struct CorefileSource {
    /// Name shown in messages.
    pub name: String,
    /// File to read again at a reload; without one there is nothing to reload.
    pub path: Option<PathBuf>,
    /// The text, as read at the start.
    pub text: String,
}

/// How to run.
pub struct Options {
    /// The plugins.
    pub registry: Registry,
    /// Port of keys that name none.
    pub port: u16,
    /// How many workers; one per core unless told otherwise.
    pub workers: usize,
    /// What the process may use, unless the Corefile says something else.
    pub memory: Arc<Memory>,
    /// Tells when files change; without it they are looked at from time to time only.
    pub watcher: Option<Arc<Watcher>>,
}

/// Why a configuration cannot be served.
#[derive(Debug)]
pub struct Refused {
    /// Every mistake; warnings may be among them.
    pub findings: Diagnostics,
    /// The files that they are in.
    pub sources: Sources,
}

impl Refused {
    /// For a person: the lines, with carets.
    pub fn text(&self) -> String {
        corefile::render(&self.findings, &self.sources)
    }
}

/// A problem that has nothing to do with what is written in the Corefile.
impl From<Diagnostic> for Refused {
    fn from(problem: Diagnostic) -> Self {
        Self { findings: problem.into(), sources: Sources::default() }
    }
}

/// A server that answers.
pub struct Process {
    options: Options,
    source: CorefileSource,
    workers: Workers,
    descriptors: Descriptors,
    serving: Arc<Serving>,
    listeners: Listeners,
    ids: ListenerIds,
    admin: Admin,
    tasks: JoinSet<()>,
    /// Startup hooks, one task for each configuration that has some.
    startups: JoinSet<()>,
    /// Those that end by themselves, of this configuration and of those before.
    finishing: JoinSet<()>,
    /// Shares out memory.
    keeper: JoinSet<()>,
    current: Option<Current>,
    reload_failed: metrics::Counter,
    /// What was told of the configuration that was refused last, unless one was served since.
    refused: Option<String>,
}

/// What of the current plan is still needed once it is served.
struct Current {
    services: Arc<Services>,
    on_shutdown: Vec<chain::setup::Task>,
    settings: ProcessSettings,
    banner: Vec<String>,
}

/// Parses a Corefile and plans it, without serving: what `catena check` does.
///
/// Errors: all mistakes, with the corefile for its sources.
pub(crate) fn prepare(
    source: &CorefileSource,
    loader: &dyn Loader,
    options: &Options,
    kept: Kept,
    ids: &mut ListenerIds,
    runtimes: Option<net::Runtimes>,
) -> (Corefile, Result<(Plan, Diagnostics), Diagnostics>) {
    let (mut corefile, mut problems) = corefile::parse(&source.name, &source.text, loader);
    if corefile.blocks.is_empty() && !problems.has_errors() {
        if source.name != BUILTIN {
            problems.push(no_blocks(options.registry));
        }
        let text = builtin(options);
        (corefile, _) = corefile::parse_behind(corefile.sources, BUILTIN, &text, loader);
    }
    let mut services = Services::new(options.workers, clock(), kept)
        .with(Arc::new(net::client::Network::Os))
        .with(Arc::clone(&options.memory));
    if let Some(watcher) = &options.watcher {
        services = services.with(Arc::clone(watcher));
    }
    if let Some(runtimes) = runtimes {
        services = services.with(Arc::new(runtimes));
    }
    services.fingerprint = fingerprint(&corefile);
    services.fatal = Arc::new(fatal);
    let planned = plan::plan(&corefile, options.registry, services, options.port, ids);
    let result = match planned {
        Ok((plan, warnings)) if !problems.has_errors() => {
            problems.extend(warnings);
            Ok((plan, problems))
        }
        Ok((_, more)) | Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    };
    (corefile, result)
}

/// The Corefile that is served where there is none: all plugins that offer themselves for it.
fn builtin(options: &Options) -> String {
    let kinds = options.registry.iter().filter_map(Entry::kind);
    let names = kinds.filter(|kind| kind.without_corefile.is_some()).map(|kind| kind.name);
    let lines: Vec<&str> = names.collect();
    format!(".:{} {{\n{}\n}}\n", options.port, lines.join("\n"))
}

fn no_blocks(registry: Registry) -> Diagnostic {
    let kinds = registry.iter().rev().filter_map(Entry::kind);
    let served: Vec<&str> = kinds.filter_map(|kind| kind.without_corefile).collect();
    Diagnostic::warning(Span::default(), "the Corefile has no server block")
        .label("it starts here, and has none up to its end")
        .note(format!("without one {}", served.join(", and ")))
        .help(
            "write one, such as `. {`, `forward . /etc/resolv.conf` and `}` on lines of their own",
        )
}

/// SHA-512 over the parsed Corefile, so that comments and white space do not count.
fn fingerprint(corefile: &Corefile) -> String {
    use std::fmt::Write;
    let digest =
        ring::digest::digest(&ring::digest::SHA512, corefile.fingerprint_json().as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The end of the process, in the words and with the status of CoreDNS's `log.Fatal`.
fn fatal(message: &str) {
    telemetry::log::line(telemetry::log::Level::Fatal, format_args!("{message}"));
    telemetry::log::flush();
    std::process::exit(1);
}

fn clock() -> Clock {
    Clock { now: net::clock::now, unix: net::clock::unix }
}

impl Process {
    /// Starts to serve `source`. Call inside a tokio runtime, which runs the background tasks.
    ///
    /// Errors: the configuration has mistakes, or an address cannot be listened on.
    pub async fn start(source: CorefileSource, options: Options) -> Result<Self, Refused> {
        metrics::set_workers(options.workers);
        baseline::register(options.registry);
        let limit = net::descriptors::raise();
        let workers = Workers::start(options.workers, net::Limits::default())
            .map_err(|error| Diagnostic::general(format!("cannot start workers: {error}")))?;
        let (stats, room) = (workers.stats_handle(), workers.room());
        let descriptors = Descriptors::new(limit, options.workers, stats.clone(), room.clone());
        let mut process = Self {
            workers,
            descriptors,
            serving: Arc::new(Serving::new(Config::new(Vec::new()), clock())),
            listeners: Listeners::default(),
            ids: ListenerIds::default(),
            admin: Admin::default(),
            tasks: JoinSet::new(),
            startups: JoinSet::new(),
            finishing: JoinSet::new(),
            keeper: JoinSet::new(),
            current: None,
            reload_failed: baseline::reload_failures(),
            refused: None,
            options,
            source,
        };
        process.load().await?;
        let memory = Arc::clone(&process.options.memory);
        process.keeper.spawn(memory::keep(memory, stats, room));
        Ok(process)
    }

    /// Serves the source's current text. The configuration before goes on if anything is wrong.
    async fn load(&mut self) -> Result<(), Refused> {
        let kept =
            self.current.as_ref().map_or_else(Kept::default, |it| it.services.kept.successor());
        let mut ids = std::mem::take(&mut self.ids);
        let runtimes = Some(self.workers.runtimes());
        let loader = &corefile::OsLoader;
        let (corefile, result) =
            prepare(&self.source, loader, &self.options, kept, &mut ids, runtimes);
        self.ids = ids;
        let sources = corefile.sources;
        let refuse = |findings: Diagnostics| Refused { findings, sources: sources.clone() };
        let (plan, warnings) = result.map_err(refuse)?;
        sys::use_huge_pages();
        let one = |problem: Diagnostic| refuse(problem.into());
        let prepared = self.admin.prepare(plan.requests.endpoints).await.map_err(one)?;
        let config = Arc::new(plan.config);
        if self.current.is_none() {
            // Sockets answer as soon as they are open.
            self.serving.config.store(Arc::clone(&config));
        }
        let handler = |wanted: &Wanted| {
            let (number, endpoint) = (wanted.number, wanted.spec.endpoint);
            let handler = ListenerHandler::new(Arc::clone(&self.serving), number, endpoint);
            Arc::new(handler) as Arc<dyn Handler>
        };
        let opened = self.listeners.open(&self.workers, &plan.listeners, handler)?;
        for warning in warnings.in_order() {
            telemetry::log::finding("", warning, &sources);
        }

        // From here on nothing can fail.
        if let Some(current) = &self.current {
            let reloads = current.settings.reload.map(|reload| reload.value);
            show_fingerprint(reloads, plan.process.reload, &plan.services.fingerprint);
        }
        telemetry::log::set_debug(plan.process.debug.is_some());
        self.options.memory.set_limit(plan.process.memory.map(|limit| limit.value));
        let resolver: Weak<Serving> = Arc::downgrade(&self.serving);
        plan.services.resolver.set(resolver as Weak<dyn Resolve>);
        self.serving.config.store(config);
        let sockets = listeners::sockets(&plan.listeners, self.workers.count());
        let shares = self.descriptors.share_out(sockets + prepared.sockets());
        self.admin.apply(prepared, shares.admin);
        // The tasks of the configuration before end with it.
        self.tasks = JoinSet::new();
        plan.services.kept.settle();
        self.listeners.apply(opened, &plan.listeners, self.workers.count());
        for task in plan.requests.tasks {
            self.tasks.spawn(task());
        }
        self.run_startup_hooks(plan.requests.on_startup);
        while self.finishing.try_join_next().is_some() {}
        for task in plan.requests.finishing {
            self.finishing.spawn(task());
        }
        self.current = Some(Current {
            services: plan.services,
            on_shutdown: plan.requests.on_shutdown,
            settings: plan.process,
            banner: plan.banner,
        });
        sys::release_code();
        Ok(())
    }

    /// Runs them one after the other, beside everything else.
    fn run_startup_hooks(&mut self, hooks: Vec<chain::setup::Task>) {
        while self.startups.try_join_next().is_some() {}
        if self.startups.len() >= MAX_STARTUPS {
            telemetry::error!(
                "the startup hooks of {MAX_STARTUPS} earlier configurations are still running: \
                 the hooks of this configuration are skipped"
            );
        } else if !hooks.is_empty() {
            self.startups.spawn(async move {
                for hook in hooks {
                    hook().await;
                }
            });
        }
    }

    /// The lines of the start banner.
    pub fn banner(&self) -> &[String] {
        self.current.as_ref().map_or(&[], |current| &current.banner)
    }

    /// The addresses that are listened on, with the ports that the system chose.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.local_addresses()
    }

    /// How often to look for a changed Corefile.
    pub fn reload_interval(&self) -> Option<Reload> {
        self.current.as_ref()?.settings.reload.map(|reload| reload.value)
    }

    /// The fingerprint of the configuration being served.
    pub fn fingerprint(&self) -> &str {
        self.current.as_ref().map_or("", |current| &current.services.fingerprint)
    }

    /// Says how many file descriptors there are and for whom.
    pub fn announce_descriptors(&self) {
        self.descriptors.announce();
    }

    /// Tells what is served from the start on; later configurations tell by themselves.
    pub fn announce(&self) {
        if let Some(reload) = self.reload_interval() {
            (reload.announce)(self.fingerprint());
        }
    }

    /// Reads the Corefile again and serves it; the old one goes on if anything is wrong. `cause` is
    /// the signal that asked for it, or nothing if the file changed.
    ///
    /// The words are CoreDNS's: people look for them in logs.
    pub async fn reload(&mut self, cause: Option<&str>) {
        if let Some(signal) = cause {
            telemetry::info!("{signal}: Reloading");
        }
        telemetry::info!("Reloading");
        match self.try_reload().await {
            Ok(()) => {
                self.refused = None;
                telemetry::info!("Reloading complete");
            }
            // Nobody asked, and nothing is other than it was at the look before.
            Err(refused) if cause.is_none() && self.refused.as_ref() == Some(&refused.text()) => {}
            Err(refused) => {
                self.refused = Some(refused.text());
                self.reload_failed.inc(metrics::SHARED);
                for finding in refused.findings.in_order() {
                    let failed = finding.severity == Severity::Error;
                    let before = if failed { "Restart failed: " } else { "" };
                    telemetry::log::finding(before, finding, &refused.sources);
                }
                let refused = self.reload_interval().map_or("", |reload| reload.refused);
                let what = cause.unwrap_or(refused);
                telemetry::error!("{what}: the old configuration keeps serving");
            }
        }
    }

    async fn try_reload(&mut self) -> Result<(), Refused> {
        let Some(path) = &self.source.path else {
            return Err(Diagnostic::general("the configuration was not read from a file")
                .help("start the server with `-conf FILE` to be able to reload")
                .into());
        };
        let text = files::read_text(path, corefile::MAX_FILE).map_err(|error| {
            Diagnostic::general(format!("cannot read {}: {error}", path.display()))
                .help("name a regular text file that the server may read")
        })?;
        let before = std::mem::replace(&mut self.source.text, text);
        let loaded = self.load().await;
        if loaded.is_err() {
            self.source.text = before;
        }
        loaded
    }

    /// Whether the Corefile, its imports included, now parses to something else than what is
    /// served. A Corefile that does not parse counts as changed: the reload will say why.
    pub fn source_changed(&self) -> bool {
        let Some(path) = &self.source.path else { return false };
        let Ok(text) = files::read_text(path, corefile::MAX_FILE) else { return false };
        let (corefile, _) = corefile::parse(&self.source.name, &text, &corefile::OsLoader);
        fingerprint(&corefile) != self.fingerprint()
    }

    /// Stops: shutdown hooks while still serving, then the listeners, each after it has answered
    /// all that it received.
    pub async fn stop(mut self) {
        if let Some(current) = self.current.take() {
            for hook in current.on_shutdown {
                hook().await;
            }
            if let Some(Setting { value: lameduck, .. }) = current.settings.lameduck
                && !lameduck.time.is_zero()
            {
                (lameduck.announce)(lameduck.time);
                tokio::time::sleep(lameduck.time).await;
            }
        }
        self.listeners.close().await;
        self.tasks.shutdown().await;
        let workers = self.workers;
        // Joining threads blocks; nothing else is left to do.
        workers.shutdown(Duration::from_secs(1));
        // With the last configuration its plugins go, which tells their tasks to finish.
        self.serving.config.store(Arc::new(Config::new(Vec::new())));
        let finished = async { while self.finishing.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, finished).await;
    }
}

/// Logs and exposes the fingerprint of a later configuration that is reloaded when its Corefile changes.
fn show_fingerprint(before: Option<Reload>, now: Option<Setting<Reload>>, fingerprint: &str) {
    if let Some(Setting { value: reload, .. }) = now {
        (reload.announce)(fingerprint);
        (reload.expose)(Some(fingerprint));
    } else if let Some(reload) = before {
        (reload.expose)(None);
    }
}
