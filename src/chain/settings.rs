//! Settings of the server that directives make, by scope.
//!
//! A server block sets values of three scopes. [`ProcessSettings`] of all blocks are merged into those
//! of the process, and [`ListenerSettings`] of the blocks that share an endpoint into those of its
//! listener. [`BlockSettings`] stay with their block. Each value carries its [`Origin`].

mod keys;

use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use corefile::{Diagnostic, Span};
use exchange::Query;
use wire::Name;

use crate::ZoneSet;

pub use keys::{BlockKeys, KeyRef};

/// The directive that made a setting, and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The directive's name.
    pub directive: &'static str,
    /// The directive's place in the Corefile.
    pub span: Span,
}

/// A value and its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Its origin.
    pub origin: Origin,
}

/// The settings that one server block makes.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// For the whole process.
    pub process: ProcessSettings,
    /// For the listeners of the block.
    pub listener: ListenerSettings,
    /// For the block itself.
    pub block: BlockSettings,
}

/// Settings of the process.
#[derive(Clone, Debug, Default)]
pub struct ProcessSettings {
    /// The checks for a changed Corefile. Merge: the last block decides, as in CoreDNS.
    pub reload: Option<Setting<Reload>>,
    /// Debug lines are logged, and panics end the process. Merge: any block enables it.
    pub debug: Option<Origin>,
    /// The memory limit in octets. Merge: all blocks must agree.
    pub memory: Option<Setting<u64>>,
    /// The time of service after a stop signal. Merge: the longest.
    pub lameduck: Option<Setting<Lameduck>>,
}

impl ProcessSettings {
    /// Merges the settings of a further block.
    ///
    /// Errors: the block contradicts an earlier one.
    pub fn merge(&mut self, block: Self) -> Result<(), Diagnostic> {
        self.reload = block.reload.or(self.reload);
        self.debug = self.debug.or(block.debug);
        let time = |set: &Option<Setting<Lameduck>>| set.map(|lameduck| lameduck.value.time);
        if time(&block.lameduck) > time(&self.lameduck) {
            self.lameduck = block.lameduck;
        }
        let Some(limit) = block.memory else { return Ok(()) };
        let earlier = *self.memory.get_or_insert(limit);
        if earlier.value == limit.value {
            return Ok(());
        }
        let directive = limit.origin.directive;
        let shown = crate::memory::shown(earlier.value);
        Err(Diagnostic::error(limit.origin.span, format!("conflicting values of `{directive}`"))
            .label(format!("another server block sets {shown}"))
            .also(earlier.origin.span, "it is set here")
            .help(format!("`{directive}` applies to the whole process: keep one of the values")))
    }
}

/// Settings of a listener.
#[derive(Clone, Debug, Default)]
pub struct ListenerSettings {
    /// The number of sockets; without it one per worker. Merge: the first block on the endpoint
    /// decides, as in CoreDNS, and a different number in a later one is warned of.
    pub sockets: Option<Setting<usize>>,
    /// How long clients of streams may take. Merge: the last block that sets a value decides, as in
    /// CoreDNS.
    pub timeouts: Timeouts,
    /// The certificates of the listener and its demands on clients. Merge: all of them.
    pub tls: Vec<Setting<Credentials>>,
    /// How it speaks HTTP. Merge: the first block that says so decides.
    pub http: Option<Setting<HttpOptions>>,
}

/// How a listener speaks HTTP; `None`: the usual value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpOptions {
    /// Connections at once; 0: no limit of its own.
    pub max_connections: Option<usize>,
    /// Streams of a connection at once.
    pub max_streams: Option<u32>,
    /// The paths that are served; empty: the usual one.
    pub paths: Vec<String>,
    /// Addresses and prefix lengths of the proxies whose word about the client counts.
    pub proxies: Vec<(IpAddr, u8)>,
}

/// How long clients of streams may take, and how much they may ask; `None`: the usual value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeouts {
    /// For a message, from its first octet to its last.
    pub read: Option<Setting<Duration>>,
    /// For taking an octet of a reply.
    pub write: Option<Setting<Duration>>,
    /// Between two messages.
    pub idle: Option<Setting<Duration>>,
    /// Queries on one connection; `None` in it: no limit.
    pub max_queries: Option<Setting<Option<u32>>>,
}

impl Timeouts {
    /// These values, and those of `other` where there are none.
    #[must_use]
    fn or(self, other: Self) -> Self {
        Self {
            read: self.read.or(other.read),
            write: self.write.or(other.write),
            idle: self.idle.or(other.idle),
            max_queries: self.max_queries.or(other.max_queries),
        }
    }
}

/// What a listener identifies itself with. Only the plugin that makes it and the server that hands it to
/// the sockets know its type.
#[derive(Clone)]
pub struct Credentials(pub Arc<dyn Any + Send + Sync>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("credentials")
    }
}

impl ListenerSettings {
    /// These settings, and those of `other` where they say nothing.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let tls = if self.tls.is_empty() { &other.tls } else { &self.tls };
        Self {
            sockets: self.sockets.or(other.sockets),
            timeouts: self.timeouts.or(other.timeouts),
            tls: tls.clone(),
            http: self.http.clone().or_else(|| other.http.clone()),
        }
    }

    /// Takes the values of a further block that do not have to be those of the first.
    pub fn extend(&mut self, block: Self) {
        self.timeouts = block.timeouts.or(self.timeouts);
        self.http = self.http.take().or(block.http);
        for further in block.tls {
            let same = |known: &Setting<Credentials>| Arc::ptr_eq(&known.value.0, &further.value.0);
            if !self.tls.iter().any(same) {
                self.tls.push(further);
            }
        }
    }

    /// Merges the settings of a further block on `endpoint`. The first block's key is at `first`.
    ///
    /// Returns a warning if a value of the further block has no effect.
    pub fn merge(&self, block: &Self, endpoint: &str, first: Span) -> Option<Diagnostic> {
        let ignored = block.sockets?;
        if self.sockets.is_some_and(|earlier| earlier.value == ignored.value) {
            return None;
        }
        let directive = ignored.origin.directive;
        let (place, label) = match self.sockets {
            Some(earlier) => (earlier.origin.span, "this one counts"),
            None => (first, "the first server block on this address, which sets no number"),
        };
        Some(
            Diagnostic::warning(ignored.origin.span, format!("`{directive}` has no effect here"))
                .label(format!("an earlier server block sets the number of sockets of {endpoint}"))
                .also(place, label)
                .help("move it to the first server block on this address"),
        )
    }
}

/// Settings of one server block.
#[derive(Clone, Debug, Default)]
pub struct BlockSettings {
    /// The directory of relative paths; without it that in which the server starts.
    pub root: Option<Setting<PathBuf>>,
    /// The addresses to listen on; empty means all.
    pub bind: Vec<Bind>,
    /// The stack of a panic is logged.
    pub stacktrace: Option<Origin>,
    /// Queries of all classes enter the chain, not only those of class IN.
    pub all_classes: Option<Origin>,
    /// Metadata is collected for queries in these zones.
    pub metadata: Option<Setting<ZoneSet>>,
    /// Zones whose queries the plugin of this name never passes on.
    pub ended: Vec<(Name, &'static str)>,
    /// The block takes only some of the queries in its zones.
    pub view: Option<Setting<View>>,
    /// Signed queries are verified with these keys, and the replies to them are signed.
    pub keys: Option<Setting<Arc<BlockKeys>>>,
    /// Links from this number on record spans.
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

/// How long the process serves after a stop signal.
#[derive(Clone, Copy, Debug)]
pub struct Lameduck {
    /// The time.
    pub time: Duration,
    /// Logs that it begins.
    pub announce: fn(Duration),
}

/// When to look for a changed Corefile, and the reports about it.
#[derive(Clone, Copy, Debug)]
pub struct Reload {
    /// Time between two checks.
    pub interval: Duration,
    /// At most this much is added to or subtracted from the interval.
    pub jitter: Duration,
    /// Logs the fingerprint of the configuration that is served.
    pub announce: fn(fingerprint: &str),
    /// Exposes the fingerprint of a configuration that replaced another one; `None` once a
    /// configuration without such checks is served.
    pub expose: fn(fingerprint: Option<&str>),
    /// The log line's start after a changed Corefile was refused.
    pub refused: &'static str,
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
