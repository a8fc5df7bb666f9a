//! A client of the Kubernetes API: reads lists of objects, and follows their changes.
//!
//! The crate `kube-client` knows how to reach an API server: kubeconfig files, tokens, certificates, the program
//! that makes a token, TLS. What comes back is read here, because nothing of it is to be kept: a response is a
//! stream of octets, of which one object at a time is in memory, and of an object only what names need
//! ([`cluster::objects`]). Lists and watches are in protobuf where the server has it, else in JSON.
//!
//! [`follow`] lists a [`Resource`] and watches it from the version of the list on, for ever:
//!
//! | event | what follows |
//! |---|---|
//! | a watch ends, or its connection | a watch from the last version that was seen; bookmarks keep that fresh |
//! | 410 Gone | a list; what it does not have goes at its end |
//! | 410 Gone within a list of pages | the list begins again, without pages |
//! | no connection, 5xx | the same again after a pause of at most 0.8 seconds |
//! | 401, 403, 404, 429 | the same again after a pause of at most 10 seconds, with the credentials read again |
//!
//! [`Status`] says whether there was a whole list, whether there is a watch, since when not, and why.
//!
//! It must never know: DNS, plugins, what objects are for.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

mod access;
mod client;
mod decoded;
mod failure;
mod follow;
mod json;
mod metrics;
mod proto;
mod resource;
mod status;
mod stream;

pub use access::Access;
pub use client::{Api, Limits};
pub use failure::Failure;
pub use follow::follow;
pub use resource::{Kind, Object, Resource};
pub use status::Status;
pub use stream::{Event, Sink};
