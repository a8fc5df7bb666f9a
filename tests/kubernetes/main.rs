//! The plugins *kubernetes* and *k8s_external*: the real program beside an API server.
//!
//! The API server is one of our own. With KUBECONFIG in the environment, the tests that need no faults of it run
//! against that one too: `KUBECONFIG=... cargo test --test kubernetes`.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod api;
mod bed;
mod faults;
#[allow(dead_code, reason = "the tests of the program need more of it")]
#[path = "../e2e/kit.rs"]
mod kit;
mod names;
mod objects;
mod proto;
