//! The blocks put together: the listener of each endpoint with the blocks on it, and what applies to
//! the whole process.

use std::sync::Arc;
use std::time::Duration;

use chain::Setting;
use chain::settings::{ListenerSettings, ProcessSettings, Settings};
use chain::setup::Requests;
use corefile::{Diagnostic, Diagnostics, Span};
use net::ListenSpec;
use net::tls::Acceptor;
use wire::{Endpoint, Name, Scheme};

use super::super::block::{Block, Counts};
use super::super::router::{Admission, Router, Target};
use super::build::{Built, Served};

/// All blocks of a configuration, put together.
#[derive(Default)]
pub(super) struct Joined {
    /// The listeners, in the order of their first keys.
    pub(super) listeners: Vec<Listening>,
    /// The settings of the process.
    pub(super) process: ProcessSettings,
    /// What plugins request.
    pub(super) requests: Requests,
}

/// A listener, with the blocks on it.
pub(super) struct Listening {
    /// Its endpoint.
    pub(super) endpoint: Endpoint,
    /// Its zones.
    pub(super) targets: Vec<Target>,
    /// What it is to be like.
    pub(super) spec: ListenSpec,
    settings: ListenerSettings,
    /// The place of the first block's key.
    first: Span,
    /// The place of the key for this listener.
    key: Span,
}

impl Listening {
    /// What the listener is to be like.
    ///
    /// Errors: it lacks a certificate, or blocks contradict each other.
    fn spec(&self) -> Result<ListenSpec, Diagnostic> {
        let sockets = self.settings.sockets.map(|sockets| sockets.value);
        let timeouts = &self.settings.timeouts;
        let mut spec = ListenSpec { sockets, ..ListenSpec::new(self.endpoint) };
        let set = |value: &mut Duration, own: Option<Setting<Duration>>| {
            *value = own.map_or(*value, |own| own.value);
        };
        set(&mut spec.tcp.read, timeouts.read);
        set(&mut spec.tcp.write, timeouts.write);
        set(&mut spec.tcp.idle, timeouts.idle);
        if let Some(most) = timeouts.max_queries {
            spec.tcp.max_queries = most.value;
        }
        if let (Some(http), Some(own)) = (&mut spec.http, &self.settings.http) {
            let own = &own.value;
            http.max_connections = own.max_connections.unwrap_or(http.max_connections);
            http.max_streams = own.max_streams.unwrap_or(http.max_streams);
            if !own.paths.is_empty() {
                http.paths.clone_from(&own.paths);
            }
            http.proxies.clone_from(&own.proxies);
        }
        if net::has_tls(self.endpoint.scheme) {
            spec.tls = self.acceptor()?;
        }
        Ok(spec)
    }

    /// Its TLS, if a block sets it.
    ///
    /// Errors: there is none, and the scheme needs it; or blocks contradict each other.
    fn acceptor(&self) -> Result<Option<Acceptor>, Diagnostic> {
        let tls = &self.settings.tls;
        let credentials = tls.iter().filter_map(|one| Arc::clone(&one.value.0).downcast().ok());
        let credentials: Vec<_> = credentials.collect();
        let Some(last) = tls.last() else {
            if !net::needs_tls(self.endpoint.scheme) {
                return Ok(None);
            }
            let scheme = self.endpoint.scheme.name();
            return Err(Diagnostic::error(self.key, format!("`{scheme}://` needs a certificate"))
                .label("no server block sets one for this listener")
                .help("add `tls CERT KEY` to the server block"));
        };
        if credentials.is_empty() {
            // The mistake in its files is reported.
            return Ok(None);
        }
        Acceptor::new(credentials).map(Some).map_err(|why| {
            let listener = format!("the certificates of {} cannot be used together", self.endpoint);
            Diagnostic::error(last.origin.span, listener)
                .label(why)
                .also(tls[0].origin.span, "the first one is set here")
                .help("give the server blocks of one listener the same CA and `client_auth`")
        })
    }

    /// The router of its queries.
    pub(super) fn into_router(self) -> Router {
        Router::new(&self.endpoint.to_string(), self.targets)
    }
}

/// A zone that some block serves on an endpoint; blocks with a view make no such claim.
struct Claim {
    zone: Name,
    endpoint: Endpoint,
    block: usize,
}

/// Puts the blocks together, one after the other: what only a block's set-up needs is freed before the
/// next one is set up.
pub(super) struct Joiner {
    joined: Joined,
    claims: Vec<Claim>,
    /// The places of keys that were refused for their transport.
    unsupported: Vec<Span>,
    counts: Arc<Counts>,
    /// Blocks so far.
    blocks: usize,
}

impl Joiner {
    /// No blocks yet.
    pub(super) fn new() -> Self {
        Self {
            joined: Joined::default(),
            claims: Vec::new(),
            unsupported: Vec::new(),
            counts: Arc::new(Counts::new()),
            blocks: 0,
        }
    }

    /// Adds a block.
    pub(super) fn add(&mut self, built: Built, problems: &mut Diagnostics) {
        let Built { chain, settings, served, requests, span } = built;
        let Settings { process, block: own, .. } = settings;
        self.joined.requests.append(requests);
        let debug = process.debug.is_some();
        problems.extend(self.joined.process.merge(process).err());
        problems.extend(self.joined.ignored(&served));
        let metadata = own.metadata.map(|metadata| metadata.value);
        let filter = own.view.map(|view| view.value.filter);
        let viewed = filter.is_some();
        let admission =
            (viewed || metadata.is_some()).then(|| Arc::new(Admission { metadata, filter }));
        let stacktrace = own.stacktrace.is_some();
        let keys = own.keys.map(|keys| keys.value);
        let block =
            Block { debug, stacktrace, keys, ..Block::new(chain, Arc::clone(&self.counts)) };
        let block = Arc::new(block);
        for (index, zone) in served.into_iter().enumerate() {
            if let Err(problem) = self.claim(&zone, viewed) {
                problems.extend(problem);
                continue;
            }
            let target = Target {
                all_classes: own.all_classes.is_some(),
                admission: admission.clone(),
                ..Target::new(zone.zone.clone(), Arc::clone(&block), index as u16)
            };
            let Served { endpoint, settings, span: key, .. } = zone;
            self.joined.listener(endpoint, settings, span, key).targets.push(target);
        }
        self.blocks += 1;
    }

    /// All of them.
    pub(super) fn finish(mut self, problems: &mut Diagnostics) -> Joined {
        for listener in &mut self.joined.listeners {
            match listener.spec() {
                Ok(spec) => listener.spec = spec,
                Err(problem) => problems.push(problem),
            }
        }
        self.joined
    }

    /// Claims a zone for the block that is being added; blocks with a view share theirs.
    ///
    /// Errors: its transport is not supported (nothing, if that was said of this key), or the zone is
    /// taken.
    fn claim(&mut self, served: &Served, viewed: bool) -> Result<(), Option<Diagnostic>> {
        if !net::is_supported(served.endpoint.scheme) {
            let told = self.unsupported.contains(&served.span);
            self.unsupported.push(served.span);
            return Err((!told).then(|| not_supported(served)));
        }
        if let Some(problem) = overlap(served, &self.claims, self.blocks, viewed) {
            return Err(Some(problem));
        }
        if !viewed {
            let (zone, endpoint) = (served.zone.clone(), served.endpoint);
            self.claims.push(Claim { zone, endpoint, block: self.blocks });
        }
        Ok(())
    }
}

impl Joined {
    /// The listener on `endpoint`, with these settings of the block at `first`, for its key at `key`.
    fn listener(
        &mut self,
        endpoint: Endpoint,
        settings: ListenerSettings,
        first: Span,
        key: Span,
    ) -> &mut Listening {
        let known = self.listeners.iter().position(|known| known.endpoint == endpoint);
        let index = known.unwrap_or_else(|| {
            let (spec, targets) = (ListenSpec::new(endpoint), Vec::new());
            let settings = settings.clone();
            self.listeners.push(Listening { endpoint, targets, spec, settings, first, key });
            self.listeners.len() - 1
        });
        let listener = &mut self.listeners[index];
        listener.settings.extend(settings);
        listener
    }

    /// A warning if an earlier block decided about a listener of this one.
    fn ignored(&self, served: &[Served]) -> Option<Diagnostic> {
        self.listeners.iter().find_map(|listener| {
            let own = served.iter().find(|zone| zone.endpoint == listener.endpoint)?;
            let endpoint = listener.endpoint.to_string();
            listener.settings.merge(&own.settings, &endpoint, listener.first)
        })
    }
}

/// The error of a key whose transport this build cannot serve.
fn not_supported(zone: &Served) -> Diagnostic {
    let scheme = zone.endpoint.scheme.name();
    let served = Scheme::ALL.into_iter().filter(|one| net::is_supported(*one));
    let served: Vec<String> = served.map(|one| format!("`{}://`", one.name())).collect();
    Diagnostic::error(zone.span, format!("this build does not support `{scheme}://`"))
        .label(format!("this build serves {}", served.join(", ")))
        .help("serve the zone over one of these, or keep CoreDNS for this listener")
}

/// An error if a zone is served on an endpoint twice, not counting blocks with a view, or both on all
/// addresses and on some.
fn overlap(served: &Served, claims: &[Claim], block: usize, viewed: bool) -> Option<Diagnostic> {
    let Served { zone, endpoint, span, .. } = served;
    let (scheme, ip, port) = (endpoint.scheme, endpoint.address.ip(), endpoint.address.port());
    let shown = format!("{}://{zone}:{port}", scheme.name());
    let same = claims.iter().filter(|claim| {
        let known = claim.endpoint;
        claim.zone == *zone && known.scheme == scheme && known.address.port() == port
    });
    for claim in same {
        if claim.endpoint == *endpoint && !viewed {
            let on = if ip.is_unspecified() { String::new() } else { format!(" on {ip}") };
            let (whose, help) = if claim.block == block {
                ("this", "remove one of the two")
            } else {
                (
                    "an earlier",
                    "merge the two server blocks, or give one a different port, `bind` address or `view`",
                )
            };
            return Some(
                Diagnostic::error(
                    *span,
                    format!("cannot serve {shown}{on} - it is already defined"),
                )
                .label(format!("{whose} server block serves it already"))
                .help(help),
            );
        }
        if claim.endpoint.address.ip().is_unspecified() != ip.is_unspecified() {
            return Some(
                Diagnostic::error(
                    *span,
                    format!("cannot serve {shown} - zone overlap listener capacity with {shown}"),
                )
                .label("one block has `bind`, the other listens on all addresses")
                .help("give both blocks a `bind`, or neither"),
            );
        }
    }
    None
}
