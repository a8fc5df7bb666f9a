//! Strings and names from text, with their escapes (RFC 1035 section 5.1).

use std::fmt::Write;

use wire::name::{MAX_LABEL, MAX_NAME};

use super::fault::{Parse, fault, fault_help, quote};
use super::lexer::Token;
use super::number;

/// A `<character-string>`: a length in one byte and the bytes.
#[inline]
pub(super) fn push_string(token: Token<'_>, out: &mut Vec<u8>) -> Parse<()> {
    let start = out.len();
    out.push(0);
    if token.escaped {
        unescape(token, token.raw, out)?;
    } else {
        out.extend_from_slice(token.raw);
    }
    let length = out.len() - start - 1;
    match u8::try_from(length) {
        Ok(count) => out[start] = count,
        Err(_) => {
            let message =
                format!("this string has {length} bytes; a string holds up to {MAX_STRING}");
            return fault(token.at, message);
        }
    }
    Ok(())
}

/// The most bytes of a `<character-string>` (RFC 1035 section 3.3).
pub(super) const MAX_STRING: usize = 255;

/// The same, but what is too long becomes several strings; returns the length of one that does.
#[inline]
pub(super) fn push_strings(token: Token<'_>, out: &mut Vec<u8>) -> Parse<Option<usize>> {
    if token.raw.len() <= MAX_STRING {
        return push_string(token, out).map(|()| None);
    }
    push_long_string(token, out)
}

#[cold]
fn push_long_string(token: Token<'_>, out: &mut Vec<u8>) -> Parse<Option<usize>> {
    let mut whole = Vec::with_capacity(token.raw.len());
    unescape(token, token.raw, &mut whole)?;
    for piece in whole.chunks(MAX_STRING) {
        out.push(piece.len() as u8);
        out.extend_from_slice(piece);
    }
    // With escapes the text is longer than the string that it stands for.
    Ok(Some(whole.len()).filter(|&length| length > MAX_STRING))
}

/// Adds the bytes that `raw`, a part of `token`, stands for.
pub(super) fn unescape(token: Token<'_>, raw: &[u8], out: &mut Vec<u8>) -> Parse<()> {
    let mut rest = raw;
    while let Some(skip) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..skip]);
        let (byte, length) = escape(&rest[skip..]).map_or_else(|| bad_escape(token), Ok)?;
        out.push(byte);
        rest = &rest[skip + length..];
    }
    out.extend_from_slice(rest);
    Ok(())
}

#[cold]
fn bad_escape<T>(token: Token<'_>) -> Parse<T> {
    fault_help(
        token.at,
        format!("`{}` contains an invalid escape sequence", quote(token.raw)),
        "write one character after `\\`, or exactly three digits up to 255",
    )
}

/// The byte that the escape at the start of `raw` stands for, and the length of the escape.
fn escape(raw: &[u8]) -> Option<(u8, usize)> {
    let first = *raw.get(1)?;
    if !first.is_ascii_digit() {
        return Some((first, 2));
    }
    let value = number::decimal(raw.get(1..4)?, 255)?;
    Some((value as u8, 4))
}

/// Adds the wire form of a name; a relative one ends with `origin`.
#[inline]
pub(super) fn push_name(token: Token<'_>, origin: &[u8], out: &mut Vec<u8>) -> Parse<()> {
    let raw = token.raw;
    if token.escaped {
        return push_escaped_name(token, origin, out);
    }
    match raw {
        b"." => out.push(0),
        b"@" => out.extend_from_slice(origin),
        [] => return fault(token.at, "the quoted name is empty"),
        [b'$', ..] => return dollar(token),
        _ => {
            let start = out.len();
            // The text, shifted by one, with every dot replaced by the length of the label
            // behind it, is the wire form.
            out.push(0);
            out.extend_from_slice(raw);
            let end = out.len();
            // Dots are looked for eight bytes at a time.
            out.extend_from_slice(&[0; 8]);
            let bytes = &mut out[start..];
            let mut label = 0;
            let mut at = 1;
            while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
                let mut dots = dots(u64::from_le_bytes(*word));
                while dots != 0 {
                    let dot = at + (dots.trailing_zeros() / 8) as usize;
                    dots &= dots - 1;
                    let length = dot - label - 1;
                    if length == 0 || length > MAX_LABEL {
                        return bad_label(token, length);
                    }
                    bytes[label] = length as u8;
                    label = dot;
                }
                at += 8;
            }
            out.truncate(end);
            let bytes = &mut out[start..];
            let length = bytes.len() - label - 1;
            if length > MAX_LABEL {
                return bad_label(token, length);
            }
            // A final dot has become the root byte.
            bytes[label] = length as u8;
            if length > 0 {
                out.extend_from_slice(origin);
            }
            if out.len() - start > MAX_NAME {
                return long_name(token);
            }
        }
    }
    Ok(())
}

/// The high bit of each of eight bytes that is a dot, exactly.
#[inline(always)]
fn dots(word: u64) -> u64 {
    const LOW7: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let other = word ^ 0x2E2E_2E2E_2E2E_2E2E;
    !(((other & LOW7) + LOW7) | other | LOW7)
}

#[cold]
fn push_escaped_name(token: Token<'_>, origin: &[u8], out: &mut Vec<u8>) -> Parse<()> {
    let start = out.len();
    let mut label = start;
    out.push(0);
    let mut at = 0;
    let close = |label: usize, out: &mut Vec<u8>| {
        let length = out.len() - label - 1;
        if length == 0 || length > MAX_LABEL {
            return bad_label(token, length);
        }
        out[label] = length as u8;
        Ok(())
    };
    while let Some(&byte) = token.raw.get(at) {
        match byte {
            b'.' => {
                close(label, out)?;
                label = out.len();
                out.push(0);
                at += 1;
            }
            b'\\' => {
                let (byte, length) =
                    escape(&token.raw[at..]).map_or_else(|| bad_escape(token), Ok)?;
                out.push(byte);
                at += length;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    // An empty last label is the root's: the name was absolute.
    if out.len() > label + 1 {
        close(label, out)?;
        out.extend_from_slice(origin);
    }
    if out.len() - start > MAX_NAME { long_name(token) } else { Ok(()) }
}

#[cold]
fn bad_label(token: Token<'_>, length: usize) -> Parse<()> {
    let name = quote(token.raw);
    if length == 0 {
        fault(token.at, format!("`{name}` is not a name: a label is empty"))
    } else {
        fault(token.at, format!("`{name}` is not a name: a label is longer than 63 bytes"))
    }
}

#[cold]
fn long_name(token: Token<'_>) -> Parse<()> {
    fault(token.at, format!("`{}` is not a name: it is longer than 255 bytes", quote(token.raw)))
}

#[cold]
fn dollar(token: Token<'_>) -> Parse<()> {
    fault_help(
        token.at,
        format!("a name cannot start with `$`: `{}`", quote(token.raw)),
        "directives go at the start of a line; write a literal `$` as `\\$`",
    )
}

/// The inside of a quoted string.
pub(super) fn push_escaped(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:03}");
            }
        }
    }
}
