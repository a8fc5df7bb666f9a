//! The weight file: the weights of the addresses of each name.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
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

    /// Reads the text of a weight file: a name on a line of its own, then lines of an address and
    /// its weight.
    fn parse(text: &str) -> Result<Self, String> {
        let mut weights = Self::default();
        let mut current: Option<Box<[u8]>> = None;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some(word), None, None) => {
                    let name =
                        Name::from_text(word).ok().filter(|_| word.parse::<IpAddr>().is_err());
                    let name = name.ok_or_else(|| {
                        format!(
                            "wrong domain name:\"{word}\" in weight file (Maybe a missing weight \
                             value?)"
                        )
                    })?;
                    let name: Box<[u8]> = name.to_lower().as_wire().into();
                    weights.0.entry(name.clone()).or_default();
                    current = Some(name);
                }
                (Some(word), Some(value), None) => {
                    let address = word
                        .parse::<IpAddr>()
                        .map_err(|_| format!("wrong IP address:\"{word}\" in weight file"))?;
                    let weight =
                        value.parse::<u8>().ok().filter(|weight| *weight > 0).ok_or_else(|| {
                            format!("wrong weight value:\"{value}\" in weight file")
                        })?;
                    let name = current.as_ref().ok_or("missing domain name in weight file")?;
                    if let Some(addresses) = weights.0.get_mut(name) {
                        addresses.push((address.to_canonical(), weight));
                    }
                }
                _ => return Err(format!("could not parse weight line:\"{line}\" in weight file")),
            }
        }
        Ok(weights)
    }
}

/// Why a weight file was not taken over.
#[derive(Debug)]
pub(super) enum Unread {
    /// It cannot be read.
    Open(io::Error),
    /// It is wrong.
    Text(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => write!(f, "weight file open error: {error}"),
            Self::Text(problem) => f.write_str(problem),
        }
    }
}

/// A weight file and what was read from it.
pub(super) struct Source {
    path: PathBuf,
    weights: ArcSwap<Weights>,
    /// Hash of the text that was read last, right or wrong.
    seen: AtomicU64,
}

impl Source {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, weights: ArcSwap::default(), seen: AtomicU64::new(0) }
    }

    /// The weights in force.
    pub(super) fn weights(&self) -> arc_swap::Guard<Arc<Weights>> {
        self.weights.load()
    }

    /// Reads the file if its text is another one. Reads a file: never on a worker.
    ///
    /// Errors: the file cannot be read or is wrong; the weights before stay in force.
    pub(super) fn renew(&self) -> Result<(), Unread> {
        let text = std::fs::read_to_string(&self.path).map_err(Unread::Open)?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        // An unchanged mistake is told once.
        if self.seen.swap(hasher.finish(), Ordering::Relaxed) == hasher.finish() {
            return Ok(());
        }
        let weights = Weights::parse(&text)
            .map_err(|problem| Unread::Text(format!("{problem} {}", self.path.display())))?;
        self.weights.store(Arc::new(weights));
        let path = self.path.display();
        chain::info!("plugin/loadbalance: Successfully reloaded weight file {path}");
        Ok(())
    }
}

/// Looks at the file again and again until the configuration is replaced.
pub(super) async fn watch(source: Arc<Source>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let source = Arc::clone(&source);
        let looked = tokio::task::spawn_blocking(move || source.renew()).await;
        if let Ok(Err(problem)) = looked {
            chain::error!("plugin/loadbalance: {problem}");
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
            assert!(error.starts_with(problem), "{error}");
        }
    }
}
