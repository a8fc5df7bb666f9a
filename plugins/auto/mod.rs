//! `auto`: answers authoritatively from the master files of a directory, which come and go.
//!
//! A scan finds the files and loads new ones; `zonefiles` renews those that are known, and `authority`
//! answers. No file is read on a worker's thread.

mod config;
mod folder;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use authority::{Authority, Keeper, NoPrimary, Options, Outside, TakesMessages};
use chain::admin::Admin;
use chain::{Kind, OwnZones, Setup};
use corefile::{Diagnostic, Diagnostics, Directive, Span};
use files::watch::{PollSchedule, Watcher};
use tokio::time::Instant;
use zone::{Live, LiveSet};
use zonefiles::{Problem, Watch, Watched};

use config::Config;
use folder::{Finding, Folder, Scan};

/// The `auto` directive.
pub static PLUGIN: Kind =
    Kind { name: "auto", doc: include_str!("README.md"), answers: true, setup, ..Kind::DEFAULT };

/// Directories that are watched for events at most. All others are only checked regularly.
const MAX_WATCHED: usize = 1000;

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut configs: Vec<Config<'_>> = Vec::new();
    for directive in uses {
        let zones = setup.zones();
        match config::parse(directive, &zones, setup.warnings()) {
            Ok(config) => configs.push(config),
            Err(wrong) => errors.extend(wrong),
        }
        setup.warn_outside(&directive.args);
    }
    if errors.has_errors() {
        return Err(errors);
    }
    let mut folders: Vec<Served> = Vec::new();
    for config in configs {
        if let Some(admin) = &config.admin {
            authority::serve_list(&Admin::new(admin, setup)?, setup);
        }
        let Some(directory) = config.directory else { continue };
        let path = setup.path(directory);
        let names: Vec<String> = config.zones.iter().map(ToString::to_string).collect();
        let key = format!("auto {} {} {}", path.display(), config.pattern.key(), names.join(" "));
        let clock = setup.clock();
        let folder = setup.keep(key, || Folder::new(path, config.pattern, config.zones, clock));
        let scan = folder.scan();
        for warning in diagnostics(&scan, &folder, directory.span) {
            setup.warn(warning);
        }
        folders.push(Served { folder, every: config.every, first: Some(scan) });
    }
    let set = Arc::new(LiveSet::new(lives(&folders)));
    let options = Options { outside: Outside::RefuseIfLast, ..Options::default() };
    let keep = Keep { folders: folders.iter().map(|served| Arc::clone(&served.folder)).collect() };
    let plugin = Authority::changing(Arc::clone(&set), options, keep, setup);
    setup.link(plugin);
    if !folders.is_empty() {
        let (own_zones, watcher) = (setup.own_zones(), setup.service::<Watcher>());
        let is_complete = folders.iter().all(|served| served.folder.is_read());
        let keeping = Keeping { folders, set, own_zones, watcher, is_complete };
        setup.task(move || keeping.run());
    }
    Ok(())
}

/// A directory that a server block serves.
struct Served {
    folder: Arc<Folder>,
    /// The time between two checks. Zero means no checks.
    every: Duration,
    /// The scan of the setup, until it is logged.
    first: Option<Scan>,
}

/// The keeper of the zones: they have no primary server.
struct Keep {
    folders: Vec<Arc<Folder>>,
}

impl Keeper for Keep {
    fn is_complete(&self) -> bool {
        self.folders.iter().all(|folder| folder.is_read())
    }

    fn notify(&self) -> Option<&dyn TakesMessages> {
        static NO_PRIMARY: NoPrimary = NoPrimary("auto");
        Some(&NO_PRIMARY)
    }
}

/// The zones of all directories. Of two with the same name, the first is found.
fn lives(folders: &[Served]) -> Vec<Arc<Live>> {
    folders.iter().flat_map(|served| served.folder.lives()).collect()
}

/// The warnings about a scan.
fn diagnostics(scan: &Scan, folder: &Folder, span: Span) -> Vec<Diagnostic> {
    let mut warnings: Vec<Diagnostic> = Vec::new();
    for finding in &scan.findings {
        let (message, help, told) = finding.text(folder.path());
        let warning = Diagnostic::warning(span, message)
            .label("zones are loaded from this directory")
            .help(help);
        warnings.push(match told {
            Some(told) => warning.logged(format!("plugin/auto: {told}")),
            None => warning,
        });
    }
    for (origin, path, loaded) in &scan.added {
        match loaded {
            Ok(fresh) => warnings.extend(zonefiles::warnings(fresh.warnings.clone(), origin, span)),
            Err(Problem::Text(wrong)) => {
                warnings.extend(zonefiles::skipped(wrong.clone(), origin, span, false));
            }
            Err(Problem::Open(error)) => {
                let (shown, why) = (path.display(), zonefiles::io_error_text(error));
                let warning = Diagnostic::warning(span, format!("cannot open `{shown}`: {why}"))
                    .label(format!("zone `{origin}` answers SERVFAIL until it can be opened"))
                    .help("check the permissions of the file")
                    .logged(format!("plugin/auto: Opening {shown} failed: open {shown}: {why}"));
                warnings.push(warning);
            }
        }
    }
    warnings
}

/// Keeps the zones of a server block current until the configuration is replaced.
struct Keeping {
    folders: Vec<Served>,
    set: Arc<LiveSet>,
    own_zones: Arc<OwnZones>,
    watcher: Option<Arc<Watcher>>,
    /// All directories had been read when the zones were last published.
    is_complete: bool,
}

impl Keeping {
    async fn run(mut self) {
        let mut directories: Vec<PathBuf> = Vec::new();
        for served in &mut self.folders {
            if let Some(scan) = served.first.take() {
                log_zones(&scan);
                if !served.every.is_zero() {
                    directories.extend(scan.directories);
                }
            }
        }
        self.folders.retain(|served| !served.every.is_zero());
        let Some(every) = self.folders.iter().map(|served| served.every).min() else { return };
        let every = every.max(Duration::from_millis(1));
        let mut schedule = self.schedule(&directories);
        let mut files: Vec<Vec<Watched>> =
            self.folders.iter().map(|served| served.folder.watched(Vec::new())).collect();
        loop {
            let waits = files.iter().flatten().filter_map(|file| file.waits(every)).min();
            schedule.next(waits.unwrap_or(every).clamp(Duration::from_millis(1), every)).await;
            let began = Instant::now();
            let mut now: Vec<PathBuf> = Vec::new();
            for (served, files) in self.folders.iter().zip(&mut files) {
                let folder = Arc::clone(&served.folder);
                // A scan that panics is logged, and repeated at the next check.
                let Ok(scan) = tokio::task::spawn_blocking(move || folder.scan()).await else {
                    continue;
                };
                log_zones(&scan);
                log_findings(&scan, &served.folder);
                *files = served.folder.watched(std::mem::take(files));
                let is_new = |file: &Watched| {
                    scan.added.iter().any(|(origin, ..)| origin == file.file().origin())
                };
                now.extend(scan.directories.iter().cloned());
                for file in files.iter_mut().filter(|file| !is_new(file)) {
                    file.check(Watch { every: served.every, by_mtime: false }).await;
                }
            }
            self.publish();
            if !now.is_empty() && now != directories {
                schedule = self.schedule(&now);
                directories = now;
            }
            schedule.took(began.elapsed());
        }
    }

    /// Events of these directories make a check come earlier.
    fn schedule(&self, directories: &[PathBuf]) -> PollSchedule {
        let watched = directories.iter().take(MAX_WATCHED).map(PathBuf::as_path);
        PollSchedule::of_directories(self.watcher.as_deref(), watched)
    }

    /// Publishes the zones that there are now, if others were there before, or if it is now that all are known.
    fn publish(&mut self) {
        let is_complete = self.folders.iter().all(|served| served.folder.is_read());
        let (now, before) = (lives(&self.folders), self.set.all());
        let is_same = now.len() == before.len()
            && now.iter().zip(&before).all(|(now, before)| Arc::ptr_eq(now, before));
        if !is_same || is_complete != self.is_complete {
            self.is_complete = is_complete;
            self.set.set(now);
            self.own_zones.note_change();
        }
    }
}

/// Logs zones that have come and gone, in the words of CoreDNS.
fn log_zones(scan: &Scan) {
    for (origin, path, loaded) in &scan.added {
        if loaded.is_ok() {
            telemetry::info!("plugin/auto: Inserting zone `{origin}' from: {}", path.display());
        }
    }
    for origin in &scan.removed {
        telemetry::info!("plugin/auto: Deleting zone `{origin}'");
    }
}

/// Logs what a scan found, as the setup reports it.
fn log_findings(scan: &Scan, folder: &Folder) {
    for finding in &scan.findings {
        let (message, help, told) = Finding::text(finding, folder.path());
        match told {
            Some(told) => telemetry::warning!("plugin/auto: {told}"),
            None => telemetry::warning!("plugin/auto: {message}: {help}"),
        }
    }
    for (origin, path, loaded) in &scan.added {
        let shown = path.display();
        match loaded {
            Ok(fresh) => zonefiles::log_warnings(&fresh.warnings),
            Err(Problem::Open(error)) => {
                let why = zonefiles::io_error_text(error);
                telemetry::warning!("plugin/auto: Opening {shown} failed: open {shown}: {why}");
            }
            Err(Problem::Text(wrong)) => {
                for error in wrong {
                    telemetry::warning!("plugin/auto: Parse zone `{origin}': {error}");
                }
            }
        }
    }
}
