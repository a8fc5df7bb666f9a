//! Go's string and character literals: decodes and encodes them.

use std::fmt::Write;

/// What a quoted, backquoted or character literal, quotes included, means. Errors: what is wrong.
pub(crate) fn meaning(literal: &str) -> Result<String, String> {
    let quote = literal.chars().next().unwrap_or_default();
    let inner = literal.get(1..literal.len().max(2) - 1).unwrap_or_default();
    if quote == '`' {
        // Go leaves carriage returns out of such strings.
        return Ok(inner.replace('\r', ""));
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(next) = rest.chars().next() {
        rest = &rest[next.len_utf8()..];
        if next != '\\' {
            bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        rest = escape(rest, quote, &mut bytes)?;
    }
    String::from_utf8(bytes).map_err(|_| "the escape sequences do not form valid UTF-8".to_owned())
}

/// Reads what follows a backslash, and returns what is behind it.
fn escape<'t>(text: &'t str, quote: char, bytes: &mut Vec<u8>) -> Result<&'t str, String> {
    let kind = text.chars().next().unwrap_or_default();
    let rest = &text[kind.len_utf8().min(text.len())..];
    let simple = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        _ if kind == quote => quote as u8,
        _ => {
            let (from, len, base) = match kind {
                'x' => (rest, 2, 16),
                'u' => (rest, 4, 16),
                'U' => (rest, 8, 16),
                '0'..='7' => (text, 3, 8),
                _ => return Err(format!("`\\{kind}` is not an escape sequence of Go")),
            };
            let digits = from.get(..len).filter(|d| d.chars().all(|d| d.is_digit(base)));
            let number = digits.and_then(|digits| u32::from_str_radix(digits, base).ok());
            let whole = match (number, kind) {
                (Some(number), 'u' | 'U') => char::from_u32(number).map(|found| {
                    bytes.extend_from_slice(found.encode_utf8(&mut [0; 4]).as_bytes());
                }),
                (Some(number), _) => u8::try_from(number).ok().map(|byte| bytes.push(byte)),
                (None, _) => None,
            };
            return match whole {
                Some(()) => Ok(&from[len..]),
                None => Err(format!("`\\{kind}` needs {len} digits that form a valid character")),
            };
        }
    };
    bytes.push(simple);
    Ok(rest)
}

/// Writes `text` in double quotes.
pub(crate) fn string(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for next in text.chars() {
        character(out, next, '"', ascii);
    }
    out.push('"');
}

/// Writes `rune` in single quotes.
pub(crate) fn rune(out: &mut String, rune: char, ascii: bool) {
    out.push('\'');
    character(out, rune, '\'', ascii);
    out.push('\'');
}

fn character(out: &mut String, next: char, quote: char, ascii: bool) {
    let short = match next {
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{b}' => 'v',
        '\\' => '\\',
        _ if next == quote => quote,
        ' '..='~' => return out.push(next),
        _ if !ascii && is_print(next) => return out.push(next),
        _ => {
            let number = u32::from(next);
            let _ = match number {
                0..0x80 => write!(out, "\\x{number:02x}"),
                0x80..0x1_0000 => write!(out, "\\u{number:04x}"),
                _ => write!(out, "\\U{number:08x}"),
            };
            return;
        }
    };
    out.push('\\');
    out.push(short);
}

/// Whether a character shows: those that Rust writes without an escape.
pub(crate) fn is_print(next: char) -> bool {
    matches!(next, '"' | '\'' | '\\') || next.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_mean_what_go_says() {
        assert_eq!(meaning(r#""a\tb\"\x41\u00fc\101""#).unwrap(), "a\tb\"A\u{fc}A");
        assert_eq!(meaning("`a\\n`").unwrap(), "a\\n");
        assert_eq!(meaning(r"'\''").unwrap(), "'");
        for bad in [r#""\'""#, r#""\q""#, r#""\x4""#, r#""\400""#, r#""\xff""#, r#""\ud800""#] {
            assert!(meaning(bad).is_err(), "{bad}");
        }
        let mut out = String::new();
        string(&mut out, "a\"\n\u{1}\u{fc}'", false);
        assert_eq!(out, "\"a\\\"\\n\\x01\u{fc}'\"");
        out.clear();
        string(&mut out, "\u{fc}", true);
        assert_eq!(out, "\"\\u00fc\"");
    }
}
