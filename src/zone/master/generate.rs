//! `$GENERATE start-stop[/step] line`: many records from one line, as BIND defines it.

use super::fault::{Parse, fault, fault_help, quote};
use super::lexer::Token;
use super::number;

/// The most records that one `$GENERATE` may make, as in CoreDNS.
pub(super) const MAX_RECORDS: u64 = 65_536;

/// The numbers to count through.
pub(super) fn range(token: Token<'_>) -> Parse<impl Iterator<Item = u32> + use<>> {
    let wrong = || {
        fault_help(
            token.at,
            format!("`{}` is not a range", quote(token.raw)),
            "write `start-stop` or `start-stop/step`, where start is at most stop",
        )
    };
    let (span, step) = match memchr::memchr(b'/', token.raw) {
        Some(at) => (&token.raw[..at], number::decimal(&token.raw[at + 1..], 0x7FFF_FFFF)),
        None => (token.raw, Some(1)),
    };
    let Some(dash) = memchr::memchr(b'-', span) else {
        return wrong();
    };
    let start = number::decimal(&span[..dash], 0x7FFF_FFFF);
    let stop = number::decimal(&span[dash + 1..], 0x7FFF_FFFF);
    let (Some(start), Some(stop), Some(step)) = (start, stop, step) else {
        return wrong();
    };
    if start > stop || step == 0 {
        return wrong();
    }
    let count = (stop - start) / step + 1;
    if count > MAX_RECORDS {
        return fault_help(
            token.at,
            format!("`$GENERATE` would make {count} records"),
            format!("the limit is {MAX_RECORDS}: split the range"),
        );
    }
    Ok((0..count).map(move |at| (start + at * step) as u32))
}

/// Writes `template` with its `$` replaced by `value`; `base` is its offset in the text.
pub(super) fn expand(template: &[u8], base: usize, value: u32, out: &mut Vec<u8>) -> Parse<()> {
    out.clear();
    let mut at = 0;
    while let Some(&byte) = template.get(at) {
        let next = template.get(at + 1);
        match (byte, next) {
            (b'\\', Some(b'$')) | (b'$', Some(b'$')) => {
                // The lexer takes `\$` for `$`, and a name may not start with a bare one.
                out.extend_from_slice(b"\\$");
                at += 2;
            }
            (b'\\', Some(&escaped)) => {
                out.extend_from_slice(&[b'\\', escaped]);
                at += 2;
            }
            (b'$', Some(b'{')) => {
                let rest = &template[at + 2..];
                let Some(end) = memchr::memchr(b'}', rest) else {
                    return fault(base + at, "`${` without a `}`");
                };
                if modified(&rest[..end], value, out).is_none() {
                    let wrong = quote(&template[at..at + end + 3]);
                    return fault_help(
                        base + at,
                        format!("`{wrong}` is not a valid substitution"),
                        "write `${offset,width,base}` with base d, o, x, X, n or N, and width up \
                         to 255; the sum must not be negative",
                    );
                }
                at += end + 3;
            }
            (b'$', _) => {
                out.extend_from_slice(value.to_string().as_bytes());
                at += 1;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(())
}

fn modified(inside: &[u8], value: u32, out: &mut Vec<u8>) -> Option<()> {
    let mut parts = inside.split(|&byte| byte == b',');
    let offset = parts.next()?;
    let (negative, digits) = match offset {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let offset = i64::try_from(number::decimal(digits, 0x7FFF_FFFF)?).ok()?;
    let sum = i64::from(value) + if negative { -offset } else { offset };
    let sum = u64::try_from(sum).ok()?;
    let width = match parts.next() {
        Some(digits) => usize::try_from(number::decimal(digits, 255)?).ok()?,
        None => 0,
    };
    let base = parts.next().unwrap_or(b"d");
    if parts.next().is_some() {
        return None;
    }
    let text = match base {
        b"d" => format!("{sum:0width$}"),
        b"o" => format!("{sum:0width$o}"),
        b"x" => format!("{sum:0width$x}"),
        b"X" => format!("{sum:0width$X}"),
        b"n" => nibbles(sum, width, b"0123456789abcdef"),
        b"N" => nibbles(sum, width, b"0123456789ABCDEF"),
        _ => return None,
    };
    out.extend_from_slice(text.as_bytes());
    Some(())
}

/// Hex digits, the lowest first, with dots between; the width counts the dots.
fn nibbles(mut value: u64, width: usize, digits: &[u8; 16]) -> String {
    let mut text = String::new();
    loop {
        text.push(char::from(digits[(value & 15) as usize]));
        value >>= 4;
        if value == 0 && text.len() + 1 >= width {
            return text;
        }
        text.push('.');
    }
}
