//! DNS messages in HTTP (RFC 8484), of whichever version.
//!
//! It must never know: sockets, TLS, versions of HTTP.

mod template;
mod web;

pub use template::Template;
pub use web::{Method, Resource};

pub(crate) use web::{Answer, Reading};
