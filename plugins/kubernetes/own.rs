//! What the server knows of its own host: addresses and search path.

use std::net::IpAddr;
use std::path::Path;

use chain::Setup;
use wire::Name;

/// The largest resolver configuration that is read.
const MOST: u64 = 64 << 10;

/// The addresses that the server block is reached at: those of `bind`, or else those of all interfaces.
/// Loopback addresses are left out.
pub(super) fn addresses(setup: &Setup<'_>) -> Box<[IpAddr]> {
    let bound: Vec<&str> = setup
        .binds()
        .iter()
        .flat_map(|bind| bind.addresses.iter().map(|(address, _)| address.as_str()))
        .collect();
    let interfaces: Vec<(String, IpAddr)> = interfaces();
    let mut own: Vec<IpAddr> = Vec::new();
    let mut add = |address: IpAddr| {
        if !address.is_loopback() && !own.contains(&address) {
            own.push(address);
        }
    };
    if bound.is_empty() {
        interfaces.iter().for_each(|(_, address)| add(*address));
    }
    for word in bound {
        match word.parse() {
            Ok(address) => add(address),
            Err(_) => {
                let of = interfaces.iter().filter(|(name, _)| name == word);
                of.for_each(|(_, address)| add(*address));
            }
        }
    }
    own.into()
}

fn interfaces() -> Vec<(String, IpAddr)> {
    let found = nix::ifaddrs::getifaddrs().into_iter().flatten();
    found
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
            let v6 = address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip()));
            Some((interface.interface_name, v4.or(v6)?))
        })
        .collect()
}

/// The search path of the host.
pub(super) fn search_path() -> Vec<Name> {
    let text = files::read_text(Path::new("/etc/resolv.conf"), MOST).unwrap_or_default();
    search_path_of(&text)
}

/// The search path in a resolver configuration: the last line that has one counts (resolv.conf(5)).
fn search_path_of(text: &str) -> Vec<Name> {
    let mut path = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if matches!(words.next(), Some("search" | "domain")) {
            let name = |word| Name::from_text(word).ok().map(|name| name.to_lower());
            path = words.filter_map(name).collect();
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_search_line_counts() {
        let path = search_path_of("domain a.test\nnameserver 192.0.2.1\nsearch B.test c.test.\n");
        let names: Vec<String> = path.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["b.test.", "c.test."]);
        assert!(search_path_of("# search x\n").is_empty());
    }
}
