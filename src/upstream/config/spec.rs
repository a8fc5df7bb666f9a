//! One **TO** as written: an address, a file, a host or a URL. Nothing here reads files or uses the
//! network.

use std::net::{IpAddr, SocketAddr};

use corefile::{Diagnostic, Token};
use net::client::Template;
use net::tls;

/// The port of plain DNS.
pub(crate) const DNS_PORT: u16 = 53;
/// RFC 7858 section 3.1, and RFC 9250 section 8.1 for QUIC.
pub(crate) const TLS_PORT: u16 = 853;
/// RFC 9110 section 4.2.2.
pub(crate) const HTTPS_PORT: u16 = 443;

/// One **TO**.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamSpec {
    /// As written.
    pub(crate) token: Token,
    /// The protocol.
    pub(crate) scheme: Scheme,
    /// `Some`: over TLS, with the name behind `%` that the server's certificate must have.
    pub(crate) tls: Option<Option<String>>,
    /// Its address, file or host.
    pub(crate) target: Target,
}

/// The protocol before `://`, and the path after the authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Nothing, or `dns`.
    Dns,
    Tls,
    Quic,
    Https(Template),
    H3(Template),
}

impl Scheme {
    /// The port if none is given.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Dns => DNS_PORT,
            Self::Tls | Self::Quic => TLS_PORT,
            Self::Https(_) | Self::H3(_) => HTTPS_PORT,
        }
    }

    /// Its name in a URL.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Https(_) => "https",
            Self::H3(_) => "h3",
        }
    }

    /// Whether it is HTTP.
    pub(crate) fn is_web(&self) -> bool {
        matches!(self, Self::Https(_) | Self::H3(_))
    }

    /// Whether it runs over QUIC.
    pub(crate) fn is_quic(&self) -> bool {
        matches!(self, Self::Quic | Self::H3(_))
    }
}

/// The target of a **TO**.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An address; the text behind `%` of a link-local one.
    Address(SocketAddr, Option<String>),
    /// A file like resolv.conf if there is one of this name, else a host.
    Word {
        /// The text without protocol.
        text: String,
        /// The same without a port.
        host: String,
        /// The port, if one was given.
        port: Option<u16>,
    },
}

/// Reads one, for `plugin`.
pub(crate) fn read(token: &Token, plugin: &str) -> Result<UpstreamSpec, Diagnostic> {
    let text = token.as_str();
    let (scheme, rest) = text.split_once("://").unwrap_or(("dns", text));
    match scheme {
        "dns" => {
            let target = target(token, rest, DNS_PORT)?;
            Ok(UpstreamSpec { token: token.clone(), scheme: Scheme::Dns, tls: None, target })
        }
        "tls" => secured(token, rest, Scheme::Tls),
        "quic" => secured(token, rest, Scheme::Quic),
        "https" | "h3" => {
            let (authority, path) =
                rest.find(['/', '{', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
            let template = template(token, path)?;
            let web = if scheme == "h3" { Scheme::H3 } else { Scheme::Https };
            secured(token, authority, web(template))
        }
        _ => Err(Diagnostic::error(
            token.span,
            format!("`{scheme}` is not supported as a destination protocol in {plugin}"),
        )
        .label("unknown protocol")
        .help(
            "write the address alone, or `dns://`, `tls://`, `https://`, `quic://` or `h3://` \
             before it",
        )),
    }
}

/// Reads the text after a protocol with TLS.
fn secured(token: &Token, rest: &str, scheme: Scheme) -> Result<UpstreamSpec, Diagnostic> {
    let (rest, name) = split_name(rest);
    if let Some(name) = &name {
        server_name(token, name)?;
    }
    let target = target(token, &rest, scheme.port())?;
    Ok(UpstreamSpec { token: token.clone(), scheme, tls: Some(name), target })
}

/// The path of the resource (default: the usual one).
fn template(token: &Token, path: &str) -> Result<Template, Diagnostic> {
    if path.is_empty() {
        return Ok(Template::default());
    }
    Template::parse(path).map_err(|why| {
        Diagnostic::error(token.span, format!("`{path}` is not a valid path of a resolver: {why}"))
            .label("expected a path, or a URI template with `dns`")
            .help("write for example `https://dns.example.net/dns-query{?dns}`")
    })
}

/// Refuses a name that no certificate can have.
pub(crate) fn server_name(token: &Token, name: &str) -> Result<(), Diagnostic> {
    tls::check_name(name).map_err(|problem| {
        Diagnostic::error(token.span, format!("`{name}` is not a valid server name: {problem}"))
            .label("expected the host name, or the address, in the server's certificate")
            .help("write a name such as `dns.quad9.net`")
    })
}

/// Separates the server's name: `192.0.2.1%name`, `192.0.2.1%name:853`, `192.0.2.1:853%name`,
/// `[2001:db8::1%name]:853` or `[2001:db8::1]:853%name`.
fn split_name(text: &str) -> (String, Option<String>) {
    let Some((before, after)) = text.rsplit_once('%') else { return (text.to_owned(), None) };
    let (name, port) =
        after.split_once(':').map_or((after, None), |(name, port)| (name, Some(port)));
    let (name, bracket) = name.strip_suffix(']').map_or((name, ""), |name| (name, "]"));
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    // A bare IPv6 address needs brackets before a port.
    let bare = before.parse::<std::net::Ipv6Addr>().is_ok() && !port.is_empty();
    let rest = if bare { format!("[{before}]{port}") } else { format!("{before}{bracket}{port}") };
    (rest, Some(name.to_owned()))
}

/// The address of a resolver.
pub(crate) fn resolver(token: &Token) -> Result<SocketAddr, Diagnostic> {
    match target(token, token.as_str(), DNS_PORT) {
        Ok(Target::Address(address, _)) => Ok(address),
        _ => Err(Diagnostic::error(
            token.span,
            format!("resolver must be an IP address or IP:port: `{}`", token.as_str()),
        )
        .label("expected an address")
        .help("write for example `10.0.0.1` or `[2001:db8::1]:53`")),
    }
}

/// Reads the text after the protocol.
pub(crate) fn target(token: &Token, rest: &str, default: u16) -> Result<Target, Diagnostic> {
    let text = token.as_str();
    let bad_port = |port: &str| {
        Diagnostic::error(token.span, format!("`{port}` is not a port"))
            .label("expected a number from 1 to 65535")
            .help(format!("port {default} is the default and can be omitted"))
    };
    let (host, port) = split_port(rest);
    if host.is_empty() {
        return Err(Diagnostic::error(token.span, format!("invalid address: `{text}`"))
            .label("no host given")
            .help("write an address such as `192.0.2.53` or `[2001:db8::1]:53`"));
    }
    let port = match port {
        Some(text) => {
            let port = text.parse::<u16>().ok().filter(|&port| port != 0);
            // A file may have a colon in its name.
            if port.is_none() && !rest.contains('/') {
                return Err(bad_port(text));
            }
            port
        }
        None => None,
    };
    let (ip, zone) = host.split_once('%').map_or((host, None), |(ip, zone)| (ip, Some(zone)));
    Ok(match ip.parse::<IpAddr>() {
        Ok(ip) => {
            let address = SocketAddr::new(ip, port.unwrap_or(default));
            Target::Address(address, zone.map(ToOwned::to_owned))
        }
        Err(_) => Target::Word { text: rest.to_owned(), host: host.to_owned(), port },
    })
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

/// The server of a resolv.conf line, and the interface of a link-local one.
pub(crate) fn nameserver(text: &str) -> Option<(IpAddr, Option<&str>)> {
    let (ip, zone) = text.split_once('%').map_or((text, None), |(ip, zone)| (ip, Some(zone)));
    Some((ip.parse().ok()?, zone))
}

/// A token for tests.
#[cfg(test)]
pub(crate) fn token(text: &str) -> Token {
    Token { text: text.to_owned(), span: corefile::Span::default(), quoted: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let to = read(&token(text), "test").ok()?;
        let target = match to.target {
            Target::Address(address, zone) => {
                format!("{address}{}", zone.map_or(String::new(), |zone| format!(" {zone}")))
            }
            Target::Word { host, port, .. } => format!("word {host} {port:?}"),
        };
        let path = match &to.scheme {
            Scheme::Https(template) | Scheme::H3(template) => format!(" {}", template.with("Q")),
            _ => String::new(),
        };
        let word = to.scheme.word();
        Some(match to.tls {
            None => target,
            Some(None) => format!("{word} {target}{path}"),
            Some(Some(name)) => format!("{word} {target}{path} as {name}"),
        })
    }

    #[test]
    fn targets() {
        let cases = [
            ("127.0.0.1", "127.0.0.1:53"),
            ("dns://127.0.0.1", "127.0.0.1:53"),
            ("127.0.0.1:1053", "127.0.0.1:1053"),
            ("::1", "[::1]:53"),
            ("[::1]", "[::1]:53"),
            ("[2003::1]:5353", "[2003::1]:5353"),
            ("fe80::1%eth0", "[fe80::1]:53 eth0"),
            ("/etc/resolv.conf", "word /etc/resolv.conf None"),
            ("dns.example.org:54", "word dns.example.org Some(54)"),
            ("tls://9.9.9.9", "tls 9.9.9.9:853"),
            ("tls://9.9.9.9:8853", "tls 9.9.9.9:8853"),
            ("tls://9.9.9.9%dns.quad9.net", "tls 9.9.9.9:853 as dns.quad9.net"),
            ("tls://9.9.9.9:8853%dns.quad9.net", "tls 9.9.9.9:8853 as dns.quad9.net"),
            ("tls://9.9.9.9%dns.quad9.net:8853", "tls 9.9.9.9:8853 as dns.quad9.net"),
            ("tls://2620:fe::9%dns.quad9.net", "tls [2620:fe::9]:853 as dns.quad9.net"),
            ("tls://[2620:fe::9%dns.quad9.net]:853", "tls [2620:fe::9]:853 as dns.quad9.net"),
            ("tls://[2620:fe::9]:853%dns.quad9.net", "tls [2620:fe::9]:853 as dns.quad9.net"),
            ("tls://dns.quad9.net%dns.quad9.net", "tls word dns.quad9.net None as dns.quad9.net"),
            ("quic://9.9.9.9", "quic 9.9.9.9:853"),
            ("quic://9.9.9.9:8853%dns.quad9.net", "quic 9.9.9.9:8853 as dns.quad9.net"),
            ("quic://dns.example", "quic word dns.example None"),
            ("https://9.9.9.9", "https 9.9.9.9:443 /dns-query?dns=Q"),
            ("https://9.9.9.9:8443", "https 9.9.9.9:8443 /dns-query?dns=Q"),
            ("https://9.9.9.9%a.example", "https 9.9.9.9:443 /dns-query?dns=Q as a.example"),
            ("https://9.9.9.9/", "https 9.9.9.9:443 /?dns=Q"),
            ("https://9.9.9.9{?dns}", "https 9.9.9.9:443 /?dns=Q"),
            ("https://9.9.9.9?a=b", "https 9.9.9.9:443 /?a=b&dns=Q"),
            ("https://[::1]:8443/%7Eme{/dns}", "https [::1]:8443 /%7Eme/Q"),
            ("https://[::1%a.example]:1/x", "https [::1]:1 /x?dns=Q as a.example"),
            ("https://9.9.9.9%a.example:1/x", "https 9.9.9.9:1 /x?dns=Q as a.example"),
            ("https://dns.example:444/x", "https word dns.example Some(444) /x?dns=Q"),
            ("h3://dns.example/dns-query", "h3 word dns.example None /dns-query?dns=Q"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        let refused = [
            "",
            "127.0.0.1:0",
            "127.0.0.1:99999",
            "127.0.0.1:x",
            "tls://",
            "tls://9.9.9.9%",
            "tls://9.9.9.9%not_a..name",
            "tls://9.9.9.9%name:x",
            "https://",
            "https:///dns-query",
            "https://9.9.9.9:x/dns-query",
            "https://9.9.9.9/q{dns",
            "h3://9.9.9.9/#dns",
            "quic://9.9.9.9%",
            "grpc://127.0.0.1",
            "https3://127.0.0.1",
            "dns://",
        ];
        for text in refused {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn resolvers_are_addresses() {
        assert!(resolver(&token("10.0.0.1")).is_ok());
        assert!(resolver(&token("[::1]:5353")).is_ok());
        assert!(resolver(&token("dns.example.com")).is_err());
        assert!(resolver(&token("tls://10.0.0.1")).is_err());
    }
}
