//! The parameters of SVCB and HTTPS records from text (RFC 9460, 9461, 9540, 9953).

use super::base::Base;
use super::fields::{Fields, bad, push_digits};
use super::svcb::{
    ALPN, DOCPATH, DOHPATH, ECH, IPV4HINT, IPV6HINT, MANDATORY, NAMES, PORT, TLS_SUPPORTED_GROUPS,
    has_dns_variable, is_flag, is_valid, key_name, key_named, missing,
};
use crate::master::fault::{Parse, fault, fault_help, quote};
use crate::master::lexer::Token;
use crate::master::number;
use crate::master::strings::unescape;

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
    let empty = is_flag(key) && raw.is_some() && !generic;
    if read && !empty && is_valid(key, &value) {
        return Ok(value);
    }
    let expected = match key {
        MANDATORY => "a list of different parameters other than `mandatory`",
        ALPN => "a list of protocols such as `h2,h3`",
        _ if is_flag(key) => "the name of the parameter only: it takes no value",
        DOCPATH => "the segments of a path such as `dns,query`, or nothing for the root",
        TLS_SUPPORTED_GROUPS => "a list of numbers of groups such as `29,23`",
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
        DOCPATH if text.is_empty() => true,
        ALPN | DOCPATH => push_list(text, out),
        _ if is_flag(key) => text.is_empty(),
        // "this list MUST NOT contain escape sequences": the digits themselves, then.
        TLS_SUPPORTED_GROUPS => parts.all(|part| {
            number::decimal(part, u64::from(u16::MAX))
                .map(|group| out.extend_from_slice(&(group as u16).to_be_bytes()))
                .is_some()
        }),
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
