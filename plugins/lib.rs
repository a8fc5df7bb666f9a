//! The registry: every directive, in the order in which plugins run.
//!
//! The order is CoreDNS's plugin.cfg: what runs first is what an operator moving over expects.
//! To add a plugin: one folder, one `mod` line, one line in [`REGISTRY`].

use chain::Entry::{Built, Known};
use chain::Registry;

/// All directives.
pub const REGISTRY: Registry = &[
    Known("metadata"),
];
