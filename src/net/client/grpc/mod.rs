//! DNS over gRPC.
//!
//! It must never know: what a message means.

mod call;
mod http2;

pub use call::{GrpcClient, GrpcError, GrpcStatus};
pub use http2::ServerAddress;
