//! Listeners: messages come in, and replies leave.

mod bind;
mod handler;
mod listener;
mod pool;
mod spec;
mod tasks;
mod tcp;
mod udp;

pub use handler::Handler;
pub use listener::Listener;
pub use spec::{Change, ListenSpec, TcpTimeouts, has_tls, is_supported};
