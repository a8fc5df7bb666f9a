//! Master files (RFC 1035 section 5): text to records, and RDATA between text and wire form.
//!
//! A file is read through one fixed buffer, entry by entry; an entry is a line, or several when
//! parentheses or quotes join them. One lexer and one table of RDATA fields serve plain and odd
//! lines alike, and no record costs an allocation.
//!
//! It must never know: what a zone is. The receiver of the records checks for names outside of the zone, several
//! SOA records and the like. Files are opened through [`Includes`].

mod error;
mod fault;
mod generate;
mod lexer;
mod number;
mod options;
mod rdata;
mod reader;
mod record;
mod source;
mod strings;

pub use error::ZoneError;
pub use options::{
    FALLBACK_TTL, Findings, INCLUDE_COUNT, INCLUDE_DEPTH, Includes, MAX_ERRORS, MAX_WARNINGS,
    NoIncludes, Options, Refusal,
};
pub use record::{OwnedRecord, rdata_from_text, rdata_is_valid, rdata_to_text, record_from_line};
pub use source::{parse_text, places, read, read_through, soa_owner};
