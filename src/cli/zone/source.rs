//! Opens the files of a zone, and finds the name of it.

use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::rc::Rc;

use wire::Name;
use zone::master::{self, Options};
use zonefiles::Included;

use super::progress::{Progress, Watched};
use crate::cli::args::Source;

/// The largest master file.
const MAX_FILE: u64 = 64 << 30;
/// The largest master file from stdin, which is kept in memory.
const MAX_STDIN: u64 = 1 << 30;

/// The text of a zone, which can be read several times.
pub(super) struct Text {
    shown: String,
    kind: Kind,
    progress: Rc<Progress>,
    included: Included,
}

enum Kind {
    File(PathBuf),
    Memory(Rc<[u8]>),
}

impl Text {
    /// The text of `source`; stdin is read at once.
    ///
    /// # Errors
    /// Stdin cannot be read, or is too long: the message.
    pub(super) fn of(source: &Source, progress: &Rc<Progress>) -> Result<Self, String> {
        let shown = source.shown().to_owned();
        let kind = match source {
            Source::File(path) => Kind::File(PathBuf::from(path)),
            Source::Stdin => Kind::Memory(stdin()?),
        };
        let base = match &kind {
            Kind::File(path) => path.clone(),
            Kind::Memory(_) => PathBuf::from(&shown),
        };
        let included = Included::new(&base, &shown);
        Ok(Self { shown, kind, progress: Rc::clone(progress), included })
    }

    /// Opens the text.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read>> {
        let progress = Rc::clone(&self.progress);
        match &self.kind {
            Kind::File(path) => {
                let inner = files::open(path, MAX_FILE)?;
                let size = inner.metadata().map_or(0, |metadata| metadata.len());
                progress.begin(&self.shown, size);
                Ok(Box::new(Watched { inner, progress }))
            }
            Kind::Memory(bytes) => Ok(Box::new(Cursor::new(Rc::clone(bytes)))),
        }
    }

    /// What messages call it.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Opens the files that it includes.
    pub(super) fn includes(&self) -> &Included {
        &self.included
    }

    /// The words of an error that keeps the text from being read.
    pub(super) fn cannot_open(&self, error: &io::Error) -> String {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "no such file".to_owned(),
            _ => error.to_string(),
        };
        format!("cannot read `{}`: {why}", self.shown)
    }

    /// The name of the zone: as given, the owner of its SOA record, or the one in the name of the file.
    ///
    /// # Errors
    /// The file cannot be read, or there is no name: the message.
    pub(super) fn origin(&self, given: Option<&Name>) -> Result<Name, String> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let mut source = self.open().map_err(|error| self.cannot_open(&error))?;
        let root = Name::root();
        let options = Options { file: &self.shown, ..Options::new(&root) };
        if let Some(owner) = master::soa_owner(&mut *source, &options, &self.included) {
            return Ok(owner);
        }
        let file = match &self.kind {
            Kind::File(path) => path.file_name().and_then(|name| name.to_str()),
            Kind::Memory(_) => None,
        };
        file.and_then(zone_in).ok_or_else(|| {
            let shown = &self.shown;
            format!(
                "`{shown}` does not say which zone it is: add the name of the zone, as in `{shown} \
                 example.org`"
            )
        })
    }
}

/// The name of the zone in the name of its file: `db.NAME`, `NAME.zone`, `NAME.db`, `NAME.signed`.
fn zone_in(file: &str) -> Option<Name> {
    let inner = file.strip_suffix(".signed").unwrap_or(file);
    let ended = inner.strip_suffix(".zone").or_else(|| inner.strip_suffix(".db"));
    let name = ended.or_else(|| inner.strip_prefix("db."))?;
    Name::from_text(name).ok().filter(|_| !name.is_empty())
}

fn stdin() -> Result<Rc<[u8]>, String> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(MAX_STDIN + 1).read_to_end(&mut bytes);
    match read {
        Ok(count) if count as u64 > MAX_STDIN => {
            Err(format!("stdin has more than {} MiB: name a file", MAX_STDIN >> 20))
        }
        Ok(_) => Ok(bytes.into()),
        Err(error) => Err(format!("cannot read stdin: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_their_zones() {
        let zone = |file: &str| zone_in(file).map(|name| name.to_string());
        let org = Some("example.org.".to_owned());
        for file in
            ["db.example.org", "example.org.zone", "example.org.db", "example.org.zone.signed"]
        {
            assert_eq!(zone(file), org, "{file}");
        }
        assert_eq!(zone("example.org"), None);
        assert_eq!(zone("db."), None);
        assert_eq!(zone("db.a..b"), None);
    }
}
