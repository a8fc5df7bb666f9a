//! The registry: every directive, in the order in which plugins run.
//!
//! The order is CoreDNS's: what runs first is what an operator moving over expects. To add a
//! plugin: one folder, one `mod` line, one line in `ENTRIES`.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

use chain::Entry::{Built, Known};
use chain::{Entry, Registry};

pub mod acl;
pub mod alternate;
pub mod any;
pub mod auto;
pub mod autopath;
pub mod bind;
pub mod bufsize;
pub mod cache;
pub mod cancel;
pub mod chaos;
pub mod debug;
pub mod dns64;
pub mod dnstap;
pub mod dynupdate;
pub mod erratic;
pub mod errors;
pub mod fanout;
pub mod file;
pub mod filter;
pub mod forward;
pub mod geoip;
pub mod grpc;
pub mod header;
pub mod health;
pub mod hosts;
pub mod https;
pub mod k8s_external;
pub mod kubernetes;
pub mod loadbalance;
pub mod local;
pub mod log;
pub mod r#loop;
pub mod memory;
pub mod metadata;
pub mod minimal;
pub mod multisocket;
pub mod nsid;
pub mod on;
pub mod pprof;
pub mod prometheus;
pub mod ready;
pub mod records;
pub mod redisc;
pub mod reload;
pub mod rewrite;
pub mod root;
pub mod secondary;
pub mod template;
pub mod timeouts;
pub mod tls;
pub mod trace;
pub mod transfer;
pub mod tsig;
pub mod view;
pub mod whoami;

/// All directives. Those that are only `Known` give an error that says so.
pub const REGISTRY: Registry = Registry::new(ENTRIES);

const ENTRIES: &[Entry] = &[
    Built(&root::PLUGIN),
    Built(&metadata::PLUGIN),
    // CoreDNS lists it last; like these two it is no part of the chain, and others need its name.
    Built(&view::PLUGIN),
    Built(&geoip::PLUGIN),
    Built(&cancel::PLUGIN),
    Known("proxyproto"),
    Known("quic"),
    Known("grpc_server"),
    Built(&https::PLUGIN),
    Known("https3"),
    Built(&timeouts::PLUGIN),
    Built(&multisocket::PLUGIN),
    Built(&reload::PLUGIN),
    Built(&nsid::PLUGIN),
    Built(&bufsize::PLUGIN),
    Built(&bind::PLUGIN),
    Built(&debug::PLUGIN),
    // Not part of CoreDNS; like `debug` it is for the whole process.
    Built(&memory::PLUGIN),
    Built(&trace::PLUGIN),
    Built(&ready::PLUGIN),
    Built(&health::PLUGIN),
    Built(&pprof::PLUGIN),
    Known("shed"),
    Built(&prometheus::PLUGIN),
    Built(&errors::PLUGIN),
    Built(&log::PLUGIN),
    Built(&dnstap::PLUGIN),
    Built(&local::PLUGIN),
    Built(&dns64::PLUGIN),
    Built(&any::PLUGIN),
    Built(&chaos::PLUGIN),
    Built(&loadbalance::PLUGIN),
    Built(&tsig::PLUGIN),
    Built(&rewrite::PLUGIN),
    Built(&autopath::PLUGIN),
    Built(&acl::PLUGIN),
    Built(&cache::PLUGIN),
    // Not part of CoreDNS itself: asked when `cache` does not know, as its own README wants it.
    Built(&redisc::PLUGIN),
    Built(&header::PLUGIN),
    Known("dnssec"),
    Built(&tls::PLUGIN),
    // Not part of CoreDNS. Below `cache`, which so keeps what is left, and below `dnssec`, which signs
    // it; above everything that answers.
    Built(&filter::PLUGIN),
    Built(&minimal::PLUGIN),
    // Not part of CoreDNS itself: outside of all that answer, so it sees what any of them says.
    Built(&alternate::PLUGIN),
    Built(&template::PLUGIN),
    Built(&transfer::PLUGIN),
    Built(&dynupdate::PLUGIN),
    Built(&hosts::PLUGIN),
    // Not part of CoreDNS itself: with `fallthrough` a few records go before whole zones.
    Built(&records::PLUGIN),
    Known("route53"),
    Known("azure"),
    Known("clouddns"),
    Built(&k8s_external::PLUGIN),
    Built(&kubernetes::PLUGIN),
    Built(&file::PLUGIN),
    Built(&auto::PLUGIN),
    Built(&secondary::PLUGIN),
    Known("etcd"),
    Built(&r#loop::PLUGIN),
    // Not part of CoreDNS itself.
    Built(&fanout::PLUGIN),
    Built(&forward::PLUGIN),
    Built(&grpc::PLUGIN),
    Built(&erratic::PLUGIN),
    Built(&whoami::PLUGIN),
    Built(&on::PLUGIN),
    Known("sign"),
    Known("nomad"),
];
