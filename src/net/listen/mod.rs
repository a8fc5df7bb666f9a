//! Listeners: messages come in, and replies leave.

mod bind;
mod handler;
mod http;
mod http_settings;
mod listener;
mod pool;
mod setup;
mod spec;
mod tasks;
mod tcp;
mod udp;

pub use handler::Handler;
pub use http_settings::HttpSettings;
pub use listener::Listener;
pub use spec::{Change, ListenSpec, TcpTimeouts, has_tls, is_supported, needs_tls};
