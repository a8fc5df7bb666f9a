//! The weight file: the weights of the addresses of each name.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use corefile::Place;
use files::versions::Versions;
use wire::{Name, NameBuf};

/// The weight of an address that the file does not name.
pub(super) const DEFAULT_WEIGHT: u8 = 1;

/// Weights by name (lower-case wire form) and address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Weights(HashMap<Box<[u8]>, Vec<(IpAddr, u8)>>);

impl Weights {
    /// The weight of `address` for `owner`, any case.
    pub(super) fn of(&self, owner: &[u8], address: IpAddr) -> u8 {
        let mut folded = NameBuf::new();
        folded.set_folded(owner);
        let known = self.0.get(folded.as_wire()).map_or(&[][..], Vec::as_slice);
        let found = known.iter().find(|(known, _)| *known == address);
        found.map_or(DEFAULT_WEIGHT, |(_, weight)| *weight)
    }

    /// Parses a weight file: a name on a line of its own, then lines with an address and its weight.
    fn parse(text: &str) -> Result<Self, Wrong> {
        let mut weights = Self::default();
        let mut current: Option<Box<[u8]>> = None;
        for (index, line) in text.lines().enumerate() {
            weights.add(line.trim(), &mut current).map_err(|problem| Wrong {
                problem,
                line: u32::try_from(index + 1).unwrap_or(u32::MAX),
                text: line.to_owned(),
            })?;
        }
        Ok(weights)
    }

    /// Adds one line. `current` is its name.
    fn add(&mut self, line: &str, current: &mut Option<Box<[u8]>>) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(word), None, None) => {
                let name = Name::from_text(word).ok().filter(|_| word.parse::<IpAddr>().is_err());
                let name = name.ok_or_else(|| {
                    format!(
                        "wrong domain name:\"{word}\" in weight file (Maybe a missing weight \
                         value?)"
                    )
                })?;
                let name: Box<[u8]> = name.to_lower().as_wire().into();
                self.0.entry(name.clone()).or_default();
                *current = Some(name);
            }
            (Some(word), Some(value), None) => {
                let address = word
                    .parse::<IpAddr>()
                    .map_err(|_| format!("wrong IP address:\"{word}\" in weight file"))?;
                let weight = value
                    .parse::<u8>()
                    .ok()
                    .filter(|weight| *weight > 0)
                    .ok_or_else(|| format!("wrong weight value:\"{value}\" in weight file"))?;
                let name = current.as_ref().ok_or("missing domain name in weight file")?;
                if let Some(addresses) = self.0.get_mut(name) {
                    addresses.push((address.to_canonical(), weight));
                }
            }
            _ => return Err(format!("could not parse weight line:\"{line}\" in weight file")),
        }
        Ok(())
    }
}

/// A mistake in a line.
#[derive(Debug)]
pub(super) struct Wrong {
    problem: String,
    line: u32,
    text: String,
}

/// Why a weight file was not loaded.
#[derive(Debug)]
pub(super) enum Unread {
    /// It cannot be read.
    Open(io::Error),
    /// A line of this file is wrong.
    Text(PathBuf, Wrong),
}

impl Unread {
    /// The place of the mistake.
    pub(super) fn place(&self) -> Option<Place> {
        let Self::Text(path, Wrong { line, text, .. }) = self else { return None };
        Some(Place::line(path.display().to_string(), *line, text))
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => write!(f, "weight file open error: {error}"),
            Self::Text(path, Wrong { problem, line, .. }) => {
                write!(f, "{problem} {}:{line}", path.display())
            }
        }
    }
}

/// The largest weight file.
const MAX_FILE: u64 = 64 << 20;

/// A weight file and the weights in force.
pub(super) struct WeightsFile {
    path: PathBuf,
    weights: ArcSwap<Weights>,
    /// The version of the last check: valid, invalid or missing.
    seen: Mutex<Versions>,
}

impl WeightsFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, weights: ArcSwap::default(), seen: Mutex::default() }
    }

    /// The weights in force.
    pub(super) fn weights(&self) -> arc_swap::Guard<Arc<Weights>> {
        self.weights.load()
    }

    /// Loads the file if its version has changed. It does blocking I/O: never call it on a worker.
    ///
    /// # Errors
    /// This version cannot be read or has a mistake, which is reported once. The earlier weights stay in
    /// force.
    pub(super) fn renew(&self) -> Result<(), Unread> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.are_current() {
            return Ok(());
        }
        *seen = Versions::of(&self.path);
        let text = files::read_text(&self.path, MAX_FILE).map_err(Unread::Open)?;
        let weights =
            Weights::parse(&text).map_err(|wrong| Unread::Text(self.path.clone(), wrong))?;
        self.weights.store(Arc::new(weights));
        let path = self.path.display();
        telemetry::info!("plugin/loadbalance: Successfully reloaded weight file {path}");
        Ok(())
    }
}

/// Checks the file regularly until the configuration is replaced.
pub(super) async fn watch(source: Arc<WeightsFile>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let source = Arc::clone(&source);
        let looked = tokio::task::spawn_blocking(move || source.renew()).await;
        if let Ok(Err(problem)) = looked {
            telemetry::error!("plugin/loadbalance: {problem}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_line_by_line() {
        let weights = Weights::parse(
            "# comment\n\nWww.example.com\n 192.0.2.1  3\n2001:db8::1 255\nother.\n192.0.2.1 7\n",
        )
        .unwrap();
        let name = |text: &str| Name::from_text(text).unwrap().as_wire().to_vec();
        let address = |text: &str| text.parse().unwrap();
        assert_eq!(weights.of(&name("WWW.example.com."), address("192.0.2.1")), 3);
        assert_eq!(weights.of(&name("www.example.com."), address("2001:db8::1")), 255);
        assert_eq!(weights.of(&name("www.example.com."), address("192.0.2.9")), 1);
        assert_eq!(weights.of(&name("other."), address("192.0.2.1")), 7);
        assert_eq!(weights.of(&name("none."), address("192.0.2.1")), 1);
        for (text, problem) in [
            ("192.0.2.1 1\n", "missing domain name"),
            ("192.0.2.1\n", "wrong domain name:\"192.0.2.1\""),
            ("a.\nx 1\n", "wrong IP address:\"x\""),
            ("a.\n192.0.2.1 0\n", "wrong weight value:\"0\""),
            ("a.\n192.0.2.1 256\n", "wrong weight value:\"256\""),
            ("a.\n192.0.2.1 1 2\n", "could not parse weight line"),
        ] {
            let error = Weights::parse(text).unwrap_err();
            assert!(error.problem.starts_with(problem), "{error:?}");
            assert_eq!(error.line as usize, text.lines().count());
        }
    }
}
