//! A plugin as a member of a chain.

use crate::ServeDns;

/// One plugin at its place.
pub struct Link {
    /// The directive's name.
    pub name: &'static str,
    /// The plugin.
    pub plugin: Box<dyn ServeDns>,
}
