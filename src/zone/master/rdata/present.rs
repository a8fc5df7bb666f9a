//! RDATA to text, in the form that CoreDNS prints.
//!
//! Every function returns `None` when the bytes are not what the type asks for, or when the text
//! would not read back as the same bytes; the caller then writes the generic form.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXUPPER};
use wire::Rtype;
use wire::name::{Text, wire_len};

use super::schema::{self, FieldKind};
use super::svcb;
use crate::master::number;
use crate::master::strings::push_escaped;

/// The presentation form of a known type.
pub(in crate::master) fn text(rtype: Rtype, rdata: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(rdata.len() * 2);
    let mut wire = Wire(rdata);
    for &(kind, _) in schema::of(rtype)? {
        if !out.is_empty() && kind != FieldKind::Params {
            out.push(' ');
        }
        wire.field(kind, &mut out)?;
    }
    // A list that turned out empty leaves the space before it.
    out.truncate(out.trim_end_matches(' ').len());
    if wire.0.is_empty() { Some(out) } else { None }
}

/// `\# length hex` (RFC 3597 section 5).
pub(in crate::master) fn generic(rdata: &[u8]) -> String {
    let mut out = format!("\\# {}", rdata.len());
    if !rdata.is_empty() {
        out.push(' ');
        HEXUPPER.encode_append(rdata, &mut out);
    }
    out
}

fn quoted(bytes: &[u8], out: &mut String) {
    out.push('"');
    push_escaped(bytes, out);
    out.push('"');
}

struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.u8()?;
        self.take(usize::from(count))
    }

    fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn filled(&mut self) -> Option<&'a [u8]> {
        Some(self.all()).filter(|bytes| !bytes.is_empty())
    }

    fn field(&mut self, kind: FieldKind, out: &mut String) -> Option<()> {
        match kind {
            FieldKind::U8 | FieldKind::Algorithm => put(out, self.u8()?),
            FieldKind::U16 => put(out, self.u16()?),
            FieldKind::U32 | FieldKind::Ttl => put(out, self.u32()?),
            FieldKind::U64 => put(out, u64::from_be_bytes(self.array()?)),
            FieldKind::Time => out.push_str(&number::show_timestamp(self.u32()?)),
            FieldKind::V4 => put(out, Ipv4Addr::from(self.array::<4>()?)),
            FieldKind::V6 => put(out, Ipv6Addr::from(self.array::<16>()?)),
            FieldKind::Name => self.name(out)?,
            FieldKind::Str => quoted(self.counted()?, out),
            FieldKind::OptStr if self.0.is_empty() => {}
            FieldKind::OptStr => quoted(self.counted()?, out),
            FieldKind::Decimal => {
                quoted(Some(self.counted()?).filter(|text| number::is_decimal(text))?, out);
            }
            FieldKind::Strs | FieldKind::Items => {
                quoted(self.counted()?, out);
                while !self.0.is_empty() {
                    out.push(' ');
                    quoted(self.counted()?, out);
                }
            }
            FieldKind::Text => quoted(self.all(), out),
            FieldKind::Tag => {
                let tag = self.counted()?;
                if tag.is_empty() || !schema::is_alphanumeric(tag) {
                    return None;
                }
                out.push_str(std::str::from_utf8(tag).ok()?);
            }
            FieldKind::Hex => HEXUPPER.encode_append(self.filled()?, out),
            FieldKind::Base64 => BASE64.encode_append(self.filled()?, out),
            FieldKind::Base64OrDash if self.0.is_empty() => out.push('-'),
            FieldKind::Base64OrDash => BASE64.encode_append(self.all(), out),
            FieldKind::Salt => match self.counted()? {
                [] => out.push('-'),
                salt => HEXUPPER.encode_append(salt, out),
            },
            FieldKind::Base32 => {
                BASE32HEX_NOPAD.encode_append(Some(self.counted()?).filter(|b| !b.is_empty())?, out)
            }
            FieldKind::Type => put(out, Rtype(self.u16()?)),
            FieldKind::Covered => {
                put(out, Some(Rtype(self.u16()?)).filter(|&rtype| !schema::is_meta(rtype))?);
            }
            FieldKind::CertType => self.mnemonic(kind, out)?,
            FieldKind::Scheme => self.mnemonic(kind, out)?,
            FieldKind::Bitmap => self.bitmap(out)?,
            FieldKind::Eui48 => groups(self.take(6)?, 1, '-', out),
            FieldKind::Eui64 => groups(self.take(8)?, 1, '-', out),
            FieldKind::Locator => groups(self.take(8)?, 2, ':', out),
            FieldKind::Nsap => {
                out.push_str("0x");
                HEXUPPER.encode_append(self.filled()?, out);
            }
            FieldKind::Wks => self.wks(out)?,
            FieldKind::Loc => self.location(out)?,
            FieldKind::Apl => self.prefixes(out)?,
            FieldKind::IpsecKey => self.ipsec_key(out)?,
            FieldKind::AmtRelay => self.amt_relay(out)?,
            FieldKind::Hip => self.hip(out)?,
            FieldKind::Params => svcb::text(self.all(), out)?,
            FieldKind::Opaque => out.push_str(&generic(self.all())),
        }
        Some(())
    }

    fn name(&mut self, out: &mut String) -> Option<()> {
        let length = wire_len(self.0)?;
        let name = self.take(length)?;
        if name.get(1) == Some(&b'$') {
            out.push('\\');
        }
        put(out, Text(name));
        Some(())
    }

    fn mnemonic(&mut self, kind: FieldKind, out: &mut String) -> Option<()> {
        let value = match kind {
            FieldKind::CertType => self.u16()?,
            _ => u16::from(self.u8()?),
        };
        let (names, _) = schema::mnemonics(kind);
        match names.iter().find(|(number, _)| *number == value) {
            Some((_, name)) => out.push_str(name),
            None => put(out, value),
        }
        Some(())
    }

    fn bitmap(&mut self, out: &mut String) -> Option<()> {
        let mut last = None;
        let mut space = "";
        while !self.0.is_empty() {
            let window = self.u8()?;
            let bits = self.counted()?;
            let ascends = last.is_none_or(|last| window > last);
            if !ascends || bits.len() > 32 || bits.last().is_none_or(|&byte| byte == 0) {
                return None;
            }
            last = Some(window);
            for (at, &byte) in bits.iter().enumerate() {
                for bit in (0..8u16).filter(|bit| byte & 0x80 >> bit != 0) {
                    out.push_str(space);
                    put(out, Rtype(u16::from(window) << 8 | (at as u16) << 3 | bit));
                    space = " ";
                }
            }
        }
        Some(())
    }

    fn wks(&mut self, out: &mut String) -> Option<()> {
        put(out, self.u8()?);
        let bits = self.all();
        if bits.len() > 8192 || bits.last() == Some(&0) {
            return None;
        }
        for (at, &byte) in bits.iter().enumerate() {
            for bit in (0..8).filter(|bit| byte & 0x80 >> bit != 0) {
                out.push(' ');
                put(out, at * 8 + bit);
            }
        }
        Some(())
    }

    fn location(&mut self, out: &mut String) -> Option<()> {
        let [version, sizes @ ..] = self.array::<4>()?;
        let (latitude, longitude, altitude) = (self.u32()?, self.u32()?, self.u32()?);
        if version != 0 {
            return None;
        }
        angle(latitude, 90, ['N', 'S'], out)?;
        out.push(' ');
        angle(longitude, 180, ['E', 'W'], out)?;
        let altitude = i64::from(altitude) - 10_000_000;
        let sign = if altitude < 0 { "-" } else { "" };
        let (metres, rest) = (altitude.unsigned_abs() / 100, altitude.unsigned_abs() % 100);
        put(out, format_args!(" {sign}{metres}.{rest:02}m"));
        for size in sizes {
            let (base, exponent) = (size >> 4, size & 15);
            if base > 9 || exponent > 9 || (base == 0 && exponent > 0) {
                return None;
            }
            let value = u64::from(base) * 10u64.pow(u32::from(exponent));
            put(out, format_args!(" {}.{:02}m", value / 100, value % 100));
        }
        Some(())
    }

    fn prefixes(&mut self, out: &mut String) -> Option<()> {
        let mut space = "";
        while !self.0.is_empty() {
            let (family, prefix, length) = (self.u16()?, self.u8()?, self.u8()?);
            let bytes = self.take(usize::from(length & 0x7F))?;
            let most = if family == 1 { 4 } else { 16 };
            let fits = bytes.len() <= most && usize::from(prefix) <= most * 8;
            if !fits || bytes.last() == Some(&0) {
                return None;
            }
            let mut address = [0u8; 16];
            address[..bytes.len()].copy_from_slice(bytes);
            out.push_str(space);
            space = " ";
            if length & 0x80 != 0 {
                out.push('!');
            }
            match family {
                1 => {
                    let [a, b, c, d, ..] = address;
                    put(out, format_args!("1:{}/{prefix}", Ipv4Addr::new(a, b, c, d)));
                }
                2 => put(out, format_args!("2:{}/{prefix}", Ipv6Addr::from(address))),
                _ => return None,
            }
        }
        Some(())
    }

    fn gateway(&mut self, kind: u8, out: &mut String) -> Option<()> {
        match kind {
            0 => out.push('.'),
            1 => self.field(FieldKind::V4, out)?,
            2 => self.field(FieldKind::V6, out)?,
            3 => self.name(out)?,
            _ => return None,
        }
        Some(())
    }

    fn ipsec_key(&mut self, out: &mut String) -> Option<()> {
        let [precedence, kind, algorithm] = self.array()?;
        put(out, format_args!("{precedence} {kind} {algorithm} "));
        self.gateway(kind, out)?;
        if algorithm == 0 {
            return Some(());
        }
        out.push(' ');
        BASE64.encode_append(self.filled()?, out);
        Some(())
    }

    fn amt_relay(&mut self, out: &mut String) -> Option<()> {
        let [precedence, kind] = self.array()?;
        put(out, format_args!("{precedence} {} {} ", kind >> 7, kind & 0x7F));
        self.gateway(kind & 0x7F, out)
    }

    fn hip(&mut self, out: &mut String) -> Option<()> {
        let (tag_length, algorithm, key_length) = (self.u8()?, self.u8()?, self.u16()?);
        if tag_length == 0 || key_length == 0 {
            return None;
        }
        put(out, format_args!("{algorithm} "));
        HEXUPPER.encode_append(self.take(usize::from(tag_length))?, out);
        out.push(' ');
        BASE64.encode_append(self.take(usize::from(key_length))?, out);
        while !self.0.is_empty() {
            out.push(' ');
            self.name(out)?;
        }
        Some(())
    }
}

fn put(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

fn groups(bytes: &[u8], size: usize, between: char, out: &mut String) {
    for (at, group) in bytes.chunks(size).enumerate() {
        if at > 0 {
            out.push(between);
        }
        for byte in group {
            put(out, format_args!("{byte:02x}"));
        }
    }
}

fn angle(value: u32, most: u32, signs: [char; 2], out: &mut String) -> Option<()> {
    let middle = 1u32 << 31;
    let size = value.abs_diff(middle);
    if size > most * 3_600_000 {
        return None;
    }
    let sign = signs[usize::from(value < middle)];
    let (degrees, minutes) = (size / 3_600_000, size / 60_000 % 60);
    let (seconds, rest) = (size / 1000 % 60, size % 1000);
    put(out, format_args!("{degrees:02} {minutes:02} {seconds:02}.{rest:03} {sign}"));
    Some(())
}
