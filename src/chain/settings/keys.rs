//! The TSIG keys of a server block (RFC 8945). They may change while the block serves.

use std::sync::Arc;

use arc_swap::ArcSwap;
use exchange::Query;
use tsig::{Key, Keyring};
use wire::Name;

/// The keys of a server block.
#[derive(Debug, Default)]
pub struct BlockKeys(ArcSwap<Keyring>);

impl BlockKeys {
    /// These keys.
    pub fn new(keys: Keyring) -> Self {
        Self(ArcSwap::from_pointee(keys))
    }

    /// The keys as they are now.
    pub fn load(&self) -> Arc<Keyring> {
        self.0.load_full()
    }

    /// Replaces all keys. Messages that were verified before stay verified.
    pub fn replace(&self, keys: Keyring) {
        self.0.store(Arc::new(keys));
    }

    /// The key of this name, in lower case and wire form.
    pub fn find(&self, name: &[u8]) -> Option<Arc<Key>> {
        self.0.load().find(name).cloned()
    }
}

/// A key of the block by name: what other plugins keep of `key NAME`.
#[derive(Clone, Debug)]
pub struct KeyRef {
    name: Name,
    keys: Arc<BlockKeys>,
}

impl KeyRef {
    /// The key `name` of a block with these keys.
    pub fn new(name: &Name, keys: Arc<BlockKeys>) -> Self {
        Self { name: name.to_lower(), keys }
    }

    /// Its name, in lower case.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The key as it is now; `None` if it was removed since the configuration was read.
    pub fn get(&self) -> Option<Arc<Key>> {
        self.keys.find(self.name.as_wire())
    }

    /// Whether the query is signed with this key, and its signature is good.
    pub fn has_signed(&self, query: &Query) -> bool {
        query.signer_key() == Some(self.name.as_wire())
    }
}
