//! Log lines as JSON, one object per line.

use std::io::Write;

use chain::Reply;
use telemetry::json::{self, string};
use telemetry::log::Level;
use telemetry::seen::{self, Seen};
use wire::name::Text;

use super::class::Kind;

/// Writes the object without a line end. The order of the members is fixed.
pub(super) fn write(line: &mut Vec<u8>, seen: &Seen<'_>, kind: Kind, unix: u64) {
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
    rcode(line, seen);
    let _ = write!(
        line,
        ",\"rsize\":{},\"duration\":{},\"kind\":\"{}\",\"kind_class\":\"{}\"",
        seen.reply_size(),
        seen.seconds(),
        kind.as_str(),
        kind.class().as_str(),
    );
    let failure = seen.reply.and_then(Reply::failure);
    if let Some(cause) = failure.and_then(|failure| failure.cause.as_ref()) {
        line.extend_from_slice(b",\"error\":");
        string(line, cause);
    }
    line.push(b'}');
}

/// Writes the object of a line whose text is `message`, where the whole log is JSON.
pub(super) fn write_around(line: &mut Vec<u8>, message: &str, seen: &Seen<'_>, unix: u64) {
    let query = seen.query;
    json::start(line, unix, Level::Info, message);
    line.extend_from_slice(b",\"plugin\":\"log\",\"client_ip\":\"");
    // In brackets it would be no address for who reads it.
    let _ = write!(line, "{}\",\"client_port\":{}", query.peer.ip(), query.peer.port());
    let _ = write!(line, ",\"id\":{},\"opcode\":{}", query.id(), query.opcode().0);
    line.extend_from_slice(b",\"qname\":");
    string(line, Text(query.name()));
    let _ = write!(
        line,
        ",\"qtype\":\"{}\",\"qclass\":\"{}\",\"proto\":\"{}\",\"request_bytes\":{},\"do\":{},\
         \"bufsize\":{}",
        query.qtype(),
        query.qclass(),
        query.transport.proto(),
        query.bytes().len(),
        query.wants_dnssec(),
        seen.buffer_size(),
    );
    rcode(line, seen);
    let _ = write!(
        line,
        ",\"response_bytes\":{},\"duration_seconds\":{}}}",
        seen.reply_size(),
        seen.seconds(),
    );
}

/// The members `rcode` and `rflags`.
fn rcode(line: &mut Vec<u8>, seen: &Seen<'_>) {
    let _ = match seen.rcode().map(|rcode| (rcode, rcode.mnemonic())) {
        Some((_, Some(text))) => write!(line, ",\"rcode\":\"{text}\",\"rflags\":\""),
        Some((rcode, None)) => write!(line, ",\"rcode\":\"{}\",\"rflags\":\"", rcode.0),
        None => line.write_all(b",\"rcode\":null,\"rflags\":\""),
    };
    seen.flags(line);
    line.push(b'"');
}
