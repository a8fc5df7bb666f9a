//! `auto`: answers authoritatively from the master files of a directory, which come and go.
//!
//! A scan finds the files and loads new ones; `zonefiles` renews those that are known, and `authority`
//! answers. No file is read on a worker's thread.

mod config;
mod folder;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use authority::{Authority, Keeper, NoPrimary, Options, Outside, TakesMessages};
use chain::admin::Admin;
use chain::{Kind, OwnZones, Setup};
use corefile::{Diagnostic, Diagnostics, Directive, Span};
use files::watch::{PollSchedule, Watcher};
use tokio::time::Instant;
use wire::Name;
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
        folders.push(Served {
            folder,
            every: config.every,
            first: Some(scan),
            directories: Vec::new(),
            files: Vec::new(),
        });
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
    /// The directories that the last scan could read.
    directories: Vec<PathBuf>,
    /// The files of the last scan.
    files: Vec<Watched>,
}

impl Served {
    fn is_checked(&self) -> bool {
        !self.every.is_zero()
    }

    /// The scan of the setup is over.
    fn begin(&mut self) {
        let Some(scan) = self.first.take() else { return };
        log_zones(&scan);
        self.files = self.folder.watched(Vec::new());
        self.directories = scan.directories;
    }

    /// Finds files that came and went, and checks the others for new versions.
    async fn check(&mut self) {
        let folder = Arc::clone(&self.folder);
        // A scan that panics is logged, and repeated at the next check.
        let Ok(scan) = tokio::task::spawn_blocking(move || folder.scan()).await else { return };
        log_zones(&scan);
        log_findings(&scan, &self.folder);
        self.files = self.folder.watched(std::mem::take(&mut self.files));
        let new: HashSet<&Name> = scan.added.iter().map(|(origin, ..)| origin).collect();
        for file in self.files.iter_mut().filter(|file| !new.contains(file.file().origin())) {
            file.check(Watch { every: self.every, by_mtime: false }).await;
        }
        if !scan.directories.is_empty() {
            self.directories = scan.directories;
        }
    }
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
        self.folders.iter_mut().for_each(Served::begin);
        let checked = || self.folders.iter().filter(|served| served.is_checked());
        let Some(every) = checked().map(|served| served.every).min() else { return };
        let every = every.max(Duration::from_millis(1));
        let mut directories = self.directories();
        let Some(mut schedule) = self.schedule(directories.clone()).await else { return };
        loop {
            let files = self.folders.iter().flat_map(|served| &served.files);
            let waits = files.filter_map(|file| file.waits(every)).min();
            schedule.next(waits.unwrap_or(every).clamp(Duration::from_millis(1), every)).await;
            let began = Instant::now();
            for served in self.folders.iter_mut().filter(|served| served.is_checked()) {
                served.check().await;
            }
            self.publish();
            let now = self.directories();
            if now != directories {
                let Some(next) = self.schedule(now.clone()).await else { return };
                (schedule, directories) = (next, now);
            }
            schedule.took(began.elapsed());
        }
    }

    /// The directories whose events count.
    fn directories(&self) -> Vec<PathBuf> {
        let checked = self.folders.iter().filter(|served| served.is_checked());
        checked.flat_map(|served| &served.directories).take(MAX_WATCHED).cloned().collect()
    }

    /// Events of these directories make a check come earlier. `None` if the process ends.
    async fn schedule(&self, directories: Vec<PathBuf>) -> Option<PollSchedule> {
        let watcher = self.watcher.clone();
        let watch = move || {
            let directories = directories.iter().map(PathBuf::as_path);
            PollSchedule::of_directories(watcher.as_deref(), directories)
        };
        tokio::task::spawn_blocking(watch).await.ok()
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
