//! What several commands print as JSON.

use serde_json::{Value, json};
use zone::RecordRef;
use zone::master::rdata_to_text;

/// A record.
pub(super) fn record(record: RecordRef<'_>) -> Value {
    json!({
        "name": zone::text::name(record.owner),
        "ttl": record.ttl,
        "class": record.class.to_string(),
        "type": record.rtype.to_string(),
        "rdata": rdata_to_text(record.rtype, record.rdata),
    })
}
