//! The main job: serve until told to stop.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chain::Registry;
use chain::memory::Memory;
use files::watch::Watcher;
use telemetry::log::Level;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::args::RunOptions;
use super::help;
use super::output::{self, VERSION};
use crate::server::{self, CorefileSource, Options, Process, Refused};

/// How CoreDNS exits when a second interrupt comes while it is stopping.
const EXIT_INTERRUPTED: u8 = 2;

/// Serves; returns when the process is to end.
pub(crate) fn run(registry: Registry, options: &RunOptions) -> ExitCode {
    if options.json {
        telemetry::log::set_json(|| net::clock::unix(net::clock::now()));
    }
    let source = match read_source(options.conf.as_deref()) {
        Ok(source) => source,
        Err(unread) => {
            complain(&unread.to_string());
            return ExitCode::FAILURE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(serve(registry, options, source));
    telemetry::log::flush();
    // Background lookups may still block a thread; the process does not wait for them.
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

async fn serve(registry: Registry, run: &RunOptions, source: CorefileSource) -> ExitCode {
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("cannot handle signals: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let unwatched = |directory: &Path, error| {
        telemetry::debug!("cannot watch {}: {error}", directory.display());
    };
    let watcher = match Watcher::new(unwatched) {
        Ok(watcher) => Some(Arc::new(watcher)),
        Err(error) => {
            telemetry::warning!("cannot watch files: {error}; the server polls them instead");
            None
        }
    };
    let workers = workers();
    // Before the first metric: each worker counts in cells of its own.
    telemetry::metrics::set_workers(workers);
    let (memory, unused_limit) = memory();
    if let Some(problem) = unused_limit {
        telemetry::warning!("{problem}");
    }
    let options = Options { registry, port: run.port, workers, memory, watcher };
    let mut process = match Process::start(source, options).await {
        Ok(process) => process,
        Err(refused) => {
            refuse(&refused);
            return ExitCode::FAILURE;
        }
    };
    let pidfile = match write_pidfile(run.pidfile.as_deref()) {
        Ok(pidfile) => pidfile,
        Err(problem) => {
            complain(&problem);
            return ExitCode::FAILURE;
        }
    };
    announce(&process, run.quiet);
    let code = loop {
        match next_event(&process, &mut signals).await {
            Event::Reload(signal) => process.reload(Some(signal)).await,
            Event::Look => {
                if process.source_changed() {
                    process.reload(None).await;
                }
            }
            Event::Quit => {
                telemetry::info!("SIGQUIT: Quitting process immediately");
                break ExitCode::SUCCESS;
            }
            Event::Stop(told) => {
                telemetry::info!("{told}");
                tokio::select! {
                    () = process.stop() => break ExitCode::SUCCESS,
                    _ = signals.interrupt.recv() => break ExitCode::from(EXIT_INTERRUPTED),
                }
            }
        }
    };
    drop(pidfile);
    code
}

/// One worker per core, or as many as `GOMAXPROCS` says: the variable operators already set.
fn workers() -> usize {
    let asked = std::env::var("GOMAXPROCS").ok().and_then(|value| value.parse::<usize>().ok());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    asked.filter(|&count| count > 0).unwrap_or(cores).min(1024)
}

/// What the process may use: what `GOMEMLIMIT` says, which many have in their Deployment, or a share of
/// what the system allows. Beside it why the variable is not used.
pub(crate) fn memory() -> (Arc<Memory>, Option<String>) {
    let mut problem = None;
    let limit = std::env::var("GOMEMLIMIT").ok().and_then(|limit| {
        chain::memory::parse_limit(&limit).unwrap_or_else(|wrong| {
            problem = Some(format!("GOMEMLIMIT is ignored: {wrong}"));
            None
        })
    });
    (Arc::new(Memory::new(limit.unwrap_or_else(server::allowed_memory))), problem)
}

/// Why there is no Corefile to look at.
pub(crate) struct Unread {
    /// The file; `None`: stdin.
    path: Option<PathBuf>,
    /// Whether `-conf` names it.
    named: bool,
    why: String,
}

impl Unread {
    /// What cannot be read, and why.
    pub(crate) fn what(&self) -> String {
        match &self.path {
            Some(path) => format!("the Corefile `{}`: {}", path.display(), self.why),
            None => format!("the Corefile from stdin: {}", self.why),
        }
    }
}

/// In the words of CoreDNS.
impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = if self.named { "flag" } else { "default" };
        match &self.path {
            Some(path) => {
                write!(f, "loading Corefile via {by}: open {}: {}", path.display(), self.why)
            }
            None => write!(f, "loading Corefile from stdin: {}", self.why),
        }
    }
}

/// The Corefile that `-conf` names: a file, `stdin`, or `Corefile` if there is one.
pub(crate) fn read_source(conf: Option<&str>) -> Result<CorefileSource, Unread> {
    let named = conf.is_some();
    let unread = |path, error| Unread { path, named, why: plain(&error) };
    if conf == Some("stdin") {
        let text = files::read_stream(io::stdin(), corefile::MAX_FILE)
            .map_err(|error| unread(None, error))?;
        return Ok(CorefileSource { name: "stdin".to_owned(), path: None, text });
    }
    let path = PathBuf::from(conf.unwrap_or("Corefile"));
    match read_corefile(&path) {
        Ok((text, again)) => {
            Ok(CorefileSource { name: path.display().to_string(), path: again, text })
        }
        Err(error) if conf.is_none() && error.kind() == io::ErrorKind::NotFound => {
            Ok(CorefileSource { name: server::BUILTIN.to_owned(), path: None, text: String::new() })
        }
        Err(error) => Err(unread(Some(path), error)),
    }
}

/// The text, and the path where it can be read again: a pipe has nothing more, as stdin.
fn read_corefile(path: &Path) -> io::Result<(String, Option<PathBuf>)> {
    match files::read_pipe(path, corefile::MAX_FILE)? {
        Some(text) => Ok((text, None)),
        None => Ok((files::read_text(path, corefile::MAX_FILE)?, Some(path.to_owned()))),
    }
}

/// The system's words without Rust's error number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

/// Removed when the process ends.
struct Pidfile(PathBuf);

impl Drop for Pidfile {
    fn drop(&mut self) {
        // Another process may have taken the place of this one, and of its file.
        if files::read_text(&self.0, MAX_PID).is_ok_and(|text| text == own_pid()) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// The largest pid file: a number and a line feed.
const MAX_PID: u64 = 32;

fn own_pid() -> String {
    format!("{}\n", std::process::id())
}

fn write_pidfile(path: Option<&str>) -> Result<Option<Pidfile>, String> {
    let Some(path) = path else { return Ok(None) };
    files::replace(path.as_ref(), own_pid().as_bytes(), files::PUBLIC)
        .map_err(|error| format!("cannot write the pid file {path}: {}", plain(&error)))?;
    Ok(Some(Pidfile(path.into())))
}

/// Prints on stderr why the process ends.
fn complain(problem: &str) {
    match telemetry::log::object(Level::Error, format_args!("{problem}")) {
        Some(object) => output::complain(String::from_utf8_lossy(&object).trim_end()),
        None => output::complain(problem),
    }
}

/// Prints on stderr the diagnostics of the configuration: with carets for a person, or an object for
/// each finding.
fn refuse(refused: &Refused) {
    if !telemetry::log::is_json() {
        return output::complain(refused.text().trim_end());
    }
    for finding in refused.findings.in_order() {
        if let Some(object) = telemetry::log::finding_object(finding, &refused.sources) {
            output::complain(String::from_utf8_lossy(&object).trim_end());
        }
    }
}

/// The banner: zones, the fingerprint (which is a line of the log), the version.
fn announce(process: &Process, quiet: bool) {
    // Log lines have a thread of their own: each part waits for the one before.
    telemetry::log::flush();
    let say = |line: &str| match telemetry::log::is_json() {
        _ if quiet => {}
        true => telemetry::info!("{line}"),
        false => output::say(line),
    };
    process.banner().iter().for_each(|line| say(line));
    process.announce();
    if !quiet {
        process.announce_descriptors();
    }
    telemetry::log::flush();
    say(&format!("catena-{VERSION}"));
    say(&help::platform());
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user1: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }
}

enum Event {
    /// The signal's name.
    Reload(&'static str),
    Look,
    /// What the log says first.
    Stop(&'static str),
    Quit,
}

async fn next_event(process: &Process, signals: &mut Signals) -> Event {
    let look = async {
        match process.reload_interval() {
            Some(reload) => tokio::time::sleep(reload.next()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = signals.terminate.recv() => Event::Stop("SIGTERM: Shutting down servers then terminating"),
        _ = signals.interrupt.recv() => Event::Stop("SIGINT: Shutting down"),
        _ = signals.quit.recv() => Event::Quit,
        _ = signals.hangup.recv() => Event::Reload("SIGHUP"),
        _ = signals.user1.recv() => Event::Reload("SIGUSR1"),
        () = look => Event::Look,
    }
}
