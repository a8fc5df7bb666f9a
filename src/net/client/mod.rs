//! The client side: sends queries to upstreams, over the system's network or over a test's.
//!
//! | room | what it does |
//! |---|---|
//! | `connections` | one door for all that is not a datagram |
//! | `grpc` | DNS over gRPC |
//! | `multiplexed` | HTTPS, QUIC and HTTP/3: each query has a stream of its own |
//! | `stream` | TCP and TLS: queries share a stream of messages, a transfer has one of its own |
//! | `datagram` | UDP, from ports that change |
//! | `http` | DNS messages in requests and responses |
//! | `pooling` | what pools of connections have in common |
//! | `simulated` | upstreams that a test made up |
//! | `socket`, `network`, `error` | sockets, messages to send, errors in Go's words |
//!
//! A room imports only from rooms below it in this table.
//!
//! It must never know: what a message means (beyond its length and id), the health of an upstream.

mod connections;
mod datagram;
mod error;
mod grpc;
mod http;
mod multiplexed;
mod network;
mod pooling;
mod simulated;
mod socket;
mod stream;

pub use connections::{Carried, Connections};
pub use datagram::{DatagramPool, Watch};
pub use error::{ConnectionsFull, InvalidReply, is_shortage, number, words};
pub use grpc::{GrpcClient, GrpcError, GrpcStatus, ServerAddress};
pub use http::{Method, Resource, Template};
pub use multiplexed::{Over, QuicSession};
pub use network::{Accept, LocalEnd, More, Network, Outgoing, Patience, Simulated};
pub use pooling::PoolOptions;
pub use socket::any_source;
pub use stream::{Conversation, Reused, StreamPool, Waits};
