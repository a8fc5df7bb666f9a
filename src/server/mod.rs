//! The server: from configuration to answers.
//!
//! `plan` turns a Corefile into chains and routers, `process` keeps sockets and swaps
//! configurations, `serve` is the one entry of every query, `router` picks its chain, `finish`
//! completes its reply, `panics` catches what goes wrong, `admin` is the HTTP side, `memory` shares out
//! what the process may use.
//!
//! It knows every room and no plugin by name.

mod admin;
mod ahead;
mod config;
mod finish;
mod keys;
mod lint;
mod memory;
mod panics;
mod plan;
mod process;
mod router;
mod serve;
pub mod sim;

pub(crate) use config::SiteNumbers;
pub(crate) use lint::lint;
pub(crate) use memory::allowed as allowed_memory;
pub(crate) use process::{BUILTIN, prepare};
pub use process::{Options, Process, Refused, Source};
