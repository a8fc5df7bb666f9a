//! The servers in a file like resolv.conf, and the interfaces of link-local addresses.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::path::Path;

use corefile::{Diagnostic, Token};

use crate::config::{DNS_PORT, nameserver};

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
    let index = files::read_kernel(format!("/sys/class/net/{name}/ifindex")).ok()?;
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
