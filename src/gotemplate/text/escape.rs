//! The escapes of `html`, `js` and `urlquery`.

use std::fmt::Write;

use super::quote;

pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for next in text.chars() {
        match next {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            _ => out.push(next),
        }
    }
    out
}

pub(crate) fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for next in text.chars() {
        match next {
            '\\' | '\'' | '"' => out.extend(['\\', next]),
            '<' | '>' | '&' | '=' | '\0'..' ' => {
                let _ = write!(out, "\\u{:04X}", u32::from(next));
            }
            _ if next.is_ascii() || quote::is_print(next) => out.push(next),
            _ => {
                let _ = write!(out, "\\u{:04X}", u32::from(next));
            }
        }
    }
    out
}

pub(crate) fn url_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
