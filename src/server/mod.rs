//! The server: from configuration to answers.
//!
//! - `plan` turns a Corefile into chains and routers.
//! - `process` owns the sockets and swaps configurations; its `listeners` change with them, `admin` is
//!   the HTTP side, `memory` and `descriptors` divide what the process has of both.
//! - `serve` is the single entry of every query.
//! - `router` selects its chain.
//! - `signature` judges its signature.
//! - `envelope` completes its reply.
//! - `panics` catches panics.
//! - `baseline` registers the metrics that exist from the start.
//!
//! It knows every room and no plugin by name.

#![allow(
    clippy::disallowed_methods,
    reason = "the process owns its clock and the tasks of its configurations"
)]

mod ahead;
mod baseline;
mod block;
mod config;
mod envelope;
mod panics;
mod plan;
mod process;
mod router;
mod serve;
mod signature;
pub mod sim;

pub(crate) use config::ListenerIds;
pub(crate) use plan::lint;
pub(crate) use process::{BUILTIN, allowed_memory, prepare};
pub use process::{CorefileSource, Options, Process, Refused};
