//! The key files: read when the configuration is built, and again when they change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chain::BlockKeys;
use corefile::{Diagnostic, Place, Token};
use files::versions::Stamp;
use files::watch::PollSchedule;
use telemetry::metrics::{Counter, SHARED};
use tokio::time::Instant;
use tsig::{Key, KeyFileError, Keyring, parse_key_file};

/// The largest key file: some ten thousand keys.
const MAX_FILE: u64 = 1 << 20;
/// Time between two checks of the files, beside the system's notifications.
const EVERY: Duration = Duration::from_secs(60);

/// What is wrong with a key file.
pub(super) enum Problem {
    /// It cannot be read.
    Io(io::Error),
    /// Its text is wrong.
    Text(KeyFileError),
    /// A key of it is defined elsewhere.
    Twice(Key),
}

impl Problem {
    /// The diagnostic for a file that `token` names.
    pub(super) fn diagnostic(self, token: &Token, path: &Path) -> Diagnostic {
        let file = path.display().to_string();
        match self {
            Self::Io(error) => {
                Diagnostic::error(token.span, format!("cannot read key file `{file}`: {error}"))
                    .label("its keys are needed to start")
                    .help("check the path, `root` and the permissions of the file")
            }
            Self::Text(error) => {
                let label = error.problem.clone();
                let number = u32::try_from(error.line).unwrap_or(u32::MAX);
                // The line may hold a secret: its text is not shown.
                let column = u32::try_from(error.column).unwrap_or(u32::MAX);
                let place = Place { line: number, column, ..Place::file(file) };
                Diagnostic::error(token.span, error.problem)
                    .label("the keys are read from this file")
                    .at(place.label(label))
                    .help("write each key as `key \"NAME\" { algorithm hmac-sha256; secret \"BASE64\"; };`")
            }
            Self::Twice(key) => {
                let name = key.name();
                Diagnostic::error(token.span, format!("a second secret for key `{name}`"))
                    .label("this file defines the key too")
                    .help("remove one of the two, or give it another name")
            }
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Text(error) => error.fmt(f),
            Self::Twice(key) => write!(f, "a second secret for key `{}`", key.name()),
        }
    }
}

/// The keys of the Corefile and of its key files.
pub(super) struct Source {
    inline: Keyring,
    files: Vec<PathBuf>,
    /// The versions of the files that were last read or tried.
    seen: Vec<Option<Stamp>>,
    keys: Arc<BlockKeys>,
}

impl Source {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read, or its text is wrong: the index of the file, and the reason.
    pub(super) fn read(inline: Keyring, files: Vec<PathBuf>) -> Result<Self, (usize, Problem)> {
        let seen = stamps(&files);
        let keys = Arc::new(BlockKeys::new(all_keys(&inline, &files)?));
        Ok(Self { inline, files, seen, keys })
    }

    /// The keys as they are now.
    pub(super) fn keys(&self) -> &Arc<BlockKeys> {
        &self.keys
    }

    /// The files.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Reads the files again if one has changed. Files with a mistake change nothing.
    fn renew(&mut self, failures: &Counter) {
        let now = stamps(&self.files);
        if now == self.seen {
            return;
        }
        self.seen = now;
        match all_keys(&self.inline, &self.files) {
            Ok(keys) => {
                telemetry::info!("plugin/tsig: key files have changed: {} keys", keys.len());
                self.keys.replace(keys);
            }
            Err((at, problem)) => {
                failures.inc(SHARED);
                let path = self.files[at].display();
                telemetry::error!("plugin/tsig: {path}: {problem}: the keys stay as they are");
            }
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|path| Stamp::of(path).ok()).collect()
}

fn all_keys(inline: &Keyring, files: &[PathBuf]) -> Result<Keyring, (usize, Problem)> {
    let mut keys = inline.clone();
    for (at, path) in files.iter().enumerate() {
        for key in keys_of(path).map_err(|problem| (at, problem))? {
            keys.insert(key).map_err(|key| (at, Problem::Twice(key)))?;
        }
    }
    Ok(keys)
}

fn keys_of(path: &Path) -> Result<Vec<Key>, Problem> {
    let text = files::read_text(path, MAX_FILE).map_err(Problem::Io)?;
    parse_key_file(&text).map_err(Problem::Text)
}

/// Checks the files regularly until the configuration is replaced.
pub(super) async fn watch(mut source: Source, mut schedule: PollSchedule, failures: Counter) {
    let failures = Arc::new(failures);
    loop {
        schedule.next(EVERY).await;
        let (began, counter) = (Instant::now(), Arc::clone(&failures));
        let work = move || {
            source.renew(&counter);
            source
        };
        // This fails only when the process ends.
        let Ok(back) = tokio::task::spawn_blocking(work).await else { return };
        source = back;
        schedule.took(began.elapsed());
    }
}
