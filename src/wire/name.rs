//! Domain names in wire form (RFC 1035 section 3.1), without allocation on the data path.
//!
//! A name here is a slice of length-prefixed labels that ends with the zero byte of the root.
//! Comparison ignores ASCII case (RFC 4343); the case that came in is the case that goes out.

mod buffer;
mod error;
mod labels;
mod literal;
mod owned;
mod read;
mod text;

pub use buffer::NameBuf;
pub use error::NameError;
pub use labels::{
    MAX_LABEL, MAX_NAME, canonical_cmp, eq, is_under, label_count, label_starts, labels, parent,
    wire_len,
};
pub use literal::literal;
pub use owned::Name;
pub use read::{read, skip};
pub use text::Text;
