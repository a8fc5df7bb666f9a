//! The limit on nested blocks, which the parser reports and the repair of braces respects.

/// The deepest level of sub-blocks.
pub(super) const MAX_NESTING: usize = 32;
