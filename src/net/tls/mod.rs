//! TLS: trusted authorities, our certificates, and sessions. One provider: ring.
//!
//! rustls checks the names and times of certificates. Files are read elsewhere: this room gets their
//! bytes.
//!
//! It must never know: what goes through a session.

mod acceptor;
mod any_client;
mod client;
mod credentials;
mod go_text;
mod insecure;
mod server;
mod tickets;
mod trust;
mod validity;
mod verifier;

pub use acceptor::Acceptor;
pub use client::{Client, Session, TransferSession, check_name};
pub use credentials::{Certificate, ClientAuth, Clients, Credentials, Material};
pub use server::Server;
pub use tickets::TicketKeys;
pub use trust::{Chain, Identity, MAX_PEM, Trust};

pub(crate) use acceptor::{DOT, HTTP};
pub(crate) use go_text::told;
