//! System calls without a safe binding: batched datagrams, socket options, and the memory of the process.
//!
//! This crate and `src/wire/prefetch.rs` are the only code with `unsafe`. Its interface is safe: bytes,
//! addresses and lengths.
//!
//! It must never know: queries, replies, or which part of the server calls it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "sockets, and the kernel's files about this process"
)]

mod address;
mod allocator;
mod batch;
pub mod connected;
mod memory;
mod socket;

pub use allocator::{Allocator, ThreadCache, cache_freed_memory};
pub use batch::{BATCH, Batch, Datagram, Sender, Sent};
pub use memory::{release_code, trim_heap, use_huge_pages};
pub use socket::{receive_into, register, request_destination, set_buffers};

/// Octets of the largest datagram that is received whole.
pub const MAX_DATAGRAM: usize = 65_535;
