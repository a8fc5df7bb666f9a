//! TLS: trusted authorities, our certificates, and sessions. One provider: ring.
//!
//! rustls checks the names and times of certificates. Files are read elsewhere: this room gets their
//! bytes.
//!
//! It must never know: what goes through a session.

mod client;
mod go_text;
mod insecure;
mod server;
mod trust;
mod verifier;

pub use client::{Client, Session, TransferSession, check_name};
pub use server::Server;
pub use trust::{Identity, MAX_PEM, Trust};

pub(crate) use go_text::told;
