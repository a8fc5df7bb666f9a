//! Upstreams over gRPC, for the plugin that queries them.
//!
//! A [`GrpcGroup`] sends a query to one upstream. If that fails, the next one is queried; if it is
//! slow, the next one is queried too, and the first reply counts. An upstream that did not answer
//! comes last until it does. What happens to the reply is the plugin's business.
//!
//! It must never know: the wire format of gRPC, nor whose query it is.

mod config;
mod group;
mod metrics;
mod setup;
mod upstream;

pub use config::GrpcConfig;
pub use group::GrpcGroup;
pub use metrics::GrpcOwner;
