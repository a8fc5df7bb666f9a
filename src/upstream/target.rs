//! From **TO** words to addresses, and to the tasks that watch whether these change. Files are read and
//! hosts are resolved at setup.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chain::Setup;
use corefile::{Diagnostic, Diagnostics, Token};
use wire::Name;

use super::each::Place;
use super::lookup::{Answer, Host, Resolver};
use super::members::Registry;
use super::policy::MAX_UPSTREAMS;
use super::secure::{Secure, Speaker};
use super::to::{DNS_PORT, Scheme, Target, To, nameserver};

/// How long set-up waits for all hosts together. Those that are not found by then are looked up
/// while the server serves.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whom to ask, and how.
pub(crate) struct Found {
    pub(crate) address: SocketAddr,
    /// What is spoken.
    pub(crate) scheme: Scheme,
    /// Over TLS; and the name that was written behind `%`.
    pub(crate) tls: Option<Option<String>>,
    /// The name it was found by.
    pub(crate) host: Option<String>,
}

impl Found {
    /// Whether both are the same upstream. Plain DNS or TLS does not count, as in CoreDNS: an
    /// address has one, the first.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let stream = |scheme: &Scheme| matches!(scheme, Scheme::Dns | Scheme::Tls);
        self.address == other.address
            && (self.scheme == other.scheme || stream(&self.scheme) && stream(&other.scheme))
    }
}

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
    registry: &Registry,
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
                registry.remember(resolver, &host, &found.ips);
                Ok((found.ips, found.ttl))
            }
            Err(error) => {
                registry.known(resolver, &host).map(|ips| (ips, Duration::ZERO)).ok_or(error)
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
        match read(&path) {
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

/// The largest file like resolv.conf.
const MAX_FILE: u64 = 1 << 20;

/// The servers of a file.
#[derive(Default)]
pub(crate) struct Servers {
    /// Where they are.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Why some of them cannot be reached.
    pub(crate) problems: Vec<String>,
}

/// The servers of a file like resolv.conf: `nameserver` lines only, always port 53.
pub(crate) fn read(path: &Path) -> io::Result<Servers> {
    Ok(servers(&files::read_text(path, MAX_FILE)?))
}

fn servers(text: &str) -> Servers {
    let mut servers = Servers::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let word = if words.next() == Some("nameserver") { words.next() } else { None };
        let Some((ip, zone)) = word.and_then(nameserver) else { continue };
        let (address, unknown) = scoped(SocketAddr::new(ip, DNS_PORT), zone);
        servers.addresses.push(address);
        servers.problems.extend(unknown);
    }
    servers
}

/// A link-local address needs its interface, by number or by name. Beside the address: that there is
/// no such interface.
pub(crate) fn scoped(address: SocketAddr, zone: Option<&str>) -> (SocketAddr, Option<String>) {
    let (SocketAddr::V6(v6), Some(zone)) = (address, zone) else { return (address, None) };
    let scope = zone.parse().ok().or_else(|| interface(zone));
    let unknown = scope.is_none().then(|| format!("no interface `{zone}` for upstream {address}"));
    (SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope.unwrap_or(0))), unknown)
}

/// A warning about an address whose interface is not there.
pub(crate) fn no_interface(token: &Token, problem: String) -> Diagnostic {
    Diagnostic::warning(token.span, problem)
        .label("this upstream cannot be reached")
        .help("write the name or the number of an interface behind `%`; `ip link` lists them")
}

fn interface(name: &str) -> Option<u32> {
    if name.contains('/') || name.starts_with('.') {
        return None;
    }
    let index = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?;
    index.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nameserver_lines_of_a_file_count() {
        let text = "# made by hand\nsearch example.org\nnameserver 192.0.2.1\n\
                    nameserver\tfe80::1%7 \noptions ndots:5\n;nameserver 192.0.2.2\n\
                    nameserver dns.example.org\n nameserver 192.0.2.3";
        let found: Vec<String> = servers(text).addresses.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[fe80::1%7]:53", "192.0.2.3:53"]);
    }

    #[test]
    fn interfaces_are_found_by_name() {
        assert_eq!(interface("../../etc"), None);
        assert_eq!(interface("no-such-interface"), None);
    }
}
