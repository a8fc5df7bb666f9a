//! The parts of the store, found where they lie.

#[path = "../../plugins/cache/store/ghosts.rs"]
mod ghosts;
#[path = "../../plugins/cache/store/shard.rs"]
mod shard;
#[path = "../../plugins/cache/store/shared.rs"]
mod shared;
#[path = "../../plugins/cache/store/table.rs"]
mod table;

pub(super) use shared::{About, Shared, Space};
