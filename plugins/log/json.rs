//! One JSON object a line, for machines.

use std::fmt;
use std::io::Write;

use wire::name::Text;

use super::seen::{self, Seen};

/// Writes the object without a line end. The order of the members is fixed.
pub(super) fn write(line: &mut Vec<u8>, seen: &Seen<'_>, unix: u64) {
    let query = seen.query;
    // Writing to a vector does not fail.
    let _ = write!(line, "{{\"level\":\"info\",\"time\":{unix},\"remote\":\"");
    seen::address(line, query.peer.ip());
    let _ = write!(line, "\",\"port\":{},\"local\":\"", query.peer.port());
    seen::address(line, query.local.ip());
    let _ = write!(line, "\",\"id\":{},\"opcode\":{}", query.id(), query.opcode().0);
    let _ = write!(line, ",\"type\":\"{}\",\"class\":\"{}\"", query.qtype(), query.qclass());
    line.extend_from_slice(b",\"name\":");
    string(line, Text(query.name()));
    let _ = write!(
        line,
        ",\"proto\":\"{}\",\"size\":{},\"do\":{},\"bufsize\":{}",
        query.transport.proto(),
        query.bytes().len(),
        query.wants_dnssec(),
        seen.buffer_size(),
    );
    match seen.rcode().map(|rcode| (rcode, rcode.mnemonic())) {
        Some((_, Some(text))) => {
            let _ = write!(line, ",\"rcode\":\"{text}\",\"rflags\":\"");
        }
        Some((rcode, None)) => {
            let _ = write!(line, ",\"rcode\":\"{}\",\"rflags\":\"", rcode.0);
        }
        None => line.extend_from_slice(b",\"rcode\":null,\"rflags\":\""),
    }
    seen.flags(line);
    let _ = write!(
        line,
        "\",\"rsize\":{},\"duration\":{},\"kind\":\"{}\",\"kind_class\":\"{}\"",
        seen.reply_size(),
        seen.seconds(),
        seen.kind.as_str(),
        seen.kind.class().as_str(),
    );
    if let Some(cause) = seen.reply.failure().and_then(|failure| failure.cause.as_ref()) {
        line.extend_from_slice(b",\"error\":");
        string(line, cause);
    }
    line.push(b'}');
}

/// Writes a JSON string (RFC 8259 section 7).
fn string(line: &mut Vec<u8>, value: impl fmt::Display) {
    line.push(b'"');
    let _ = fmt::write(&mut Escape(line), format_args!("{value}"));
    line.push(b'"');
}

struct Escape<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                0..0x20 => {
                    let _ = write!(self.0, "\\u{byte:04x}");
                }
                _ => self.0.push(byte),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        let mut line = Vec::new();
        string(&mut line, "a\"b\\c\nd\u{e9}");
        assert_eq!(line, "\"a\\\"b\\\\c\\u000ad\u{e9}\"".as_bytes());
    }
}
