//! From **TO** arguments to addresses: files are read and host names looked up, once, at set-up.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chain::Setup;
use corefile::{Diagnostic, Diagnostics};
use net::client::{Network, PoolOptions, StreamPool};
use wire::record::Message;
use wire::{Name, Rtype, Section};

use super::config::Config;
use super::message::is_truncated;
use super::policy::MAX_UPSTREAMS;
use super::to::{DNS_PORT, Scheme, Target, To, nameserver};
use net::random;

/// How long a resolver may take for one question.
const TIMEOUT: Duration = Duration::from_secs(2);

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
    fn is(&self, address: SocketAddr, scheme: &Scheme) -> bool {
        let stream = |scheme: &Scheme| matches!(scheme, Scheme::Dns | Scheme::Tls);
        self.address == address
            && (self.scheme == *scheme || stream(&self.scheme) && stream(scheme))
    }
}

/// The upstreams' addresses, each once, in the order they are written.
///
/// Errors: a host that cannot be found, a file that cannot be read, nobody to ask.
pub(crate) fn addresses(
    config: &Config,
    network: &Arc<Network>,
    setup: &Setup<'_>,
) -> Result<Vec<Found>, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut found: Vec<Found> = Vec::new();
    let mut add = |address: SocketAddr, to: &To, host: Option<&str>| {
        if !found.iter().any(|one| one.is(address, &to.scheme)) {
            let (scheme, tls) = (to.scheme.clone(), to.tls.clone());
            found.push(Found { address, scheme, tls, host: host.map(ToOwned::to_owned) });
        }
    };
    let mut last = None;
    for to in &config.to {
        match &to.target {
            Target::Address(address, zone) => add(scoped(*address, zone.as_deref()), to, None),
            Target::Word { text, host, port } => {
                last = Some(&to.token);
                let port = port.unwrap_or_else(|| to.scheme.port());
                match word(to, text, host, port, config, network, setup) {
                    Ok(addresses) => {
                        addresses.into_iter().for_each(|address| add(address, to, Some(host)));
                    }
                    Err(problem) => problems.push(problem),
                }
            }
        }
    }
    if problems.has_errors() {
        return Err(problems);
    }
    match last {
        Some(token) if found.is_empty() => {
            return Err(Diagnostic::error(token.span, "no valid upstream addresses found")
                .label("no `nameserver` line in this file")
                .help("name an address, or a file that has `nameserver` lines")
                .into());
        }
        Some(token) if found.len() > MAX_UPSTREAMS => {
            return Err(Diagnostic::error(
                token.span,
                format!("more than {MAX_UPSTREAMS} upstreams: {}", found.len()),
            )
            .label("together with this one")
            .help("name fewer")
            .into());
        }
        _ => {}
    }
    Ok(found)
}

/// A file, or else a host.
fn word(
    to: &To,
    text: &str,
    host: &str,
    port: u16,
    config: &Config,
    network: &Arc<Network>,
    setup: &Setup<'_>,
) -> Result<Vec<SocketAddr>, Diagnostic> {
    let token = &to.token;
    // A URL is no file.
    let paths = [setup.path(token), setup.world.root.join(text)];
    for path in paths.iter().filter(|_| !to.scheme.is_web()) {
        match read(path) {
            Ok(_) if to.tls.is_some() => return Err(in_the_clear(to, text)),
            Ok(addresses) => return Ok(addresses),
            Err(error) if is_absent(&error) => {}
            Err(error) => {
                return Err(Diagnostic::error(
                    token.span,
                    format!("cannot read `{text}`: {error}"),
                )
                .label("expected a file like /etc/resolv.conf")
                .help("make the file readable, or name the upstreams' addresses"));
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
            "check the path, or name the upstreams' addresses",
        ));
    }
    let name = Name::from_text(host)
        .map_err(|problem| bad(&problem.to_string(), "write an address or a host name"))?;
    // No top-level domain is a number (RFC 3696 section 2): this is an address gone wrong.
    let numeric = |label: &[u8]| label.iter().all(u8::is_ascii_digit);
    if name.labels().last().is_none_or(numeric) {
        return Err(bad("neither an address nor a host name", "check the digits of the address"));
    }
    let ips = lookup(host, &name, &config.resolvers, config.source, network).map_err(|error| {
        Diagnostic::error(token.span, format!("failed to resolve `{host}`: {error}"))
            .label("neither a file nor a host that can be found")
            .help("name an address, or with `resolver` a server that knows this host")
    })?;
    Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

/// CoreDNS would ask the file's servers without TLS.
fn in_the_clear(to: &To, text: &str) -> Diagnostic {
    let word = to.scheme.word();
    let what = format!("`{text}` is a file, whose servers speak plain DNS");
    Diagnostic::error(to.token.span, what)
        .label(format!("`{word}://` before a file would be a promise that is not kept"))
        .help(format!(
            "name the servers' addresses, as `{word}://ADDRESS%NAME`, or remove `{word}://`"
        ))
}

pub(crate) fn is_absent(error: &io::Error) -> bool {
    // A host name is also a path, perhaps below what is no folder.
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

/// The servers of a file like resolv.conf: `nameserver` lines only, always port 53.
pub(crate) fn read(path: &PathBuf) -> io::Result<Vec<SocketAddr>> {
    let text = std::fs::read_to_string(path)?;
    Ok(servers(&text))
}

fn servers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let server = (words.next()? == "nameserver").then(|| words.next()).flatten()?;
            let (ip, zone) = nameserver(server)?;
            Some(scoped(SocketAddr::new(ip, DNS_PORT), zone))
        })
        .collect()
}

/// A link-local address needs its interface, by number or by name.
pub(crate) fn scoped(address: SocketAddr, zone: Option<&str>) -> SocketAddr {
    let (SocketAddr::V6(v6), Some(zone)) = (address, zone) else { return address };
    let scope = zone.parse().ok().or_else(|| interface(zone));
    if scope.is_none() {
        chain::warning!("plugin/forward: no interface `{zone}` for upstream {address}");
    }
    SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope.unwrap_or(0)))
}

fn interface(name: &str) -> Option<u32> {
    if name.contains('/') || name.starts_with('.') {
        return None;
    }
    let index = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?;
    index.trim().parse().ok()
}

/// The addresses of a host.
fn lookup(
    host: &str,
    name: &Name,
    resolvers: &[SocketAddr],
    source: Option<IpAddr>,
    network: &Arc<Network>,
) -> Result<Vec<IpAddr>, String> {
    if !resolvers.is_empty() {
        return ask_all(name, resolvers, source, network);
    }
    if matches!(**network, Network::Simulated(_)) {
        return Err("a simulation has no system resolver".to_owned());
    }
    // A name of several labels is meant as it stands: a search domain must not redirect DNS. The
    // final dot says so to the system.
    let mut absolute = host.to_owned();
    if host.contains('.') && !host.ends_with('.') {
        absolute.push('.');
    }
    let mut found = Vec::new();
    for address in
        (absolute.as_str(), DNS_PORT).to_socket_addrs().map_err(|error| error.to_string())?
    {
        if !found.contains(&address.ip()) {
            found.push(address.ip());
        }
    }
    if found.is_empty() { Err("it has no addresses".to_owned()) } else { Ok(found) }
}

/// Asks the resolvers in turn until one knows an address.
///
/// Set-up is no async code and may run inside a runtime: the questions get a thread of their own.
fn ask_all(
    name: &Name,
    resolvers: &[SocketAddr],
    source: Option<IpAddr>,
    network: &Arc<Network>,
) -> Result<Vec<IpAddr>, String> {
    let (name, resolvers, network) = (name.clone(), resolvers.to_vec(), Arc::clone(network));
    let questions = move || -> Result<Vec<IpAddr>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let mut last = "it has no addresses".to_owned();
        for to in resolvers {
            let source = source.filter(|source| source.is_ipv4() == to.is_ipv4());
            let mut found = Vec::new();
            for rtype in [Rtype::A, Rtype::AAAA] {
                match runtime.block_on(ask(&network, source, to, &name, rtype)) {
                    Ok(addresses) => found.extend(addresses),
                    Err(error) => {
                        last = format!("{to}: {error}");
                        // Without the first answer the second is not worth another timeout.
                        break;
                    }
                }
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Err(last)
    };
    std::thread::Builder::new()
        .name("catena-forward-lookup".to_owned())
        .spawn(questions)
        .map_err(|error| error.to_string())?
        .join()
        .map_err(|_| "the lookup panicked".to_owned())?
}

async fn ask(
    network: &Network,
    source: Option<IpAddr>,
    to: SocketAddr,
    name: &Name,
    rtype: Rtype,
) -> io::Result<Vec<IpAddr>> {
    let id = random::bytes::<2>()?;
    let mut message = vec![id[0], id[1], 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(name.as_wire());
    message.extend_from_slice(&rtype.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    let question = message[12..].to_vec();
    let mut accept = |reply: &[u8]| {
        reply.get(..2) == Some(&id)
            && reply[2..].first().is_some_and(|flags| flags & 0x80 != 0)
            && reply.get(12..12 + question.len()).is_some_and(|echo| {
                let fixed = question.len() - 4;
                echo[fixed..] == question[fixed..]
                    && echo[..fixed].eq_ignore_ascii_case(&question[..fixed])
            })
    };
    let mut reply = Vec::new();
    network.ask_udp(source, to, &message, TIMEOUT, &mut reply, &mut accept).await?;
    if is_truncated(&reply) {
        let once = StreamPool::new(PoolOptions::once(None));
        once.ask(network, source, to, &message, TIMEOUT, &mut reply, &mut accept).await?;
    }
    let view = Message::new(&reply).map_err(|_| io::ErrorKind::InvalidData)?;
    let answers = view
        .records()
        .filter_map(Result::ok)
        .filter(|record| record.section == Section::Answer && record.rtype == rtype);
    Ok(answers
        .filter_map(|record| match (rtype, record.rdata()) {
            (Rtype::A, bytes) => {
                <[u8; 4]>::try_from(bytes).ok().map(|octets| Ipv4Addr::from(octets).into())
            }
            (_, bytes) => {
                <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into())
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nameserver_lines_of_a_file_count() {
        let text = "# made by hand\nsearch example.org\nnameserver 192.0.2.1\n\
                    nameserver\tfe80::1%7 \noptions ndots:5\n;nameserver 192.0.2.2\n\
                    nameserver dns.example.org\n nameserver 192.0.2.3";
        let found: Vec<String> = servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[fe80::1%7]:53", "192.0.2.3:53"]);
    }

    #[test]
    fn interfaces_are_found_by_name() {
        assert_eq!(interface("../../etc"), None);
        assert_eq!(interface("no-such-interface"), None);
    }
}
