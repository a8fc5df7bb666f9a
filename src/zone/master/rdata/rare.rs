//! Types whose fields depend on each other, from text.

use super::base::{Base, Malformed};
use super::fields::{Fields, bad, bad_digit, push_digits};
use crate::master::fault::{Parse, fault};
use crate::master::lexer::Token;
use crate::master::number;
use crate::master::strings::push_name;

/// Services that WKS records name (RFC 1010 as far as anyone still uses it).
const SERVICES: &[(u16, &str)] = &[
    (7, "echo"),
    (9, "discard"),
    (11, "systat"),
    (13, "daytime"),
    (15, "netstat"),
    (20, "ftp-data"),
    (21, "ftp"),
    (22, "ssh"),
    (23, "telnet"),
    (25, "smtp"),
    (37, "time"),
    (42, "nameserver"),
    (43, "nicname"),
    (53, "domain"),
    (67, "bootps"),
    (68, "bootpc"),
    (69, "tftp"),
    (70, "gopher"),
    (79, "finger"),
    (80, "http"),
    (88, "kerberos"),
    (101, "hostname"),
    (109, "pop2"),
    (110, "pop3"),
    (111, "sunrpc"),
    (113, "auth"),
    (119, "nntp"),
    (123, "ntp"),
    (143, "imap"),
    (161, "snmp"),
    (179, "bgp"),
    (389, "ldap"),
    (443, "https"),
    (636, "ldaps"),
    (993, "imaps"),
    (995, "pop3s"),
];

impl Fields<'_, '_> {
    pub(in crate::master) fn nsap(&mut self, what: &'static str, out: &mut Vec<u8>) -> Parse<()> {
        let token = self.word(what)?;
        let start = out.len();
        let digits = token.raw.strip_prefix(b"0x").or_else(|| token.raw.strip_prefix(b"0X"));
        out.extend(digits.unwrap_or_default().iter().filter(|&&byte| byte != b'.'));
        if Base::Hex.decode(out, start).is_err() || out.len() == start {
            return bad(token, what, "`0x` and pairs of hex digits, optionally separated by dots");
        }
        Ok(())
    }

    pub(in crate::master) fn wks(&mut self, what: &'static str, out: &mut Vec<u8>) -> Parse<()> {
        let token = self.word(what)?;
        let protocol = match number::decimal(token.raw, 255) {
            Some(number) => number as u8,
            None if token.raw.eq_ignore_ascii_case(b"tcp") => 6,
            None if token.raw.eq_ignore_ascii_case(b"udp") => 17,
            None => return bad(token, what, "`tcp`, `udp` or a number from 0 to 255"),
        };
        out.push(protocol);
        let start = out.len();
        while let Some(token) = self.lexer.next()? {
            let service = SERVICES
                .iter()
                .find(|(_, name)| token.raw.eq_ignore_ascii_case(name.as_bytes()))
                .map(|(port, _)| *port);
            let port = match number::decimal(token.raw, u64::from(u16::MAX)) {
                Some(number) => number as u16,
                None => match service {
                    Some(port) => port,
                    None => return bad(token, "service", "a port number or a well-known service"),
                },
            };
            let byte = start + usize::from(port / 8);
            if out.len() <= byte {
                out.resize(byte + 1, 0);
            }
            out[byte] |= 0x80 >> (port % 8);
        }
        Ok(())
    }

    /// LOC (RFC 1876 section 3).
    pub(in crate::master) fn location(&mut self, out: &mut Vec<u8>) -> Parse<()> {
        let latitude = self.angle("latitude", 90, [b'N', b'S'])?;
        let longitude = self.angle("longitude", 180, [b'E', b'W'])?;
        let token = self.word("altitude")?;
        let altitude = centimetres(token, true)
            .map(|value| value + 10_000_000)
            .and_then(|value| u32::try_from(value).ok());
        let Some(altitude) = altitude else {
            return bad(token, "altitude", "metres from -100000.00 to 42849672.95");
        };
        let mut sizes = [0x12, 0x16, 0x13];
        for (size, what) in sizes.iter_mut().zip(["size", "horizontal precision", "precision"]) {
            let Some(token) = self.lexer.next()? else {
                break;
            };
            match centimetres(token, false) {
                Some(value) if value <= 9_000_000_000 => *size = mantissa(value as u64),
                _ => return bad(token, what, "metres from 0.00 to 90000000.00"),
            }
        }
        out.extend_from_slice(&[0, sizes[0], sizes[1], sizes[2]]);
        for value in [latitude, longitude, altitude] {
            out.extend_from_slice(&value.to_be_bytes());
        }
        Ok(())
    }

    fn angle(&mut self, what: &'static str, most: u64, signs: [u8; 2]) -> Parse<u32> {
        let mut token = self.word(what)?;
        let start = token;
        let mut thousandths = 0;
        let mut count = 0;
        loop {
            if let [letter] = token.raw
                && count > 0
                && signs.contains(&letter.to_ascii_uppercase())
            {
                if thousandths > most * 3_600_000 {
                    return bad(start, what, &format!("at most {most} degrees"));
                }
                let middle = 1u64 << 31;
                let north_or_east = letter.eq_ignore_ascii_case(&signs[0]);
                let value = if north_or_east { middle + thousandths } else { middle - thousandths };
                return Ok(value as u32);
            }
            let part = match count {
                0 => number::decimal(token.raw, most).map(|degrees| degrees * 3_600_000),
                1 => number::decimal(token.raw, 59).map(|minutes| minutes * 60_000),
                2 => fixed(token.raw, 3).filter(|value| *value < 60_000),
                _ => None,
            };
            match part {
                Some(part) => thousandths += part,
                None => {
                    let [plus, minus] = signs.map(char::from);
                    let expected = format!("`degrees [minutes [seconds]] {plus}|{minus}`");
                    return bad(token, what, &expected);
                }
            }
            count += 1;
            token = self.word(what)?;
        }
    }

    /// APL (RFC 3123): `[!]family:address/prefix` any number of times.
    pub(in crate::master) fn prefixes(&mut self, out: &mut Vec<u8>) -> Parse<()> {
        while let Some(token) = self.lexer.next()? {
            if push_prefix(token.raw, out).is_none() || token.quoted {
                return bad(
                    token,
                    "prefix",
                    "`1:192.0.2.0/24` or `2:2001:db8::/32`, optionally after a `!`",
                );
            }
        }
        Ok(())
    }

    /// IPSECKEY (RFC 4025): without an algorithm there is no key.
    pub(in crate::master) fn ipsec_key(&mut self, out: &mut Vec<u8>) -> Parse<()> {
        let precedence = self.number("precedence", 255)? as u8;
        let kind = self.number("gateway type", 3)? as u8;
        let algorithm = self.number("algorithm", 255)? as u8;
        out.extend_from_slice(&[precedence, kind, algorithm]);
        self.gateway("gateway", kind, out)?;
        if algorithm == 0 {
            return Ok(());
        }
        self.rest(Base::Base64, "public key", out)
    }

    /// AMTRELAY (RFC 8777).
    pub(in crate::master) fn amt_relay(&mut self, out: &mut Vec<u8>) -> Parse<()> {
        let precedence = self.number("precedence", 255)? as u8;
        let optional = self.number("discovery flag", 1)? as u8;
        let kind = self.number("relay type", 3)? as u8;
        out.extend_from_slice(&[precedence, optional << 7 | kind]);
        self.gateway("relay", kind, out)
    }

    fn gateway(&mut self, what: &'static str, kind: u8, out: &mut Vec<u8>) -> Parse<()> {
        match kind {
            1 => self.ipv4(what, out),
            2 => self.ipv6(what, out),
            3 => {
                let token = self.word(what)?;
                push_name(token, self.origin, out)
            }
            _ => {
                let token = self.word(what)?;
                if token.raw == b"." {
                    return Ok(());
                }
                bad(token, what, "`.`, because the preceding type is 0")
            }
        }
    }

    /// HIP (RFC 8005).
    pub(in crate::master) fn hip(&mut self, out: &mut Vec<u8>) -> Parse<()> {
        let algorithm = self.number("algorithm", 255)? as u8;
        out.extend_from_slice(&[0, algorithm, 0, 0]);
        let token = self.word("host identity tag")?;
        let pushed = push_digits(token.raw, Base::Hex, out);
        match (pushed, u8::try_from(out.len() - 4)) {
            (Err(Malformed::Digit(at)), _) => return bad_digit(token, at, "host identity tag"),
            (Ok(()), Ok(length)) if length > 0 => out[0] = length,
            _ => return bad(token, "host identity tag", "1 to 255 bytes in hex digits"),
        }
        let start = out.len();
        let token = self.word("public key")?;
        let pushed = push_digits(token.raw, Base::Base64, out);
        match (pushed, u16::try_from(out.len() - start)) {
            (Err(Malformed::Digit(at)), _) => return bad_digit(token, at, "public key"),
            (Ok(()), Ok(length)) => out[2..4].copy_from_slice(&length.to_be_bytes()),
            _ => return bad(token, "public key", "base64 without spaces"),
        }
        while let Some(token) = self.lexer.next()? {
            if token.quoted {
                return fault(token.at, "the rendezvous server must not be quoted");
            }
            push_name(token, self.origin, out)?;
        }
        Ok(())
    }
}

/// `digits[.digits]` in units of 10 to the power of -`places`.
fn fixed(raw: &[u8], places: u32) -> Option<u64> {
    let dot = memchr::memchr(b'.', raw).unwrap_or(raw.len());
    let whole = number::decimal(&raw[..dot], 1 << 40)?;
    let fraction = raw.get(dot + 1..).unwrap_or_default();
    if fraction.len() > places as usize {
        return None;
    }
    let mut part = if fraction.is_empty() { 0 } else { number::decimal(fraction, 999)? };
    for _ in fraction.len()..places as usize {
        part *= 10;
    }
    Some(whole * 10u64.pow(places) + part)
}

fn centimetres(token: Token<'_>, signed: bool) -> Option<i64> {
    let raw = token.raw.strip_suffix(b"m").unwrap_or(token.raw);
    match raw.strip_prefix(b"-") {
        Some(raw) if signed => {
            fixed(raw, 2).and_then(|value| i64::try_from(value).ok()).map(|value| -value)
        }
        _ => fixed(raw, 2).and_then(|value| i64::try_from(value).ok()),
    }
}

/// The base and exponent of RFC 1876 section 2, rounded down.
fn mantissa(mut value: u64) -> u8 {
    let mut exponent = 0;
    while value >= 10 {
        value /= 10;
        exponent += 1;
    }
    (value as u8) << 4 | exponent
}

fn push_prefix(raw: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (negative, raw) = match raw.strip_prefix(b"!") {
        Some(rest) => (0x80, rest),
        None => (0, raw),
    };
    let colon = memchr::memchr(b':', raw)?;
    let slash = memchr::memrchr(b'/', raw)?;
    let family = number::decimal(&raw[..colon], u64::from(u16::MAX))?;
    let text = raw.get(colon + 1..slash)?;
    let mut address = [0u8; 16];
    let most = match family {
        1 => {
            address[..4].copy_from_slice(&number::ipv4(text)?);
            32
        }
        2 => {
            address = number::ipv6(text)?;
            128
        }
        _ => return None,
    };
    let prefix = number::decimal(&raw[slash + 1..], most)?;
    let length = address.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    out.extend_from_slice(&[0, family as u8, prefix as u8, negative | length as u8]);
    out.extend_from_slice(&address[..length]);
    Some(())
}
