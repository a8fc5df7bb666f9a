//! Log lines as JSON, one object per line.

use std::io::Write;

use chain::Reply;
use telemetry::json::{self, string};
use telemetry::log::Level;
use telemetry::record::{self, LogRecord};
use wire::name::Text;

use super::class::ReplyClass;

/// Writes the object without a line end. The order of the members is fixed.
pub(super) fn write(line: &mut Vec<u8>, record: &LogRecord<'_>, kind: ReplyClass, unix: u64) {
    let query = record.query;
    // Writing to a vector does not fail.
    let _ = write!(line, "{{\"level\":\"info\",\"time\":{unix},\"remote\":\"");
    record::address(line, query.client.peer.ip());
    let _ = write!(line, "\",\"port\":{},\"local\":\"", query.client.peer.port());
    record::address(line, query.client.local.ip());
    let _ = write!(line, "\",\"id\":{},\"opcode\":{}", query.id(), query.opcode().0);
    let _ = write!(line, ",\"type\":\"{}\",\"class\":\"{}\"", query.qtype(), query.qclass());
    line.extend_from_slice(b",\"name\":");
    string(line, Text(query.name()));
    let _ = write!(
        line,
        ",\"proto\":\"{}\",\"size\":{},\"do\":{},\"bufsize\":{}",
        query.client.transport.proto(),
        query.bytes().len(),
        query.wants_dnssec(),
        record.buffer_size(),
    );
    rcode(line, record);
    let _ = write!(
        line,
        ",\"rsize\":{},\"duration\":{},\"kind\":\"{}\",\"kind_class\":\"{}\"",
        record.reply_size(),
        record.seconds(),
        kind.as_str(),
        kind.class().as_str(),
    );
    let failure = record.reply.and_then(Reply::failure);
    if let Some(cause) = failure.and_then(|failure| failure.cause.as_ref()) {
        line.extend_from_slice(b",\"error\":");
        string(line, cause);
    }
    line.push(b'}');
}

/// Writes the object of a line whose text is `message`, where the whole log is JSON.
pub(super) fn write_around(line: &mut Vec<u8>, message: &str, record: &LogRecord<'_>, unix: u64) {
    let query = record.query;
    json::start(line, unix, Level::Info, message);
    line.extend_from_slice(b",\"plugin\":\"log\",\"client_ip\":\"");
    // Without the brackets of text lines, which JSON consumers cannot parse.
    let _ =
        write!(line, "{}\",\"client_port\":{}", query.client.peer.ip(), query.client.peer.port());
    let _ = write!(line, ",\"id\":{},\"opcode\":{}", query.id(), query.opcode().0);
    line.extend_from_slice(b",\"qname\":");
    string(line, Text(query.name()));
    let _ = write!(
        line,
        ",\"qtype\":\"{}\",\"qclass\":\"{}\",\"proto\":\"{}\",\"request_bytes\":{},\"do\":{},\
         \"bufsize\":{}",
        query.qtype(),
        query.qclass(),
        query.client.transport.proto(),
        query.bytes().len(),
        query.wants_dnssec(),
        record.buffer_size(),
    );
    rcode(line, record);
    let _ = write!(
        line,
        ",\"response_bytes\":{},\"duration_seconds\":{}}}",
        record.reply_size(),
        record.seconds(),
    );
}

/// The members `rcode` and `rflags`.
fn rcode(line: &mut Vec<u8>, record: &LogRecord<'_>) {
    let _ = match record.rcode().map(|rcode| (rcode, rcode.mnemonic())) {
        Some((_, Some(text))) => write!(line, ",\"rcode\":\"{text}\",\"rflags\":\""),
        Some((rcode, None)) => write!(line, ",\"rcode\":\"{}\",\"rflags\":\"", rcode.0),
        None => line.write_all(b",\"rcode\":null,\"rflags\":\""),
    };
    record.flags(line);
    line.push(b'"');
}
