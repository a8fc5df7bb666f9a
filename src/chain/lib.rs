//! The plugin interface: everything that a plugin sees of the server.
//!
//! A plugin implements [`ServeDns`], declares itself with a [`Kind`] and is set up from its
//! directives through [`Setup`]. A [`Chain`] runs the plugins of one server block: `on_query` on the
//! way in, `on_reply` on the way out, and `serve_dns` only for plugins that must wait.
//!
//! It must never know: any plugin by name, the router, sockets other than through `net`'s client.

pub mod admin;
mod guard;
pub mod http;
pub mod kept;
pub mod memory;
pub mod registry;
pub mod resolver;
pub mod roles;
pub mod run;
pub mod settings;
pub mod setup;
mod step;
pub mod zones;

pub use exchange::{BoxFuture, Query};
pub use http::{HttpAddress, HttpEndpoint, HttpHandler, HttpReply, HttpRequest};
pub use kept::Kept;
pub use registry::{Entry, Kind, Registry};
pub use resolver::{Resolve, Resolver};
pub use roles::{
    CollectMetadata, Limit, OnNotify, OnUpdate, Ready, Roles, SearchPath, Sees, ServesZones, Tap,
    UpstreamExchange, Verdict,
};
pub use run::ahead::Batch;
pub use run::{Chain, Link, Next, ServeDns, ahead, spans, yield_to_batch};
pub use settings::{BlockKeys, Filter, KeyRef, Setting, Settings, View};
pub use setup::{ChainRef, Key, Services, Setup};
pub use step::{Served, Step};
pub use wire::{Clock, Failure, Reply};
pub use zones::{Fallthrough, OwnZones, ZoneSet};
