//! From **TO** words to addresses, and to the tasks that watch whether these change. Files are read and
//! hosts are resolved at setup.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chain::Setup;
use corefile::{Diagnostic, Diagnostics};
use wire::Name;

use super::found::Found;
use super::hosts::{Answer, Host, KnownHosts, Resolver};
use super::resolv::{self, Servers, no_interface, scoped};
use super::tls::{Secure, Speaker};
use crate::config::{MAX_UPSTREAMS, Place, Target, To};

/// How long set-up waits for all hosts together. Those that are not found by then are looked up
/// while the server serves.
const PATIENCE: Duration = Duration::from_secs(3);

/// One **TO**: how it is asked, and where it is now.
pub(crate) struct Site {
    pub(crate) place: Place,
    pub(crate) speaker: Speaker,
    /// In the order in which they are asked.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Why there are none.
    pub(crate) problem: Option<String>,
}

/// How a site may come to be elsewhere.
pub(crate) enum Moves {
    /// Its file changes.
    File(PathBuf),
    /// Its host is found elsewhere; what is known of it holds for `fresh`.
    Host { host: Host, port: u16, fresh: Duration },
}

impl Site {
    /// Each address, with what is needed to ask it.
    pub(crate) fn found(&self) -> impl Iterator<Item = Found> {
        let To { scheme, tls, target, .. } = &self.place.to;
        let host = match target {
            Target::Word { host, .. } => Some(host.clone()),
            Target::Address(..) => None,
        };
        self.addresses.iter().map(move |&address| Found {
            address,
            scheme: scheme.clone(),
            tls: tls.clone(),
            host: host.clone(),
        })
    }
}

/// All sites of a group, and which of them may move, by their index.
pub(crate) struct Sites {
    pub(crate) sites: Vec<Site>,
    pub(crate) moves: Vec<(usize, Moves)>,
}

/// A host that is being looked up.
struct Asked {
    index: usize,
    host: Host,
    port: u16,
    answer: Answer,
}

/// Where a word leads.
enum Led {
    File(PathBuf, Servers),
    Host(Host, u16),
}

/// Where the upstreams are.
///
/// Errors: a file that cannot be read, a word that can be nobody, nobody to ask.
pub(crate) fn sites(
    places: &[Place],
    secure: &Secure,
    resolver: &Resolver,
    known: &KnownHosts,
    setup: &mut Setup<'_>,
) -> Result<Sites, Diagnostics> {
    let mut problems = Diagnostics::default();
    let (mut sites, mut moves) = (Vec::new(), Vec::new());
    let mut asked = Vec::new();
    for (index, place) in places.iter().enumerate() {
        let mut addresses = Vec::new();
        match &place.to.target {
            Target::Address(address, zone) => {
                let (address, unknown) = scoped(*address, zone.as_deref());
                addresses.push(address);
                let warning = unknown.map(|problem| no_interface(&place.to.token, problem));
                setup.warn_all(warning);
            }
            Target::Word { text, host, port } => {
                let port = port.unwrap_or_else(|| place.to.scheme.port());
                match word(&place.to, text, host, port, setup) {
                    Ok(Led::File(path, found)) => {
                        addresses = found.addresses;
                        let token = &place.to.token;
                        let unknown = found.problems.into_iter();
                        let warnings = unknown.map(|problem| no_interface(token, problem));
                        setup.warn_all(warnings);
                        moves.push((index, Moves::File(path)));
                    }
                    Ok(Led::Host(host, port)) => {
                        let answer = resolver.begin(&host);
                        asked.push(Asked { index, host, port, answer });
                    }
                    Err(problem) => problems.push(problem),
                }
            }
        }
        let (place, speaker) = (place.clone(), secure.speaker(place));
        sites.push(Site { place, speaker, addresses, problem: None });
    }
    if problems.has_errors() {
        return Err(problems);
    }
    let hosts = !asked.is_empty();
    let mut patience = PATIENCE;
    for Asked { index, host, port, answer } in asked {
        let site = &mut sites[index];
        // All are looked up at the same time: who waited for one has waited for all.
        let found = answer.recv_timeout(patience).unwrap_or_else(|_| {
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
        let fresh = match found {
            Ok((ips, ttl)) => {
                site.addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
                ttl
            }
            Err(error) => {
                let problem = format!("failed to resolve `{}`: {error}", host.text);
                setup.warn(
                    Diagnostic::warning(site.place.to.token.span, problem.clone())
                        .label("neither a file nor a host name that resolves at present")
                        .help(
                            "the lookup is repeated until it succeeds; to avoid this, give an address, \
                               or set `resolver` to a server that knows this host",
                        ),
                );
                site.problem = Some(problem);
                Duration::ZERO
            }
        };
        moves.push((index, Moves::Host { host, port, fresh }));
    }
    let count: usize = sites.iter().map(|site| site.addresses.len()).sum();
    if let Some(last) = places.last().map(|place| &place.to.token) {
        if count == 0 && !hosts {
            return Err(Diagnostic::error(last.span, "no valid upstream addresses found")
                .label("no `nameserver` line in this file")
                .help("give an address, or a file with `nameserver` lines")
                .into());
        }
        if count > MAX_UPSTREAMS {
            setup.warn(
                Diagnostic::warning(
                    last.span,
                    format!("more than {MAX_UPSTREAMS} upstreams: {count}"),
                )
                .label("together with this one")
                .help(format!("only the first {MAX_UPSTREAMS} are used")),
            );
        }
    }
    Ok(Sites { sites, moves })
}

/// A file, or else a host.
fn word(to: &To, text: &str, host: &str, port: u16, setup: &Setup<'_>) -> Result<Led, Diagnostic> {
    let token = &to.token;
    // A URL is no file.
    let paths = [setup.path(token), setup.start_directory().join(text)];
    for path in paths.into_iter().filter(|_| !to.scheme.is_web()) {
        match resolv::read(&path) {
            Ok(_) if to.tls.is_some() => return Err(in_the_clear(to, text)),
            Ok(addresses) => return Ok(Led::File(path, addresses)),
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
    // No top-level domain is a number (RFC 3696 section 2): this is an address gone wrong.
    let numeric = |label: &[u8]| label.iter().all(u8::is_ascii_digit);
    if name.labels().last().is_none_or(numeric) {
        return Err(bad("neither an address nor a host name", "check the digits of the address"));
    }
    Ok(Led::Host(Host { text: host.to_owned(), name }, port))
}

/// CoreDNS would ask the file's servers without TLS.
fn in_the_clear(to: &To, text: &str) -> Diagnostic {
    let word = to.scheme.word();
    let what = format!("`{text}` is a file, and its servers are queried over plain DNS");
    Diagnostic::error(to.token.span, what)
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
