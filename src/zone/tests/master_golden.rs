//! Golden pairs: `tests/zonefile/NAME.zone` must read as `NAME.out` says, records or errors.
//!
//! `UPDATE=1` rewrites the expectations; review the difference.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use catena_zone::master::{Includes, Options, rdata_to_text, read};
use wire::Name;
use wire::name::Text;

struct Folder(PathBuf);

impl Includes for Folder {
    fn open(&self, path: &str, _from: &str) -> io::Result<Box<dyn Read>> {
        match File::open(self.0.join(path)) {
            Ok(file) => Ok(Box::new(file)),
            Err(_) => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
        }
    }
}

#[test]
fn zone_files_read_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/zonefile");
    let update = std::env::var_os("UPDATE").is_some();
    let mut zones: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "zone"))
        .collect();
    zones.sort();
    assert!(zones.len() >= 20, "only {} zone files in {}", zones.len(), folder.display());
    let mut wrong = Vec::new();
    for zone in zones {
        let got = show(&zone, &folder);
        let expectation = zone.with_extension("out");
        if update {
            fs::write(&expectation, got).unwrap();
        } else if fs::read_to_string(&expectation).unwrap_or_default() != got {
            wrong.push(format!("{}:\n{got}", zone.display()));
        }
    }
    assert!(wrong.is_empty(), "not as expected (UPDATE=1 rewrites):\n{}", wrong.join("\n"));
}

fn show(zone: &Path, folder: &Path) -> String {
    let origin = Name::from_text("example.org.").unwrap();
    let name = zone.file_name().unwrap().to_str().unwrap().to_owned();
    let mut options = Options::new(&origin);
    options.file = &name;
    let mut out = String::new();
    let includes = Folder(folder.to_path_buf());
    let result = read(&mut File::open(zone).unwrap(), &options, &includes, &mut |record| {
        let rdata = rdata_to_text(record.rtype, record.rdata);
        let owner = Text(record.owner);
        writeln!(out, "{owner} {} {} {} {rdata}", record.ttl, record.class, record.rtype).unwrap();
        if rdata.contains("refused.by.receiver") {
            return Err("the receiver does not want this record".into());
        }
        Ok(())
    });
    let (kind, found) = match result {
        Ok(warnings) => ("warning", warnings),
        Err(errors) => ("error", errors),
    };
    for error in found {
        writeln!(out, "{kind}: {error}").unwrap();
        let excerpt: String = error.excerpt.chars().take(90).collect();
        let caret = error.column.saturating_sub(1) as usize;
        if caret < 90 && error.line > 0 {
            writeln!(out, "  | {}\n  | {:caret$}^", excerpt.replace('\t', " "), "").unwrap();
        }
        if let Some(help) = error.help {
            writeln!(out, "  = help: {help}").unwrap();
        }
    }
    out
}
