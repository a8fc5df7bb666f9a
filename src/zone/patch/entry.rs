//! A changed name: its node, or the note that the name is gone.

use std::sync::Arc;

use crate::store::node::{HEAD, Node, TOMBSTONE};

/// Octets before the node: its hash, the offset of the node that it replaces, and the children.
const BEFORE: usize = 20;

/// One name that differs from the base, immutable.
#[derive(Clone)]
pub(crate) struct Entry(Arc<[u8]>);

impl Entry {
    /// An entry with this node, a whole one in the layout of the arena. `base_at` is the offset of the
    /// base's node of the same name, 0 if there is none. `children` counts the names directly below that
    /// came since the base, minus those that went.
    pub(crate) fn new(hash: u64, base_at: u64, children: i32, node: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(BEFORE + node.len());
        bytes.extend_from_slice(&hash.to_le_bytes());
        bytes.extend_from_slice(&base_at.to_le_bytes());
        bytes.extend_from_slice(&children.to_le_bytes());
        bytes.extend_from_slice(node);
        Self(bytes.into())
    }

    /// The note that a name of the base, at offset `base_at`, is gone.
    pub(crate) fn gone(hash: u64, base_at: u64, children: i32, name: &[u8]) -> Self {
        let mut node = Vec::with_capacity(HEAD + name.len());
        node.extend_from_slice(&[TOMBSTONE, name.len() as u8, 0, 0]);
        node.extend_from_slice(name);
        Self::new(hash, base_at, children, &node)
    }

    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Offset of the base's node of this name, 0 if there is none.
    pub(crate) fn base_at(&self) -> u64 {
        self.0[8..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// The names directly below that came since the base, minus those that went.
    pub(crate) fn children(&self) -> i32 {
        self.0[16..].first_chunk().map_or(0, |bytes| i32::from_le_bytes(*bytes))
    }

    /// The node; a tombstone if the name is gone.
    #[inline]
    pub(crate) fn node(&self) -> Node<'_> {
        Node::at(&self.0, BEFORE as u64)
    }

    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.node().has(TOMBSTONE)
    }

    /// Bytes of memory, the counters of the allocation included.
    pub(crate) fn memory(&self) -> usize {
        self.0.len() + 16
    }
}
