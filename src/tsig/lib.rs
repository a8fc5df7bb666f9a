//! Signed messages (TSIG, RFC 8945): keys, MACs, and the TSIG records of both sides.
//!
//! A server [opens](Session::open) a [`Session`] for a signed request and signs every message of the reply
//! with it. A client [signs](sign) its request and keeps the [`Signed`] that verifies the response, or makes
//! a [`Stream`] of it for a response of several messages. Keys come from a [`Keyring`], from a
//! [key file](parse_key_file) or from [text](Key::from_text). Times are arguments, in seconds of Unix time.
//!
//! It must never know: sockets, clocks, files, configuration, plugins.

#![forbid(unsafe_code)]

mod algorithm;
mod client;
mod error;
mod key;
mod key_file;
mod keyring;
mod mac;
mod record;
mod server;
#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use client::{Signed, Stream, VerifyError, sign, strip};
pub use error::TsigError;
pub use key::{Key, KeyError};
pub use key_file::{KeyFileError, parse as parse_key_file};
pub use keyring::Keyring;
pub use record::{FUDGE, Tsig};
pub use server::Session;
