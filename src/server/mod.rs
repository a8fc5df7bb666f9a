//! The server: from configuration to answers.
//!
//! - `plan` turns a Corefile into chains and routers.
//! - `process` owns the sockets and swaps configurations.
//! - `serve` is the single entry of every query.
//! - `router` selects its chain.
//! - `envelope` completes its reply.
//! - `panics` catches panics.
//! - `admin` is the HTTP side.
//! - `baseline` registers the metrics that exist from the start.
//! - `memory` and `descriptors` divide the memory and the file descriptors of the process.
//!
//! It knows every room and no plugin by name.

mod admin;
mod ahead;
mod baseline;
mod block;
mod config;
mod descriptors;
mod envelope;
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
