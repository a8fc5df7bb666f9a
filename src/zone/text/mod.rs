//! Records and zones as text of a master file (RFC 1035 section 5).
//!
//! What is written reads back as the same records, and is written again as the same text. This is the one
//! owner of the presentation form beyond RDATA, which the table of `master` writes.
//!
//! It must never know: where the text goes.

mod record;
mod zone;

pub use record::{name, record_line, relative_name};
pub use zone::{ZoneText, write_zone};
