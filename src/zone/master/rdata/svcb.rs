//! The parameters of SVCB and HTTPS records (RFC 9460, 9461, 9540, 9953): their names, the rules of their values,
//! and their presentation.

use data_encoding::BASE64;

use crate::master::number;
use crate::master::strings::push_escaped;

pub(super) const MANDATORY: u16 = 0;
pub(super) const ALPN: u16 = 1;
pub(super) const NO_DEFAULT_ALPN: u16 = 2;
pub(super) const PORT: u16 = 3;
pub(super) const IPV4HINT: u16 = 4;
pub(super) const ECH: u16 = 5;
pub(super) const IPV6HINT: u16 = 6;
pub(super) const DOHPATH: u16 = 7;
pub(super) const OHTTP: u16 = 8;
/// draft-ietf-tls-key-share-prediction, section 3.
pub(super) const TLS_SUPPORTED_GROUPS: u16 = 9;
/// RFC 9953 section 3.
pub(super) const DOCPATH: u16 = 10;
/// draft-ietf-intarea-proxy-config.
pub(super) const PVD: u16 = 11;

pub(super) const NAMES: [&str; 12] = [
    "mandatory",
    "alpn",
    "no-default-alpn",
    "port",
    "ipv4hint",
    "ech",
    "ipv6hint",
    "dohpath",
    "ohttp",
    "tls-supported-groups",
    "docpath",
    "pvd",
];

/// Whether a parameter is its name only, without a value.
pub(super) fn is_flag(key: u16) -> bool {
    matches!(key, NO_DEFAULT_ALPN | OHTTP | PVD)
}

/// The key of that name. RFC 9460 section 2.1 has small letters, digits and `-` in names.
pub(super) fn key_named(raw: &[u8]) -> Option<u16> {
    if let Some(at) = NAMES.iter().position(|name| raw == name.as_bytes()) {
        return u16::try_from(at).ok();
    }
    let (head, digits) = raw.split_at_checked(3)?;
    let plain = digits == b"0" || !digits.starts_with(b"0");
    let number = number::decimal(digits, u64::from(u16::MAX))?;
    (head == b"key" && plain).then_some(number as u16)
}

pub(super) fn key_name(key: u16) -> String {
    NAMES.get(usize::from(key)).map_or_else(|| format!("key{key}"), |name| (*name).into())
}

/// RFC 9461 section 5: the URI template "MUST contain a "dns" variable". An expression is an operator,
/// which may be missing, and names with modifiers, between braces (RFC 6570 section 2).
pub(super) fn has_dns_variable(template: &[u8]) -> bool {
    template.split(|&byte| byte == b'{').skip(1).any(|rest| {
        let Some(end) = memchr::memchr(b'}', rest) else {
            return false;
        };
        let inside = &rest[..end];
        let names = match inside {
            [b'+' | b'#' | b'.' | b'/' | b';' | b'?' | b'&', names @ ..] => names,
            names => names,
        };
        names.split(|&byte| byte == b',').any(|name| {
            let end = name.iter().position(|byte| matches!(byte, b':' | b'*'));
            &name[..end.unwrap_or(name.len())] == b"dns"
        })
    })
}

pub(super) fn is_valid(key: u16, value: &[u8]) -> bool {
    let filled = !value.is_empty();
    match key {
        MANDATORY => {
            let mut last = MANDATORY;
            filled
                && value.len().is_multiple_of(2)
                && value.chunks_exact(2).all(|pair| {
                    let key = u16::from_be_bytes([pair[0], pair[1]]);
                    let ascends = key > last;
                    last = key;
                    ascends
                })
        }
        ALPN => filled && is_list(value),
        // "consists of 0 or more octet sequences prefixed by their length as a single octet"
        DOCPATH => is_list(value),
        _ if is_flag(key) => !filled,
        // "An empty list of values is invalid."
        TLS_SUPPORTED_GROUPS => filled && value.len().is_multiple_of(2),
        PORT => value.len() == 2,
        IPV4HINT => filled && value.len().is_multiple_of(4),
        ECH => filled,
        IPV6HINT => filled && value.len().is_multiple_of(16),
        DOHPATH => std::str::from_utf8(value).is_ok(),
        _ => true,
    }
}

/// Whether these are strings of at least one byte, each behind its length in one byte.
fn is_list(mut rest: &[u8]) -> bool {
    while let Some((&length, behind)) = rest.split_first() {
        match behind.split_at_checked(usize::from(length)) {
            Some((_, behind)) if length > 0 => rest = behind,
            _ => return false,
        }
    }
    true
}

/// The keys and values of wire parameters as far as they are well-formed.
fn split(mut rest: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let pair = rest.split_at_checked(4).and_then(|(head, behind)| {
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (value, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some((u16::from_be_bytes([head[0], head[1]]), value))
        });
        if pair.is_none() {
            rest = &[];
        }
        Some(pair)
    })
}

/// The first mandatory key that is not there.
pub(super) fn missing(wire: &[u8]) -> Option<u16> {
    let (_, mandatory) = split(wire).flatten().find(|(key, _)| *key == MANDATORY)?;
    let keys = mandatory.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    keys.into_iter().find(|wanted| !split(wire).flatten().any(|(key, _)| key == *wanted))
}

/// Writes wire parameters as text; `None` when they are not in order.
pub(in crate::master) fn text(wire: &[u8], out: &mut String) -> Option<()> {
    let mut last = None;
    for pair in split(wire) {
        let (key, value) = pair?;
        if last.is_some_and(|last| key <= last) || !is_valid(key, value) {
            return None;
        }
        last = Some(key);
        out.push(' ');
        if key == DOHPATH && !has_dns_variable(value) {
            out.push_str("key7");
        } else {
            out.push_str(&key_name(key));
        }
        if value.is_empty() {
            continue;
        }
        out.push_str("=\"");
        value_text(key, value, out);
        out.push('"');
    }
    if missing(wire).is_some() { None } else { Some(()) }
}

fn value_text(key: u16, value: &[u8], out: &mut String) {
    let mut between = "";
    let mut comma = |out: &mut String| {
        out.push_str(between);
        between = ",";
    };
    match key {
        MANDATORY => {
            for pair in value.chunks_exact(2) {
                comma(out);
                out.push_str(&key_name(u16::from_be_bytes([pair[0], pair[1]])));
            }
        }
        ALPN | DOCPATH => {
            let mut rest = value;
            while let Some((&length, behind)) = rest.split_first() {
                comma(out);
                let (protocol, behind) = behind.split_at(usize::from(length).min(behind.len()));
                rest = behind;
                for &byte in protocol {
                    if matches!(byte, b',' | b'\\') {
                        out.push_str("\\\\");
                    }
                    push_escaped(&[byte], out);
                }
            }
        }
        PORT => {
            let port = value.iter().fold(0u16, |port, &byte| port << 8 | u16::from(byte));
            out.push_str(&port.to_string());
        }
        TLS_SUPPORTED_GROUPS => {
            for group in value.as_chunks::<2>().0 {
                comma(out);
                out.push_str(&u16::from_be_bytes(*group).to_string());
            }
        }
        IPV4HINT => {
            for address in value.as_chunks::<4>().0 {
                comma(out);
                out.push_str(&std::net::Ipv4Addr::from(*address).to_string());
            }
        }
        IPV6HINT => {
            for address in value.as_chunks::<16>().0 {
                comma(out);
                out.push_str(&std::net::Ipv6Addr::from(*address).to_string());
            }
        }
        ECH => BASE64.encode_append(value, out),
        _ => push_escaped(value, out),
    }
}
