//! What an owner says, as bytes: names once, addresses in four or sixteen octets.
//!
//! ```text
//! group:     name, then its statements
//! statement: u8: 1 bit last of the group, 3 bits type, 4 bits number of the TTL; the TTL if it has no
//!            number; RDATA
//! RDATA:     A, AAAA: the address; SRV: six octets and a name; PTR, CNAME, NS: a name;
//!            TXT: length and octets; others: u16 type, length and octets
//! name:      0 the root
//!            | 1 to 63: a label, then the number of the suffix behind it, or 0 and a name
//!            | 64: the same, with a label that is an IPv4 address with dashes, in four octets
//!            | 65, 66: an IPv4 or IPv6 address whose reverse name it is
//!            | 128 to 255 and one octet more: the name that stands so many octets before
//! ```
//! Lengths and numbers are in groups of seven bits, the lowest first. Numbers of suffixes start with 1.
mod addresses;
mod arena;
mod check;
mod names;
mod statements;
mod suffixes;

pub(crate) use arena::{Arena, HEAD, MAX_BYTES, Place};
pub(crate) use check::{fold, is_valid, to_name};
pub(crate) use names::{name_hash, number, read_name, skip_name};
pub(crate) use statements::{Dictionary, Head, Packer, groups, release};
