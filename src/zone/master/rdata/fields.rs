//! RDATA from text: the fields of the schema, one after the other.

use wire::Rtype;

use super::base::{Base, Malformed};
use super::present;
use super::schema::{self, FieldKind};
use crate::master::fault::{Parse, fault, fault_help, quote};
use crate::master::lexer::{Lexer, Token};
use crate::master::number;
use crate::master::strings::{push_name, push_string, push_strings, unescape};

/// The tokens of one record's RDATA, and what relative names are relative to.
pub(in crate::master) struct Fields<'l, 'a> {
    pub(in crate::master) lexer: &'l mut Lexer<'a>,
    pub(in crate::master) origin: &'l [u8],
}

impl<'a> Fields<'_, 'a> {
    /// Reads the RDATA of a record of type `rtype` into `out`.
    pub(in crate::master) fn rdata(&mut self, rtype: Rtype, out: &mut Vec<u8>) -> Parse<()> {
        out.clear();
        if self.is_generic()? {
            return self.generic(rtype, out);
        }
        // Most records of large zones; what the table says about them, without a walk through it.
        match rtype {
            Rtype::A => return self.ipv4("address", out),
            Rtype::AAAA => return self.ipv6("address", out),
            Rtype::NS | Rtype::CNAME | Rtype::PTR => return self.name("name", out),
            _ => {}
        }
        let at = self.lexer.at;
        let Some(fields) = schema::of(rtype) else {
            return fault_help(
                at,
                format!("type `{rtype}` has no presentation format of its own"),
                "write its data as `\\# length hex-digits` (RFC 3597)",
            );
        };
        for &(kind, what) in fields {
            self.field(kind, what, out)?;
        }
        if out.len() > usize::from(u16::MAX) {
            return fault(at, "the RDATA of this record is longer than 65535 bytes");
        }
        Ok(())
    }

    #[inline]
    fn field(&mut self, kind: FieldKind, what: &'static str, out: &mut Vec<u8>) -> Parse<()> {
        match kind {
            FieldKind::V4 => self.ipv4(what, out),
            FieldKind::V6 => self.ipv6(what, out),
            FieldKind::Name => self.name(what, out),
            FieldKind::U16 => {
                let value = self.number(what, u64::from(u16::MAX))?;
                out.extend_from_slice(&(value as u16).to_be_bytes());
                Ok(())
            }
            FieldKind::Strs => self.strings(what, true, out),
            _ => self.rare_field(kind, what, out),
        }
    }

    fn rare_field(&mut self, kind: FieldKind, what: &'static str, out: &mut Vec<u8>) -> Parse<()> {
        match kind {
            FieldKind::U8 => out.push(self.number(what, 255)? as u8),
            FieldKind::U32 => {
                let value = self.number(what, u64::from(u32::MAX))?;
                out.extend_from_slice(&(value as u32).to_be_bytes());
            }
            FieldKind::U64 => out.extend_from_slice(&self.number(what, u64::MAX)?.to_be_bytes()),
            FieldKind::Ttl => {
                let token = self.word(what)?;
                let Some(value) = number::ttl(token.raw) else {
                    return bad(token, what, "a number of seconds, or a sum such as `1h30m`");
                };
                out.extend_from_slice(&value.to_be_bytes());
            }
            FieldKind::Time => {
                let token = self.word(what)?;
                let Some(value) = number::timestamp(token.raw) else {
                    return bad(token, what, "a time as `YYYYMMDDHHmmSS` or in seconds since 1970");
                };
                out.extend_from_slice(&value.to_be_bytes());
            }
            FieldKind::Str => {
                let token = self.token(what)?;
                push_string(token, out)?;
            }
            FieldKind::OptStr => {
                if let Some(token) = self.lexer.next()? {
                    push_string(token, out)?;
                }
            }
            FieldKind::Text => {
                let token = self.token(what)?;
                unescape(token, token.raw, out)?;
            }
            FieldKind::Tag => {
                let token = self.token(what)?;
                if token.raw.is_empty()
                    || token.raw.len() > 255
                    || !schema::is_alphanumeric(token.raw)
                {
                    return bad(token, what, "letters and digits only");
                }
                out.push(token.raw.len() as u8);
                out.extend_from_slice(token.raw);
            }
            FieldKind::Hex => self.rest(Base::Hex, what, out)?,
            FieldKind::Base64 => self.rest(Base::Base64, what, out)?,
            FieldKind::Base64OrDash => {
                let before = self.lexer.clone();
                if self.word(what)?.raw != b"-" {
                    *self.lexer = before;
                    self.rest(Base::Base64, what, out)?;
                }
            }
            FieldKind::Salt => {
                let token = self.word(what)?;
                if token.raw == b"-" {
                    out.push(0);
                } else {
                    counted(token, Base::Hex, what, out)?;
                }
            }
            FieldKind::Base32 => {
                let token = self.word(what)?;
                counted(token, Base::Base32, what, out)?;
            }
            FieldKind::Decimal => {
                let token = self.token(what)?;
                let start = out.len();
                push_string(token, out)?;
                if !number::is_decimal(&out[start + 1..]) {
                    return bad(token, what, "a decimal number such as `-32.6882`");
                }
            }
            FieldKind::Type | FieldKind::Covered => {
                let token = self.word(what)?;
                let rtype = type_named(token)?;
                if kind == FieldKind::Covered && schema::is_meta(rtype) {
                    return fault(token.at, format!("no zone has records of type `{rtype}`"));
                }
                out.extend_from_slice(&rtype.0.to_be_bytes());
            }
            FieldKind::Algorithm | FieldKind::Scheme => out.push(self.mnemonic(kind, what)? as u8),
            FieldKind::CertType => out.extend_from_slice(&self.mnemonic(kind, what)?.to_be_bytes()),
            FieldKind::Bitmap => self.bitmap(out)?,
            FieldKind::Eui48 => self.pairs(what, 6, out)?,
            FieldKind::Eui64 => self.pairs(what, 8, out)?,
            FieldKind::Locator => self.locator(what, out)?,
            FieldKind::Nsap => self.nsap(what, out)?,
            FieldKind::Wks => self.wks(what, out)?,
            FieldKind::Loc => self.location(out)?,
            FieldKind::Apl => self.prefixes(out)?,
            FieldKind::IpsecKey => self.ipsec_key(out)?,
            FieldKind::AmtRelay => self.amt_relay(out)?,
            FieldKind::Hip => self.hip(out)?,
            FieldKind::Params => self.parameters(out)?,
            FieldKind::V4 => self.ipv4(what, out)?,
            FieldKind::V6 => self.ipv6(what, out)?,
            FieldKind::Name => self.name(what, out)?,
            FieldKind::Strs => self.strings(what, true, out)?,
            FieldKind::Items => self.strings(what, false, out)?,
            FieldKind::U16 | FieldKind::Opaque => {
                return fault(
                    self.lexer.at,
                    "the RDATA of this type must be written as `\\# length hex`",
                );
            }
        }
        Ok(())
    }

    /// The next token, quoted or not.
    #[inline(always)]
    pub(in crate::master) fn token(&mut self, what: &'static str) -> Parse<Token<'a>> {
        match self.lexer.next()? {
            Some(token) => Ok(token),
            None => fault(self.lexer.at, format!("the {what} is missing")),
        }
    }

    /// The next token, which must not be quoted.
    #[inline(always)]
    pub(in crate::master) fn word(&mut self, what: &'static str) -> Parse<Token<'a>> {
        let token = self.token(what)?;
        if token.quoted {
            return fault(token.at, format!("the {what} must not be quoted"));
        }
        Ok(token)
    }

    #[inline]
    pub(in crate::master) fn number(&mut self, what: &'static str, max: u64) -> Parse<u64> {
        let token = self.word(what)?;
        match number::decimal(token.raw, max) {
            Some(value) => Ok(value),
            None => bad(token, what, &format!("a number from 0 to {max}")),
        }
    }

    #[inline]
    pub(in crate::master) fn ipv4(&mut self, what: &'static str, out: &mut Vec<u8>) -> Parse<()> {
        let token = self.word(what)?;
        match number::ipv4(token.raw) {
            Some(address) => out.extend_from_slice(&address),
            None => return bad(token, what, "an IPv4 address such as `192.0.2.1`"),
        }
        Ok(())
    }

    #[inline]
    pub(in crate::master) fn ipv6(&mut self, what: &'static str, out: &mut Vec<u8>) -> Parse<()> {
        let token = self.word(what)?;
        match number::ipv6(token.raw) {
            Some(address) => out.extend_from_slice(&address),
            None => return bad(token, what, "an IPv6 address such as `2001:db8::1`"),
        }
        Ok(())
    }

    #[inline]
    pub(in crate::master) fn name(&mut self, what: &'static str, out: &mut Vec<u8>) -> Parse<()> {
        let token = self.word(what)?;
        push_name(token, self.origin, out)
    }

    fn strings(&mut self, what: &'static str, split: bool, out: &mut Vec<u8>) -> Parse<()> {
        let mut token = self.token(what)?;
        loop {
            if split {
                if let Some(length) = push_strings(token, out)? {
                    self.lexer.split.get_or_insert((token.at, length));
                }
            } else {
                push_string(token, out)?;
            }
            match self.lexer.next()? {
                Some(next) => token = next,
                None => return Ok(()),
            }
        }
    }

    /// Digits over all tokens that are left; at least one byte.
    pub(in crate::master) fn rest(
        &mut self,
        base: Base,
        what: &'static str,
        out: &mut Vec<u8>,
    ) -> Parse<()> {
        let start = out.len();
        let before = self.lexer.clone();
        let mut token = self.word(what)?;
        let end = loop {
            out.extend_from_slice(token.raw);
            match self.lexer.next() {
                Ok(Some(next)) if next.quoted => {
                    break fault(next.at, format!("the {what} must not be quoted"));
                }
                Ok(Some(next)) => token = next,
                Ok(None) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        // What is wrong with the digits comes first in the text.
        match base.decode(out, start) {
            Err(Malformed::Digit(at)) => self.no_digit(before, at, what),
            _ if end.is_err() => end,
            Ok(()) if out.len() > start => Ok(()),
            _ => fault(token.at, format!("the {what} is incomplete: digits are missing")),
        }
    }

    /// The error of a byte that is no digit, `at` bytes into the tokens from `before` on.
    #[cold]
    fn no_digit(&mut self, before: Lexer<'a>, mut at: usize, what: &'static str) -> Parse<()> {
        let starved = self.lexer.starved;
        *self.lexer = before;
        self.lexer.starved |= starved;
        loop {
            let token = self.word(what)?;
            if at < token.raw.len() {
                return bad_digit(token, at, what);
            }
            at -= token.raw.len();
        }
    }

    fn mnemonic(&mut self, kind: FieldKind, what: &'static str) -> Parse<u16> {
        let token = self.word(what)?;
        let (names, max) = schema::mnemonics(kind);
        if let Some(value) = number::decimal(token.raw, u64::from(max)) {
            return Ok(value as u16);
        }
        let known = names.iter().find(|(_, name)| token.raw.eq_ignore_ascii_case(name.as_bytes()));
        match known {
            Some((value, _)) => Ok(*value),
            None => bad(token, what, &format!("a number from 0 to {max} or a known name")),
        }
    }

    fn bitmap(&mut self, out: &mut Vec<u8>) -> Parse<()> {
        let mut low = [0u8; 32];
        let mut high: Vec<u16> = Vec::new();
        while let Some(token) = self.lexer.next()? {
            let Rtype(number) = type_named(token)?;
            if number < 256 {
                low[usize::from(number / 8)] |= 0x80 >> (number % 8);
            } else {
                high.push(number);
            }
        }
        push_window(0, &low, out);
        high.sort_unstable();
        for window in high.chunk_by(|a, b| a >> 8 == b >> 8) {
            let mut bits = [0u8; 32];
            for number in window {
                bits[usize::from((number & 0xFF) / 8)] |= 0x80 >> (number % 8);
            }
            push_window((window[0] >> 8) as u8, &bits, out);
        }
        Ok(())
    }

    /// `count` groups of two hex digits with `-` between.
    fn pairs(&mut self, what: &'static str, count: usize, out: &mut Vec<u8>) -> Parse<()> {
        let token = self.word(what)?;
        let mut groups = 0;
        let fits = token.raw.split(|&byte| byte == b'-').all(|group| {
            groups += 1;
            group.len() == 2 && push_digits(group, Base::Hex, out).is_ok()
        });
        if fits && groups == count {
            return Ok(());
        }
        bad(token, what, &format!("{count} pairs of hex digits, separated by `-`"))
    }

    /// Four groups of four hex digits with `:` between (RFC 6742 sections 2.1.2 and 2.3.2). named writes them
    /// without leading zeros.
    fn locator(&mut self, what: &'static str, out: &mut Vec<u8>) -> Parse<()> {
        let token = self.word(what)?;
        let mut groups = 0;
        let fits = token.raw.split(|&byte| byte == b':').all(|group| {
            groups += 1;
            let mut digits = *b"0000";
            let Some(start) = 4usize.checked_sub(group.len()) else { return false };
            digits[start..].copy_from_slice(group);
            !group.is_empty() && push_digits(&digits, Base::Hex, out).is_ok()
        });
        if fits && groups == 4 {
            return Ok(());
        }
        bad(token, what, "four groups of four hex digits such as `0014:4fff:ff20:ee64`")
    }

    fn is_generic(&mut self) -> Parse<bool> {
        let text = self.lexer.text();
        let mut at = self.lexer.at;
        while let Some(b' ' | b'\t') = text.get(at) {
            at += 1;
        }
        // Only a `\` or what the lexer must step over can lead to `\#`.
        if !matches!(text.get(at), Some(b'\\' | b'(' | b';' | b'\r' | b'\n')) {
            return Ok(false);
        }
        let before = self.lexer.clone();
        match self.lexer.next()? {
            Some(token) if token.raw == b"\\#" && !token.quoted => Ok(true),
            _ => {
                let starved = self.lexer.starved;
                *self.lexer = before;
                self.lexer.starved |= starved;
                Ok(false)
            }
        }
    }

    /// What follows `\#` (RFC 3597 section 5): a length and hex digits.
    fn generic(&mut self, rtype: Rtype, out: &mut Vec<u8>) -> Parse<()> {
        let at = self.lexer.at;
        let length = self.number("length", u64::from(u16::MAX))?;
        if length > 0 {
            self.rest(Base::Hex, "data", out)?;
        } else {
            self.lexer.end()?;
        }
        if out.len() as u64 != length {
            let given = out.len();
            return fault(at, format!("the length says {length} bytes, but {given} are given"));
        }
        if schema::of(rtype).is_some() && present::text(rtype, out).is_none() {
            return fault(at, format!("these bytes are not valid RDATA of type `{rtype}`"));
        }
        Ok(())
    }
}

#[cold]
pub(in crate::master) fn bad<T>(token: Token<'_>, what: &str, expected: &str) -> Parse<T> {
    let given = quote(token.raw);
    fault_help(token.at, format!("`{given}` is not a valid {what}"), format!("write {expected}"))
}

pub(in crate::master) fn type_named(token: Token<'_>) -> Parse<Rtype> {
    match schema::type_of(token.raw) {
        Some(rtype) if !token.quoted => Ok(rtype),
        _ => fault(token.at, format!("`{}` is not a record type", quote(token.raw))),
    }
}

fn push_window(window: u8, bits: &[u8; 32], out: &mut Vec<u8>) {
    if let Some(last) = bits.iter().rposition(|&byte| byte != 0) {
        out.extend_from_slice(&[window, last as u8 + 1]);
        out.extend_from_slice(&bits[..=last]);
    }
}

/// Adds the bytes that `digits` stand for.
pub(in crate::master) fn push_digits(
    digits: &[u8],
    base: Base,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let start = out.len();
    out.extend_from_slice(digits);
    base.decode(out, start)
}

#[cold]
pub(in crate::master) fn bad_digit<T>(token: Token<'_>, at: usize, what: &str) -> Parse<T> {
    let byte = quote(&token.raw[at..=at]);
    fault(token.at + at, format!("`{byte}` is not a digit of the {what}"))
}

/// Digits of one token behind a length in one byte.
fn counted(token: Token<'_>, base: Base, what: &str, out: &mut Vec<u8>) -> Parse<()> {
    let start = out.len();
    out.push(0);
    let pushed = push_digits(token.raw, base, out);
    match (pushed, u8::try_from(out.len() - start - 1)) {
        (Err(Malformed::Digit(at)), _) => bad_digit(token, at, what),
        (Ok(()), Ok(count)) if count > 0 => {
            out[start] = count;
            Ok(())
        }
        _ => bad(token, what, "1 to 255 bytes with all their digits"),
    }
}
