//! Server-block keys and `bind`: the zones of a block, and the addresses on which it listens.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use chain::settings::Bind;
use chain::{Key, zones};
use corefile::{Diagnostic, Diagnostics, ServerBlock, Span, Token};
use wire::Name;

/// A zone of a block, its port and where it was written.
#[derive(Clone)]
pub(crate) struct ZoneKey {
    pub(crate) zone: Name,
    pub(crate) port: u16,
    pub(crate) span: Span,
}

/// Transports that CoreDNS knows by scheme.
const SCHEMES: [&str; 6] = ["dns", "tls", "quic", "grpc", "https", "https3"];

/// The zones and ports that the keys of a block stand for.
pub(crate) fn parse(block: &ServerBlock, port: u16, problems: &mut Diagnostics) -> Vec<ZoneKey> {
    let mut keys = Vec::new();
    for token in &block.keys {
        match parse_key(token, port) {
            Ok(parsed) => keys.extend(parsed),
            Err(problem) => problems.push(problem),
        }
    }
    keys
}

fn parse_key(token: &Token, default_port: u16) -> Result<Vec<ZoneKey>, Diagnostic> {
    let text = token.as_str();
    let bad = |message: String| Diagnostic::error(token.span, message);
    let rest = match text.split_once("://") {
        Some(("dns", rest)) => rest,
        Some((scheme, _)) if SCHEMES.contains(&scheme) => {
            return Err(bad(format!("this build does not support `{scheme}://`"))
                .label("this build serves plain DNS only")
                .help("serve the zone over `dns://`, or keep CoreDNS for this listener"));
        }
        Some((scheme, _)) => {
            let mut problem = bad(format!("unknown transport `{scheme}://`"));
            if let Some(near) = corefile::nearest(scheme, SCHEMES) {
                problem = problem.help(format!("did you mean `{near}://`?"));
            }
            return Err(problem.note(format!("transports: {}", SCHEMES.join(", "))));
        }
        None => text,
    };
    let (zone, port) = split_port(rest).map_err(|problem| {
        bad(format!("`{text}`: {problem}")).help("write a key as `[SCHEME://]ZONE[:PORT]`")
    })?;
    let zones = zones::from_text(if zone.is_empty() { "." } else { zone }).map_err(|problem| {
        bad(format!("`{zone}` is not a zone: {problem}"))
            .help("write the zone as `example.org` or its reverse zone as `10.0.0.0/24`")
    })?;
    let port = port.unwrap_or(default_port);
    Ok(zones.into_iter().map(|zone| ZoneKey { zone, port, span: token.span }).collect())
}

/// Splits `ZONE[:PORT]`; a bracketed or bare IPv6 range keeps its colons.
fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let Some((zone, port)) = text.rsplit_once(':') else { return Ok((text, None)) };
    // `2001:db8::/32` has colons and no port; `2001:db8::/32:53` has both.
    if zone.contains(':') && !zone.contains('/') {
        return Ok((text, None));
    }
    if port.is_empty() {
        return Err(
            "a port number must follow the last colon (expecting data after last colon)".into()
        );
    }
    match port.parse() {
        Ok(port) => Ok((zone, Some(port))),
        Err(_) if port.contains('/') => Ok((text, None)),
        Err(_) => Err(format!("`{port}` is not a port number")),
    }
}

/// The addresses a block listens on, before ports: `None` stands for all.
pub(crate) fn addresses(binds: &[Bind], problems: &mut Diagnostics) -> Vec<Option<IpAddr>> {
    if binds.is_empty() {
        return vec![None];
    }
    let mut found = Vec::new();
    for bind in binds {
        let except: Vec<IpAddr> =
            bind.except.iter().flat_map(|(text, span)| expand(text, *span, problems)).collect();
        for (text, span) in &bind.addresses {
            for address in expand(text, *span, problems) {
                if !except.contains(&address) && !found.contains(&Some(address)) {
                    found.push(Some(address));
                }
            }
        }
    }
    found
}

/// One address, or all those of an interface.
fn expand(text: &str, span: Span, problems: &mut Diagnostics) -> Vec<IpAddr> {
    let plain = text.split('%').next().unwrap_or(text);
    if let Ok(address) = plain.parse() {
        return vec![address];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses: Vec<IpAddr> = interfaces
        .iter()
        .filter(|interface| interface.name == text)
        .map(if_addrs::Interface::ip)
        .collect();
    if addresses.is_empty() {
        let mut names: Vec<&str> = interfaces.iter().map(|found| found.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        problems.push(
            Diagnostic::error(span, format!("not a valid IP address or interface name: `{text}`"))
                .help("write an IP address or the name of an interface that is up")
                .note(format!("interfaces: {}", names.join(", "))),
        );
    }
    addresses
}

/// The keys of a block as plugins see them: each zone on each of its listeners.
pub(crate) fn routed(keys: &[ZoneKey], addresses: &[Option<IpAddr>]) -> Vec<(Key, SocketAddr)> {
    let mut routed = Vec::new();
    for address in addresses {
        for key in keys {
            let ip = address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
            let listener = SocketAddr::new(ip, key.port);
            let server: Arc<str> = server(listener).into();
            routed.push((Key { zone: key.zone.clone(), server, port: key.port }, listener));
        }
    }
    routed
}

/// A listener as CoreDNS labels it in metrics.
pub(crate) fn server(listener: SocketAddr) -> String {
    match listener.ip() {
        ip if ip.is_unspecified() => format!("dns://:{}", listener.port()),
        _ => format!("dns://{listener}"),
    }
}

/// A listener's line in the start banner: `zone:port[ on ip]`.
pub(crate) fn banner(zone: &Name, listener: SocketAddr) -> String {
    match listener.ip() {
        ip if ip.is_unspecified() => format!("{zone}:{}", listener.port()),
        ip => format!("{zone}:{} on {ip}", listener.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (String, Option<u16>) {
        let (zone, port) = split_port(text).unwrap();
        (zone.into(), port)
    }

    #[test]
    fn ports_are_told_from_addresses() {
        assert_eq!(split("example.org"), ("example.org".into(), None));
        assert_eq!(split(".:1053"), (".".into(), Some(1053)));
        assert_eq!(split("2001:db8::/32"), ("2001:db8::/32".into(), None));
        assert_eq!(split("2001:db8::/32:5353"), ("2001:db8::/32".into(), Some(5353)));
        assert_eq!(split("10.0.0.0/24:53"), ("10.0.0.0/24".into(), Some(53)));
        assert!(split_port("example.org:").is_err());
        assert!(split_port("example.org:dns").is_err());
        assert!(split_port("example.org:65536").is_err());
    }
}
