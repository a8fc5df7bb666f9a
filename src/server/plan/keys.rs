//! Keys of server blocks: zones and the endpoints on which a block serves them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use chain::{Key, zones};
use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};
use wire::{Endpoint, Name, Scheme};

/// A zone of a block, where the block serves it, and its place in the Corefile.
#[derive(Clone, Debug)]
pub(crate) struct ZoneKey {
    pub(crate) zone: Name,
    pub(crate) scheme: Scheme,
    pub(crate) port: u16,
    pub(crate) span: Span,
    /// The listener inside the block that it belongs to, if it does.
    pub(crate) listener: Option<usize>,
}

/// The zones that the keys of a block stand for.
pub(crate) fn parse(tokens: &[Token], dns_port: u16, problems: &mut Diagnostics) -> Vec<ZoneKey> {
    let mut keys = Vec::new();
    for token in tokens {
        match parse_key(token, dns_port) {
            Ok(parsed) => keys.extend(parsed),
            Err(problem) => problems.push(problem),
        }
    }
    keys
}

/// The zones that listener number `index` inside a block serves: those of the block's `keys` that are
/// under the zone of the listener.
///
/// Errors: it is no key, or the block has no such zone.
pub(crate) fn inner(
    listener: &Directive,
    index: usize,
    keys: &[ZoneKey],
    dns_port: u16,
) -> Result<Vec<ZoneKey>, Diagnostic> {
    let token = &listener.name;
    let mut served: Vec<ZoneKey> = Vec::new();
    let named = parse_key(token, dns_port)?;
    for key in keys {
        let covers = named.iter().find(|named| key.zone.is_under(&named.zone));
        let known = served.iter().any(|known| known.zone == key.zone);
        if let Some(named) = covers.filter(|_| !known) {
            let listener = Some(index);
            served.push(ZoneKey { zone: key.zone.clone(), listener, ..named.clone() });
        }
    }
    if served.is_empty() && !keys.is_empty() {
        return Err(Diagnostic::error(
            token.span,
            format!("`{}` is a listener for no zone of this server block", token.as_str()),
        )
        .label("no zone of the server block is under this one")
        .help("write the listener for `.`, which stands for all zones of the server block"));
    }
    Ok(served)
}

fn parse_key(token: &Token, dns_port: u16) -> Result<Vec<ZoneKey>, Diagnostic> {
    let text = token.as_str();
    let bad = |message: String| Diagnostic::error(token.span, message);
    let (scheme, rest) = match text.split_once("://") {
        Some((name, rest)) => (Scheme::from_name(name).ok_or_else(|| unknown(token, name))?, rest),
        None => (Scheme::Dns, text),
    };
    let (zone, port) = split_port(rest).map_err(|problem| {
        bad(format!("`{text}`: {problem}")).help("write a key as `[SCHEME://]ZONE[:PORT]`")
    })?;
    let zones = zones::from_text(if zone.is_empty() { "." } else { zone }).map_err(|problem| {
        bad(format!("`{zone}` is not a zone: {problem}"))
            .help("write the zone as `example.org` or its reverse zone as `10.0.0.0/24`")
    })?;
    let usual = if scheme == Scheme::Dns { dns_port } else { scheme.port() };
    let port = port.unwrap_or(usual);
    let key = |zone| ZoneKey { zone, scheme, port, span: token.span, listener: None };
    Ok(zones.into_iter().map(key).collect())
}

fn unknown(token: &Token, scheme: &str) -> Diagnostic {
    let names = Scheme::ALL.map(Scheme::name);
    let mut problem = Diagnostic::error(token.span, format!("unknown transport `{scheme}://`"));
    if let Some(near) = corefile::nearest(scheme, names) {
        problem = problem.help(format!("did you mean `{near}://`?"));
    }
    problem.note(format!("transports: {}", names.join(", ")))
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

/// The keys of a block as plugins see them: each zone on each of its endpoints, with the index of the
/// key that it comes from.
pub(crate) fn routed(keys: &[ZoneKey], addresses: &[Option<IpAddr>]) -> Vec<(Key, usize)> {
    let mut routed = Vec::new();
    for address in addresses {
        let ip = address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        for (index, key) in keys.iter().enumerate() {
            let address = SocketAddr::new(ip, key.port);
            let endpoint = Endpoint { scheme: key.scheme, address };
            routed.push((Key::new(key.zone.clone(), endpoint), index));
        }
    }
    routed
}

/// A zone's line in the start banner: `[scheme://]zone:port[ on ip]`.
pub(crate) fn banner(zone: &Name, Endpoint { scheme, address }: Endpoint) -> String {
    let scheme = match scheme {
        Scheme::Dns => String::new(),
        other => format!("{}://", other.name()),
    };
    match address.ip() {
        ip if ip.is_unspecified() => format!("{scheme}{zone}:{}", address.port()),
        ip => format!("{scheme}{zone}:{} on {ip}", address.port()),
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

    #[test]
    fn each_scheme_has_its_port() {
        let port = |text: &str| {
            let token = Token { text: text.into(), span: Span::default(), quoted: false };
            parse_key(&token, 1053).unwrap().remove(0).port
        };
        assert_eq!(port("."), 1053);
        assert_eq!(port("dns://."), 1053);
        assert_eq!((port("tls://."), port("quic://.")), (853, 853));
        assert_eq!((port("grpc://."), port("https://."), port("https3://.")), (443, 443, 443));
        assert_eq!(port("tls://.:8853"), 8853);
    }
}
