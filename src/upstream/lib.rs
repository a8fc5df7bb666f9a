//! Asks other servers, for the plugins that do.
//!
//! A [`Group`] sends a query to one of its upstreams, to another one if that fails, and takes the
//! first reply that answers the question. Which queries those are, and what becomes of the reply, is
//! the plugin's business: this never keeps answers and never follows referrals. What an
//! upstream said is changed in two ways: records that do not belong to the question are left out, and
//! data of zones that this server is authoritative for is replaced by its own.
//!
//! | room | what it does |
//! |---|---|
//! | `setup` | builds a group from a directive |
//! | `supervise` | checks failed upstreams, follows hosts and files |
//! | `ask` | asks the upstreams of a group until one answers |
//! | `grpc` | the same over gRPC |
//! | `roster` | the upstreams of a group: connections, state, metrics |
//! | `locate` | reads files, resolves hosts, prepares TLS |
//! | `health` | response times, silence, circuit breaker |
//! | `message` | the message sent, and what is taken from a reply |
//! | `config` | parses the directive to plain values |
//!
//! A room imports only from rooms below it in this table.
//!
//! It must never know: any plugin, what is in zones, which queries are asked here.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

mod ask;
mod config;
mod grpc;
mod health;
mod locate;
mod message;
mod roster;
mod server;
mod setup;
mod supervise;

pub use ask::{Group, baseline_metrics};
pub use config::{
    Breaker, Config, Health, Hedge, MakeObserver, MetricNames, Observer, Owner, PluginOptions,
    Policy, Tls, UpstreamOptions, Wanted, at_least_one, rcode, server_name, tls,
};
pub use grpc::{GrpcConfig, GrpcGroup, GrpcOwner};
pub use roster::PerRcode;
pub use server::{Server, tls_client};
