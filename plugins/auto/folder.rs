//! The zones of one directory: which files there are, and which zones follow from them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chain::Clock;
use files::walk::Tree;
use telemetry::metrics::{self, Gauge};
use wire::Name;
use zone::Live;
use zonefiles::{Fresh, Problem, Watched, ZoneFile};

use super::config::Pattern;

/// The most zones of one directive.
const MAX_ZONES: usize = 100_000;
/// The most entries of directories that a scan looks at.
const MAX_ENTRIES: usize = 1_000_000;

/// The number of files that are not loaded because a bound is reached.
const REFUSED: &str = "catena_auto_files_refused";

/// The zones of a directory. It survives a reload of the Corefile.
pub(super) struct Folder {
    path: PathBuf,
    pattern: Pattern,
    /// Zones above those that are loaded.
    zones: Vec<Name>,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A scan has seen all of the directory.
    is_read: bool,
    files: BTreeMap<Name, Arc<ZoneFile>>,
    /// What was reported, as long as it stays so: it is reported once.
    reported: HashSet<Finding>,
    /// The series of files that are not loaded. A folder of the next configuration has its own.
    refused: Option<Gauge>,
}

/// Something that a scan found, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Finding {
    /// The directory, or one below it, cannot be read: the zones from there stay. The reason.
    Unreadable(PathBuf, String),
    /// A file whose name gives no name of a zone: the text that it gives.
    NoName(PathBuf, String),
    /// A file for a zone that is in none of the zones of the directive.
    Outside(PathBuf, Name),
    /// A file for a zone that another one is loaded from.
    Second(PathBuf, PathBuf, Name),
    /// There are more files or zones than are looked at.
    TooMany,
}

/// What a scan changed.
#[derive(Default)]
pub(super) struct Scan {
    /// Zones that were added, the paths of their files, and what was found in them.
    pub(super) added: Vec<(Name, PathBuf, Result<Fresh, Problem>)>,
    /// Zones that are gone.
    pub(super) removed: Vec<Name>,
    /// What was not found by the scan before.
    pub(super) findings: Vec<Finding>,
    /// The directories to watch.
    pub(super) directories: Vec<PathBuf>,
}

impl Folder {
    /// A directory that was not scanned yet.
    pub(super) fn new(path: PathBuf, pattern: Pattern, zones: Vec<Name>, clock: Clock) -> Self {
        Self { path, pattern, zones, clock, state: Mutex::default() }
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The zones now.
    pub(super) fn lives(&self) -> Vec<Arc<Live>> {
        self.state().files.values().map(|file| Arc::clone(file.live())).collect()
    }

    /// Whether a scan has seen all of the directory: no zone is missing.
    pub(super) fn is_read(&self) -> bool {
        self.state().is_read
    }

    /// The files now, to be checked for new versions. Those that `known` has keep their state.
    pub(super) fn watched(&self, known: Vec<Watched>) -> Vec<Watched> {
        let mut known: HashMap<_, _> =
            known.into_iter().map(|one| (Arc::as_ptr(one.file()), one)).collect();
        let mut watched = |file: &Arc<ZoneFile>| {
            known.remove(&Arc::as_ptr(file)).unwrap_or_else(|| Watched::new(Arc::clone(file)))
        };
        self.state().files.values().map(&mut watched).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the zones that there are now, and loads those that are new. A zone whose file has mistakes is
    /// there and answers SERVFAIL. Blocking I/O: not for a worker.
    pub(super) fn scan(&self) -> Scan {
        let mut scan = Scan::default();
        let mut found = HashSet::new();
        let mut state = self.state();
        let tree = match Tree::below(&self.path, MAX_ENTRIES) {
            Ok(tree) => tree,
            Err(error) => {
                // A directory that cannot be read now has not lost its zones.
                found.insert(Finding::Unreadable(self.path.clone(), io_text(&error)));
                scan.findings = state.report(found);
                return scan;
            }
        };
        let mut here: BTreeMap<Name, PathBuf> = BTreeMap::new();
        let mut refused = 0;
        for path in tree.files {
            let Some(origin) = self.origin(&path, &mut found) else { continue };
            if let Some(first) = here.get(&origin) {
                found.insert(Finding::Second(path, first.clone(), origin));
            } else if here.len() == MAX_ZONES {
                refused += 1;
            } else {
                here.insert(origin, path);
            }
        }
        if tree.is_cut || refused > 0 {
            found.insert(Finding::TooMany);
        }
        state.count_refused(refused, &self.path);
        for (directory, error) in &tree.unreadable {
            found.insert(Finding::Unreadable(directory.clone(), io_text(error)));
        }
        state.is_read |= !tree.is_cut && tree.unreadable.is_empty();
        let is_hidden = |path: &Path| {
            tree.is_cut || tree.unreadable.iter().any(|(directory, _)| path.starts_with(directory))
        };
        state.files.retain(|origin, file| {
            let stays = here.contains_key(origin) || is_hidden(&file.path());
            if !stays {
                scan.removed.push(origin.clone());
            }
            stays
        });
        for (origin, path) in here {
            match state.files.get(&origin) {
                Some(known) => known.move_to(&path),
                None => {
                    let (file, loaded) = self.load(&origin, &path);
                    state.files.insert(origin.clone(), Arc::new(file));
                    scan.added.push((origin, path, loaded));
                }
            }
        }
        scan.findings = state.report(found);
        scan.directories = tree.directories;
        scan
    }

    fn load(&self, origin: &Name, path: &Path) -> (ZoneFile, Result<Fresh, Problem>) {
        match zonefiles::load(path, origin) {
            Ok(loaded) => {
                let (file, fresh) = ZoneFile::loaded(loaded, path.to_owned(), self.clock, None);
                (file, Ok(fresh))
            }
            Err(failed) => {
                let file = ZoneFile::new(origin.clone(), path.to_owned(), self.clock);
                file.failed(&failed);
                (file, Err(failed.problem))
            }
        }
    }

    /// The zone of a file, unless it has none.
    fn origin(&self, path: &Path, found: &mut HashSet<Finding>) -> Option<Name> {
        // Names that are no UTF-8 are no names of zones.
        let text = self.pattern.origin(path.file_name()?.to_str()?)?;
        let Ok(origin) = Name::from_text(&text) else {
            found.insert(Finding::NoName(path.to_owned(), text));
            return None;
        };
        let origin = origin.to_lower();
        if !self.zones.iter().any(|zone| origin.is_under(zone)) {
            found.insert(Finding::Outside(path.to_owned(), origin));
            return None;
        }
        Some(origin)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.forget_refused();
    }
}

impl State {
    fn count_refused(&mut self, refused: usize, directory: &Path) {
        self.forget_refused();
        if refused > 0 {
            let help = "Files that are not loaded because their directive has as many zones as it may have.";
            let directory = directory.display().to_string();
            let series = metrics::own_gauge(REFUSED, help, &["directory"], &[&directory]);
            series.set(refused as f64);
            self.refused = Some(series);
        }
    }

    fn forget_refused(&mut self) {
        if let Some(series) = self.refused.take() {
            metrics::forget_gauge(REFUSED, &series);
        }
    }

    /// The findings that are new.
    fn report(&mut self, found: HashSet<Finding>) -> Vec<Finding> {
        let mut new: Vec<Finding> = found.difference(&self.reported).cloned().collect();
        new.sort_by_key(Finding::path);
        self.reported = found;
        new
    }
}

impl Finding {
    fn path(&self) -> PathBuf {
        match self {
            Self::Unreadable(path, _)
            | Self::NoName(path, _)
            | Self::Outside(path, _)
            | Self::Second(path, ..) => path.clone(),
            Self::TooMany => PathBuf::new(),
        }
    }

    /// The message and what to do. The words of CoreDNS, where it has words, are a third text.
    pub(super) fn text(&self, directory: &Path) -> (String, String, Option<String>) {
        match self {
            Self::Unreadable(path, why) => {
                let shown = path.display();
                let told = if path == directory && why == NOT_FOUND {
                    format!("Directory does not exist: {shown}")
                } else {
                    format!("error reading {shown}: {why}")
                };
                (
                    format!("cannot read the directory `{shown}`: {why}"),
                    "zones that were loaded from there serve on; check the path and `root`"
                        .to_owned(),
                    Some(told),
                )
            }
            Self::NoName(path, text) => (
                format!(
                    "`{text}`, from the name of `{}`, is not the name of a zone",
                    path.display()
                ),
                "rename the file, or write another regular expression".to_owned(),
                None,
            ),
            Self::Outside(path, zone) => (
                format!(
                    "zone `{zone}` of `{}` is in none of the zones of this `auto`",
                    path.display()
                ),
                "no query for it arrives here: add the zone to `auto`, or move the file".to_owned(),
                None,
            ),
            Self::Second(path, first, zone) => (
                format!("zone `{zone}` has two files: `{}` is not loaded", path.display()),
                format!("remove it, or `{}`, which is loaded", first.display()),
                Some(format!(
                    "Multiple zone files match origin {:?}: using {:?} instead of {:?}",
                    zone.to_string(),
                    first.display().to_string(),
                    path.display().to_string()
                )),
            ),
            Self::TooMany => (
                format!("`{}` has more files than are loaded", directory.display()),
                format!(
                    "one `auto` looks at {MAX_ENTRIES} files and loads {MAX_ZONES} zones: divide them \
                     between directories"
                ),
                None,
            ),
        }
    }
}

const NOT_FOUND: &str = "no such file or directory";

fn io_text(error: &io::Error) -> String {
    zonefiles::io_error_text(error)
}
