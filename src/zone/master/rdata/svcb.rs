//! The parameters of SVCB and HTTPS records (RFC 9460, 9461, 9540).

use data_encoding::BASE64;

use super::base::Base;
use super::fields::{Fields, bad, push_digits};
use crate::master::fault::{Parse, fault, fault_help, quote};
use crate::master::lexer::Token;
use crate::master::number;
use crate::master::strings::{push_escaped, unescape};

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;

const NAMES: [&str; 9] = [
    "mandatory",
    "alpn",
    "no-default-alpn",
    "port",
    "ipv4hint",
    "ech",
    "ipv6hint",
    "dohpath",
    "ohttp",
];

/// The key of that name. RFC 9460 section 2.1 has small letters, digits and `-` in names.
fn key_named(raw: &[u8]) -> Option<u16> {
    if let Some(at) = NAMES.iter().position(|name| raw == name.as_bytes()) {
        return u16::try_from(at).ok();
    }
    let (head, digits) = raw.split_at_checked(3)?;
    let plain = digits == b"0" || !digits.starts_with(b"0");
    let number = number::decimal(digits, u64::from(u16::MAX))?;
    (head == b"key" && plain).then_some(number as u16)
}

fn key_name(key: u16) -> String {
    NAMES.get(usize::from(key)).map_or_else(|| format!("key{key}"), |name| (*name).into())
}

impl Fields<'_, '_> {
    pub(in crate::master) fn parameters(&mut self, out: &mut Vec<u8>) -> Parse<()> {
        let mut found: Vec<(u16, Vec<u8>)> = Vec::new();
        let mut mandatory = None;
        while let Some(token) = self.lexer.next_parameter()? {
            if token.quoted {
                return fault_help(
                    token.at,
                    "only the value of a parameter may be quoted",
                    "write `key=\"value\"`",
                );
            }
            let (name, value) = match memchr::memchr(b'=', token.raw) {
                Some(at) => (&token.raw[..at], Some(&token.raw[at + 1..])),
                None => (token.raw, None),
            };
            let Some(key) = key_named(name) else {
                let small = name.to_ascii_lowercase();
                let help = match key_named(&small) {
                    Some(_) => format!("write it in small letters: `{}`", quote(&small)),
                    None => format!("known are {}, and `keyN` for any number N", NAMES.join(", ")),
                };
                let message = format!("`{}` is not a parameter", quote(name));
                return fault_help(token.at, message, help);
            };
            if found.iter().any(|(other, _)| *other == key) {
                return fault(token.at, format!("the parameter `{}` appears twice", key_name(key)));
            }
            let generic = name.starts_with(b"key");
            let value = read_value(key, generic, value, token)?;
            if key == MANDATORY {
                mandatory = Some(token);
            }
            found.push((key, value));
        }
        found.sort_unstable_by_key(|(key, _)| *key);
        let start = out.len();
        for (key, value) in &found {
            let Ok(length) = u16::try_from(value.len()) else {
                return fault(self.lexer.at, "the value of a parameter is too long");
            };
            out.extend_from_slice(&key.to_be_bytes());
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(value);
        }
        match (missing(&out[start..]), mandatory) {
            (Some(key), Some(token)) => fault(
                token.at,
                format!("the mandatory parameter `{}` is not in the record", key_name(key)),
            ),
            _ => Ok(()),
        }
    }
}

/// The wire form of one parameter's value.
fn read_value(key: u16, generic: bool, raw: Option<&[u8]>, token: Token<'_>) -> Parse<Vec<u8>> {
    let name = key_name(key);
    let mut text = Vec::new();
    match raw {
        None => {}
        Some([b'"', inside @ .., b'"']) => unescape(token, inside, &mut text)?,
        Some(raw) if memchr::memchr(b'"', raw).is_some() => {
            return fault(token.at, format!("the quotes of parameter `{name}` do not match"));
        }
        Some(raw) => unescape(token, raw, &mut text)?,
    }
    let mut value = Vec::new();
    let read = if generic {
        value = text;
        true
    } else {
        from_text(key, &text, &mut value)
    };
    let empty = matches!(key, NO_DEFAULT_ALPN | OHTTP) && raw.is_some() && !generic;
    if read && !empty && is_valid(key, &value) {
        return Ok(value);
    }
    let expected = match key {
        MANDATORY => "a list of different parameters other than `mandatory`",
        ALPN => "a list of protocols such as `h2,h3`",
        NO_DEFAULT_ALPN | OHTTP => "the name of the parameter only: it takes no value",
        PORT => "a number from 0 to 65535",
        IPV4HINT => "a list of IPv4 addresses",
        ECH => "base64",
        IPV6HINT => "a list of IPv6 addresses",
        _ => "a path with the variable `dns`, such as `/dns-query{?dns}`",
    };
    bad(token, &format!("parameter `{name}`"), expected)
}

fn from_text(key: u16, text: &[u8], out: &mut Vec<u8>) -> bool {
    let mut parts = text.split(|&byte| byte == b',');
    match key {
        MANDATORY => {
            let mut keys: Vec<u16> = Vec::new();
            for part in parts {
                match key_named(part) {
                    Some(key) => keys.push(key),
                    None => return false,
                }
            }
            keys.sort_unstable();
            out.extend(keys.iter().flat_map(|key| key.to_be_bytes()));
            true
        }
        ALPN => push_list(text, out),
        NO_DEFAULT_ALPN | OHTTP => text.is_empty(),
        PORT => match number::decimal(text, u64::from(u16::MAX)) {
            Some(port) => {
                out.extend_from_slice(&(port as u16).to_be_bytes());
                true
            }
            None => false,
        },
        IPV4HINT => parts.all(|part| {
            number::ipv4(part).map(|address| out.extend_from_slice(&address)).is_some()
        }),
        IPV6HINT => parts.all(|part| {
            number::ipv6(part).map(|address| out.extend_from_slice(&address)).is_some()
        }),
        ECH => push_digits(text, Base::Base64, out).is_ok(),
        _ => {
            out.extend_from_slice(text);
            // Written as `key7`, a path may be anything; by its name it may not.
            key != DOHPATH || has_dns_variable(text)
        }
    }
}

/// RFC 9461 section 5: the URI template "MUST contain a "dns" variable". An expression is an operator,
/// which may be missing, and names with modifiers, between braces (RFC 6570 section 2).
fn has_dns_variable(template: &[u8]) -> bool {
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

/// A comma-separated list with its own level of escapes (RFC 9460 appendix A.1).
fn push_list(text: &[u8], out: &mut Vec<u8>) -> bool {
    let mut start = out.len();
    out.push(0);
    let mut rest = text.iter();
    loop {
        let next = rest.next();
        match next {
            Some(b',') | None => {
                match u8::try_from(out.len() - start - 1) {
                    Ok(length) if length > 0 => out[start] = length,
                    _ => return false,
                }
                if next.is_none() {
                    return true;
                }
                start = out.len();
                out.push(0);
            }
            Some(b'\\') => match rest.next() {
                Some(&byte @ (b',' | b'\\')) => out.push(byte),
                _ => return false,
            },
            Some(&byte) => out.push(byte),
        }
    }
}

fn is_valid(key: u16, value: &[u8]) -> bool {
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
        ALPN => {
            let mut rest = value;
            while let Some((&length, behind)) = rest.split_first() {
                match behind.split_at_checked(usize::from(length)) {
                    Some((_, behind)) if length > 0 => rest = behind,
                    _ => return false,
                }
            }
            filled
        }
        NO_DEFAULT_ALPN | OHTTP => !filled,
        PORT => value.len() == 2,
        IPV4HINT => filled && value.len().is_multiple_of(4),
        ECH => filled,
        IPV6HINT => filled && value.len().is_multiple_of(16),
        DOHPATH => std::str::from_utf8(value).is_ok(),
        _ => true,
    }
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
fn missing(wire: &[u8]) -> Option<u16> {
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
        ALPN => {
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
