//! Settings of the server itself that directives make.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use corefile::Span;
use exchange::Query;

/// The server's own settings of one block; each is set by one configuration-only directive.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `root`: the directory of relative paths.
    pub root: PathBuf,
    /// `bind`: the addresses to listen on; empty means all.
    pub bind: Vec<Bind>,
    /// `multisocket`: the number of sockets of each listener of the block, and its place.
    pub sockets: Option<(usize, Span)>,
    /// `reload`: the interval of the checks for a changed Corefile, and its jitter.
    pub reload: Option<Reload>,
    /// `debug`: log debug lines and let panics through.
    pub debug: bool,
    /// `memory`: the memory limit of the process in octets, and its place.
    pub memory: Option<(u64, Span)>,
    /// `errors { stacktrace }`: log the stack of a panic.
    pub stacktrace: bool,
    /// `health { lameduck }`: how long to keep serving when the process stops.
    pub lameduck: Duration,
    /// Whether queries of all classes enter the chain (CoreDNS: `chaos` or `forward` is loaded).
    pub all_classes: bool,
    /// `metadata`: collect metadata for queries under these zones.
    pub metadata: Option<crate::ZoneSet>,
    /// Zones whose queries the plugin of this name never passes on.
    pub ended: Vec<(wire::Name, &'static str)>,
    /// `view`: the block takes only some of the queries in its zones.
    pub view: Option<View>,
    /// `trace`: links from this number on record spans.
    pub spans_from: Option<usize>,
}

/// Which queries a block takes.
#[derive(Clone)]
pub struct View {
    /// Its name, a label of metrics.
    pub name: Arc<str>,
    /// Distinguishes it from every other view, for objects that survive a reload.
    pub identity: String,
    /// The filter that decides.
    pub filter: Arc<dyn Filter>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.identity)
    }
}

/// Decides whether a block takes a query; of several blocks with one zone the first that does.
pub trait Filter: Send + Sync {
    /// Whether it takes this one. Runs on the listener's thread and must not wait.
    fn takes(&self, query: &Query) -> bool;
}

/// One `bind` directive.
#[derive(Clone, Debug)]
pub struct Bind {
    /// Addresses and interface names.
    pub addresses: Vec<(String, Span)>,
    /// Addresses and interface names to leave out.
    pub except: Vec<(String, Span)>,
}

/// `reload INTERVAL JITTER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Time between two checks.
    pub interval: Duration,
    /// At most this much is added to or subtracted from the interval.
    pub jitter: Duration,
}

impl Reload {
    /// Time until the next check: the interval plus or minus the jitter, so that many servers do not
    /// check at the same moment.
    pub fn next(&self) -> Duration {
        let jitter = self.jitter.as_nanos() as u64;
        if jitter == 0 {
            return self.interval;
        }
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
        let offset = Duration::from_nanos(random % (2 * jitter));
        (self.interval + offset).saturating_sub(self.jitter)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            root: PathBuf::from("."),
            bind: Vec::new(),
            sockets: None,
            reload: None,
            debug: false,
            memory: None,
            stacktrace: false,
            lameduck: Duration::ZERO,
            all_classes: false,
            metadata: None,
            ended: Vec::new(),
            view: None,
            spans_from: None,
        }
    }
}
