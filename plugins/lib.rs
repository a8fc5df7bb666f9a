//! The registry: every directive, in the order in which plugins run.
//!
//! The order is CoreDNS's: what runs first is what an operator moving over expects. To add a
//! plugin: one folder, one `mod` line, one line in [`REGISTRY`].

use chain::Entry::{Built, Known};
use chain::Registry;

pub mod bind;
pub mod cache;
pub mod debug;
pub mod file;
pub mod forward;
pub mod health;
pub mod r#loop;
pub mod metadata;
pub mod prometheus;
pub mod ready;
pub mod reload;
pub mod root;

/// All directives. Those that are only `Known` give an error that says so.
pub const REGISTRY: Registry = &[
    Built(&root::PLUGIN),
    Built(&metadata::PLUGIN),
    Known("geoip"),
    Known("cancel"),
    Known("proxyproto"),
    Known("quic"),
    Known("grpc_server"),
    Known("https"),
    Known("https3"),
    Known("timeouts"),
    Known("multisocket"),
    Built(&reload::PLUGIN),
    Known("nsid"),
    Known("bufsize"),
    Built(&bind::PLUGIN),
    Built(&debug::PLUGIN),
    Known("trace"),
    Built(&ready::PLUGIN),
    Built(&health::PLUGIN),
    Known("pprof"),
    Known("shed"),
    Built(&prometheus::PLUGIN),
    Known("errors"),
    Known("log"),
    Known("dnstap"),
    Known("local"),
    Known("dns64"),
    Known("any"),
    Known("chaos"),
    Known("loadbalance"),
    Known("tsig"),
    Known("rewrite"),
    Known("autopath"),
    Known("acl"),
    Built(&cache::PLUGIN),
    Known("header"),
    Known("dnssec"),
    Known("tls"),
    Known("minimal"),
    Known("template"),
    Known("transfer"),
    Known("hosts"),
    Known("route53"),
    Known("azure"),
    Known("clouddns"),
    Known("k8s_external"),
    Known("kubernetes"),
    Built(&file::PLUGIN),
    Known("auto"),
    Known("secondary"),
    Known("etcd"),
    Built(&r#loop::PLUGIN),
    Built(&forward::PLUGIN),
    Known("grpc"),
    Known("erratic"),
    Known("whoami"),
    Known("on"),
    Known("sign"),
    Known("view"),
    Known("nomad"),
];
