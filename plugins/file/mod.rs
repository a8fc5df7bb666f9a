//! `file`: answers authoritatively from zones in master files.
//!
//! Here is the configuration: which zones are loaded from which files, and what follows from mistakes in
//! them. `zonefiles` loads and watches the files, `authority` answers.

mod config;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use authority::{Authority, Keeper, NoPrimary, Options, Outside, TakesMessages};
use chain::admin::Admin;
use chain::{Kind, Ready, Setup};
use corefile::{Diagnostic, Diagnostics, Directive, Span};
use wire::Name;
use zonefiles::{Fresh, Problem, Watch, ZoneFile};

use config::OnError;

/// The `file` directive.
pub static PLUGIN: Kind =
    Kind { name: "file", doc: include_str!("README.md"), answers: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let (config, warnings) = config::parse(uses, &setup.zones())?;
    setup.warn_all(warnings);
    for directive in uses {
        setup.warn_outside(directive.args.get(1..).unwrap_or_default());
    }
    let mut errors = Diagnostics::default();
    let mut all: Vec<Arc<ZoneFile>> = Vec::new();
    let mut skipping: Vec<Arc<ZoneFile>> = Vec::new();
    let mut watched: Vec<(Watch, Vec<Arc<ZoneFile>>)> = Vec::new();
    for file in config.files {
        let path = setup.path(file.path);
        let mut findings = Findings::default();
        for origin in &file.origins {
            let (source, found) = open(setup, &path, origin, file.on_error);
            let warnings = setup.warnings();
            if let Err(wrong) = findings.take(found, &file, (origin, &source), warnings) {
                // A file may be loaded for many zones: its mistakes are reported once.
                errors.extend(wrong);
                break;
            }
            if file.on_error == OnError::Skip {
                skipping.push(Arc::clone(&source));
            }
            // As in CoreDNS the last file of a zone wins.
            if let Some(at) = all.iter().position(|known| known.origin() == origin) {
                let message = format!("zone `{origin}` was given a file before");
                let warning = Diagnostic::warning(file.path.span, message)
                    .label("this file replaces it")
                    .help("remove one of the two, or list the zones of each");
                setup.warn(warning);
                let before = all.remove(at);
                skipping.retain(|known| !Arc::ptr_eq(known, &before));
                for (_, sources) in &mut watched {
                    sources.retain(|known| !Arc::ptr_eq(known, &before));
                }
            }
            all.push(Arc::clone(&source));
            match watched.iter_mut().find(|(watch, _)| *watch == file.watch) {
                Some((_, sources)) => sources.push(source),
                None => watched.push((file.watch, vec![source])),
            }
        }
        if let Some(why) = findings.missing {
            let warning = absent(&path, &why, file.watch, file.path.span);
            setup.warn(warning);
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    for (watch, sources) in watched {
        if !watch.every.is_zero() {
            let schedule = {
                let paths: Vec<PathBuf> = sources.iter().map(|source| source.path()).collect();
                setup.poll_schedule(paths.iter().map(PathBuf::as_path))
            };
            setup.task(move || zonefiles::watch(sources, schedule, watch));
        }
    }
    if let Some(admin) = &config.admin {
        authority::serve_list(&Admin::new(admin, setup)?, setup);
    }
    let zones = all.iter().map(|source| Arc::clone(source.live())).collect();
    let options = Options {
        fallthrough: config.fallthrough,
        outside: Outside::RefuseIfLast,
        ..Options::default()
    };
    let keeper = Keep { skipping: skipping.into() };
    let plugin = Authority::fixed(zones, options, keeper, setup);
    setup.link(plugin);
    Ok(())
}

/// The findings about one file, which may be loaded for several zones.
#[derive(Default)]
struct Findings {
    /// Why it cannot be opened, if it may appear later.
    missing: Option<String>,
    /// Whether its mistakes have been reported.
    reported: bool,
}

impl Findings {
    /// Adds the result of loading the file for one zone. Findings that are no errors become warnings.
    ///
    /// # Errors
    /// The mistakes that prevent the configuration from being served.
    fn take(
        &mut self,
        found: Result<Option<Fresh>, Problem>,
        file: &config::File<'_>,
        (origin, source): (&Name, &ZoneFile),
        warnings: &mut Diagnostics,
    ) -> Result<(), Diagnostics> {
        let span = file.path.span;
        let stops = file.on_error == OnError::Stop;
        match found {
            Ok(None) => {}
            Ok(Some(fresh)) => {
                let notice = fresh.notice.map(|notice| zonefiles::notice(notice, origin, span));
                for warning in zonefiles::warnings(fresh.warnings, origin, span).chain(notice) {
                    // Another zone of the same file may have the same mistake.
                    let same = |known: &Diagnostic| {
                        (&known.message, &known.places) == (&warning.message, &warning.places)
                    };
                    if !warnings.iter().any(same) {
                        warnings.push(warning);
                    }
                }
            }
            Err(Problem::Open(error)) => {
                let (path, why) = (source.path(), zonefiles::io_error_text(&error));
                if stops && file.watch.every.is_zero() {
                    return Err(cannot_open(&path, &why, span).into());
                }
                self.missing = Some(why);
            }
            Err(Problem::Text(wrong)) if stops => {
                return Err(Diagnostics(zonefiles::errors(wrong, origin, span).collect()));
            }
            Err(Problem::Text(wrong)) => {
                if !std::mem::replace(&mut self.reported, true) {
                    warnings.extend(zonefiles::skipped(wrong, origin, span, source.is_loaded()));
                }
            }
        }
        Ok(())
    }
}

/// The warning about a file that may appear later. The log has CoreDNS's words.
fn absent(path: &Path, why: &str, watch: Watch, span: Span) -> Diagnostic {
    let shown = path.display();
    let open = format!("open {shown}: {why}");
    let when = match watch.every {
        every if every.is_zero() => "at the next reload of the Corefile".to_owned(),
        every => format!("in {}", corefile::show_duration(every)),
    };
    Diagnostic::warning(span, format!("cannot open `{shown}`: {why}"))
        .label("no zone can be loaded from this file yet")
        .help(format!("check the path and `root`; the server tries again {when}"))
        .logged(format!("plugin/file: Failed to open {open:?}: trying again {when}"))
}

/// The source of a zone: the current one if its files have not changed, otherwise a new one that is
/// loaded now, and the findings of that.
fn open(
    setup: &Setup<'_>,
    path: &Path,
    origin: &Name,
    on_error: OnError,
) -> (Arc<ZoneFile>, Result<Option<Fresh>, Problem>) {
    type Place = Mutex<Option<Arc<ZoneFile>>>;
    let key = format!("file {origin} {}", path.display());
    let place: Arc<Place> = setup.keep(key, Place::default);
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &*place
        && known.is_current()
    {
        return (Arc::clone(known), Ok(None));
    }
    // A new object, so that the running server keeps its zone if this configuration fails.
    let (path, clock) = (path.to_owned(), setup.clock());
    let failed = match zonefiles::load(&path, origin) {
        Ok(loaded) => {
            let (source, fresh) = ZoneFile::loaded(loaded, path, clock, place.as_deref());
            let source = Arc::new(source);
            *place = Some(Arc::clone(&source));
            return (source, Ok(Some(fresh)));
        }
        Err(failed) => failed,
    };
    let source = Arc::new(ZoneFile::new(origin.clone(), path, clock));
    if matches!(failed.problem, Problem::Text(_)) && on_error == OnError::Stop {
        return (source, Err(failed.problem));
    }
    // A file that is temporarily missing or wrong does not end the service of its zone.
    let stays = Arc::clone(place.get_or_insert(source));
    stays.failed(&failed);
    (stays, Err(failed.problem))
}

fn cannot_open(path: &Path, why: &str, span: Span) -> Diagnostic {
    Diagnostic::error(span, format!("cannot open `{}`: {why}", path.display()))
        .label("no zone can be read from here")
        .help("check the path and `root`, or let the file come later with `reload`")
}

/// A zone in a file has no primary server.
static NO_PRIMARY: NoPrimary = NoPrimary(PLUGIN.name);

/// What the plugin does for its zones besides loading them.
struct Keep {
    /// The zones that are skipped if their files have mistakes. Readiness reports them.
    skipping: Box<[Arc<ZoneFile>]>,
}

impl Keeper for Keep {
    fn ready(&self) -> Option<&dyn Ready> {
        (!self.skipping.is_empty()).then_some(self as &dyn Ready)
    }

    fn notify(&self) -> Option<&dyn TakesMessages> {
        NO_PRIMARY.notify()
    }
}

impl Ready for Keep {
    fn ready(&self) -> Result<(), String> {
        let missing = self.skipping.iter().filter(|source| !source.is_loaded());
        let names: Vec<String> = missing.map(|source| source.origin().to_string()).collect();
        if names.is_empty() { Ok(()) } else { Err(format!("not loaded: {}", names.join(" "))) }
    }
}

#[cfg(test)]
mod tests;
