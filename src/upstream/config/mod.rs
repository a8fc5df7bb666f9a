//! The upstreams of a directive and their options, as plain values.
//!
//! It must never know: files, the network, clocks, nor what the values do.

mod group;
mod options;
mod owner;
mod parse;
mod spec;
mod values;

pub use group::{Config, PluginOptions};
pub use options::UpstreamOptions;
pub use owner::{MakeObserver, MetricNames, Observer, Owner};
pub use parse::{at_least_one, rcode, server_name, tls};
pub use values::{Breaker, Health, Hedge, Policy, Tls, Wanted};

pub(crate) use options::UpstreamConfig;
pub(crate) use spec::read as read_spec;
pub(crate) use spec::{DNS_PORT, HTTPS_PORT, Scheme, Target, UpstreamSpec, nameserver, target};
pub(crate) use values::MAX_UPSTREAMS;

#[cfg(test)]
pub(crate) use owner::TEST;
#[cfg(test)]
pub(crate) use spec::token;
