//! From **TO** words to addresses, and to the tasks that watch whether these change. Files are read and
//! hosts are resolved at setup.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chain::Setup;
use corefile::{Diagnostic, Diagnostics};
use wire::Name;

use super::endpoint::Endpoint;
use super::hosts::{Answer, Host, KnownHosts, Resolver};
use super::resolv::{self, Servers, no_interface, scoped};
use super::tls::{Dialer, TlsClients};
use crate::config::{MAX_UPSTREAMS, Target, UpstreamConfig, UpstreamSpec};

/// How long set-up waits for all hosts together. Hosts that are not resolved by then are looked up
/// while the server serves.
const PATIENCE: Duration = Duration::from_secs(3);

/// One upstream of the Corefile: its options, and its current addresses.
pub(crate) struct Destination {
    pub(crate) place: UpstreamConfig,
    pub(crate) dialer: Dialer,
    /// In the order in which they are queried.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Why there are no addresses.
    pub(crate) problem: Option<String>,
}

/// Why the addresses of a destination may change.
pub(crate) enum AddressSource {
    /// Its file changes.
    File(PathBuf),
    /// Its host has new addresses; the known ones are fresh for this time.
    Host { host: Host, port: u16, fresh: Duration },
}

impl Destination {
    /// Each address, with what a connection to it needs.
    pub(crate) fn found(&self) -> impl Iterator<Item = Endpoint> {
        let UpstreamSpec { scheme, tls, target, .. } = &self.place.spec;
        let host = match target {
            Target::Word { host, .. } => Some(host.clone()),
            Target::Address(..) => None,
        };
        self.addresses.iter().map(move |&address| Endpoint {
            address,
            scheme: scheme.clone(),
            tls: tls.clone(),
            host: host.clone(),
        })
    }
}

/// All destinations of a group, and which of them may move, by their index.
pub(crate) struct Destinations {
    pub(crate) destinations: Vec<Destination>,
    pub(crate) sources: Vec<(usize, AddressSource)>,
}

/// A host that is being looked up.
struct Lookup {
    index: usize,
    host: Host,
    port: u16,
    answer: Answer,
}

/// The meaning of a word.
enum Word {
    File(PathBuf, Servers),
    Host(Host, u16),
}

/// Finds the destinations of a group.
///
/// Errors: a file that cannot be read, a word that is neither file nor host, no upstream at all.
pub(crate) fn destinations(
    places: &[UpstreamConfig],
    secure: &TlsClients,
    resolver: &Resolver,
    known: &KnownHosts,
    setup: &mut Setup<'_>,
) -> Result<Destinations, Diagnostics> {
    let mut search = Search::default();
    for place in places {
        let addresses = search.addresses(place, resolver, setup);
        let (place, dialer) = (place.clone(), secure.dialer(place));
        search.destinations.push(Destination { place, dialer, addresses, problem: None });
    }
    if search.problems.has_errors() {
        return Err(search.problems);
    }
    let awaits_hosts = !search.lookups.is_empty();
    search.finish_lookups(resolver, known, setup);
    let Search { destinations, sources, .. } = search;
    check_count(&destinations, awaits_hosts, setup)?;
    Ok(Destinations { destinations, sources })
}

/// A search for destinations in progress.
#[derive(Default)]
struct Search {
    destinations: Vec<Destination>,
    sources: Vec<(usize, AddressSource)>,
    lookups: Vec<Lookup>,
    problems: Diagnostics,
}

impl Search {
    /// The addresses of the next destination, as far as they are known without a lookup.
    fn addresses(
        &mut self,
        place: &UpstreamConfig,
        resolver: &Resolver,
        setup: &mut Setup<'_>,
    ) -> Vec<SocketAddr> {
        let (index, token) = (self.destinations.len(), &place.spec.token);
        let (text, host, port) = match &place.spec.target {
            Target::Address(address, zone) => {
                let (address, unknown) = scoped(*address, zone.as_deref());
                let warning = unknown.map(|problem| no_interface(token, problem));
                setup.warn_all(warning);
                return vec![address];
            }
            Target::Word { text, host, port } => (text, host, port),
        };
        let port = port.unwrap_or_else(|| place.spec.scheme.port());
        match word(&place.spec, text, host, port, setup) {
            Ok(Word::File(path, found)) => {
                let unknown = found.problems.into_iter();
                let warnings = unknown.map(|problem| no_interface(token, problem));
                setup.warn_all(warnings);
                self.sources.push((index, AddressSource::File(path)));
                return found.addresses;
            }
            Ok(Word::Host(host, port)) => {
                let answer = resolver.begin(&host);
                self.lookups.push(Lookup { index, host, port, answer });
            }
            Err(problem) => self.problems.push(problem),
        }
        Vec::new()
    }

    /// Waits for the lookups, all of them together for at most [`PATIENCE`].
    fn finish_lookups(&mut self, resolver: &Resolver, known: &KnownHosts, setup: &mut Setup<'_>) {
        let mut patience = PATIENCE;
        for Lookup { index, host, port, answer } in std::mem::take(&mut self.lookups) {
            let found = answer.recv_timeout(patience).unwrap_or_else(|_| {
                // All lookups run at the same time, so the others have had this time, too.
                patience = Duration::ZERO;
                Err("the lookup timed out".to_owned())
            });
            let found = match found {
                Ok(found) => {
                    known.remember(resolver, &host, &found.ips);
                    Ok((found.ips, found.ttl))
                }
                Err(error) => {
                    known.known(resolver, &host).map(|ips| (ips, Duration::ZERO)).ok_or(error)
                }
            };
            let destination = &mut self.destinations[index];
            let fresh = match found {
                Ok((ips, ttl)) => {
                    destination.addresses =
                        ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
                    ttl
                }
                Err(error) => {
                    let problem = format!("failed to resolve `{}`: {error}", host.text);
                    let warning = unresolved(&destination.place, &problem);
                    setup.warn(warning);
                    destination.problem = Some(problem);
                    Duration::ZERO
                }
            };
            self.sources.push((index, AddressSource::Host { host, port, fresh }));
        }
    }
}

fn unresolved(place: &UpstreamConfig, problem: &str) -> Diagnostic {
    Diagnostic::warning(place.spec.token.span, problem.to_owned())
        .label("neither a file nor a host name that resolves at present")
        .help(
            "the lookup is repeated until it succeeds; to avoid this, give an address, or set \
             `resolver` to a server that knows this host",
        )
}

/// Checks that there are upstreams, unless hosts may still be found, and warns of too many.
fn check_count(
    destinations: &[Destination],
    awaits_hosts: bool,
    setup: &mut Setup<'_>,
) -> Result<(), Diagnostics> {
    let count: usize = destinations.iter().map(|destination| destination.addresses.len()).sum();
    let Some(last) = destinations.last().map(|destination| &destination.place.spec.token) else {
        return Ok(());
    };
    if count == 0 && !awaits_hosts {
        return Err(Diagnostic::error(last.span, "no valid upstream addresses found")
            .label("no `nameserver` line in this file")
            .help("give an address, or a file with `nameserver` lines")
            .into());
    }
    if count > MAX_UPSTREAMS {
        let message = format!("more than {MAX_UPSTREAMS} upstreams: {count}");
        setup.warn(
            Diagnostic::warning(last.span, message)
                .label("together with this one")
                .help(format!("only the first {MAX_UPSTREAMS} are used")),
        );
    }
    Ok(())
}

/// Finds out whether a word is a file or a host.
fn word(
    to: &UpstreamSpec,
    text: &str,
    host: &str,
    port: u16,
    setup: &Setup<'_>,
) -> Result<Word, Diagnostic> {
    let token = &to.token;
    // A URL is no file.
    let paths = [setup.path(token), setup.start_directory().join(text)];
    for path in paths.into_iter().filter(|_| !to.scheme.is_web()) {
        match resolv::read(&path) {
            Ok(_) if to.tls.is_some() => return Err(in_the_clear(to, text)),
            Ok(addresses) => return Ok(Word::File(path, addresses)),
            Err(error) if is_absent(&error) => {}
            Err(error) => {
                return Err(Diagnostic::error(
                    token.span,
                    format!("cannot read `{text}`: {error}"),
                )
                .label("expected a file like /etc/resolv.conf")
                .help("make the file readable, or give the upstreams' addresses"));
            }
        }
    }
    let bad = |why: &str, help: &str| {
        Diagnostic::error(token.span, format!("not an IP address, file, or valid domain: `{text}`"))
            .label(why.to_owned())
            .help(help.to_owned())
    };
    if text.contains('/') {
        return Err(bad(
            "there is no such file",
            "check the path, or give the upstreams' addresses",
        ));
    }
    net::host::check(host).map_err(|problem| bad(&problem, "write an address or a host name"))?;
    let name = Name::from_text(host)
        .map_err(|problem| bad(&problem.to_string(), "write an address or a host name"))?;
    // No top-level domain is a number (RFC 3696 section 2): this is a malformed address.
    let numeric = |label: &[u8]| label.iter().all(u8::is_ascii_digit);
    if name.labels().last().is_none_or(numeric) {
        return Err(bad("neither an address nor a host name", "check the digits of the address"));
    }
    Ok(Word::Host(Host { text: host.to_owned(), name }, port))
}

/// CoreDNS would query the file's servers without TLS.
fn in_the_clear(spec: &UpstreamSpec, text: &str) -> Diagnostic {
    let word = spec.scheme.word();
    let what = format!("`{text}` is a file, and its servers are queried over plain DNS");
    Diagnostic::error(spec.token.span, what)
        .label(format!("`{word}://` would not apply to the servers in a file"))
        .help(format!(
            "give the servers' addresses as `{word}://ADDRESS%NAME`, or remove `{word}://`"
        ))
}

pub(crate) fn is_absent(error: &io::Error) -> bool {
    // A host name is also a path, perhaps below what is no folder.
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}
