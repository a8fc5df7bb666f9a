//! The parts of the store, found where they lie.

#[path = "../../plugins/cache/store/ghosts.rs"]
mod ghosts;
#[path = "../../plugins/cache/store/hints.rs"]
mod hints;
#[path = "../../plugins/cache/store/queue.rs"]
mod queue;
#[path = "../../plugins/cache/store/quota.rs"]
mod quota;
#[path = "../../plugins/cache/store/shard.rs"]
mod shard;
#[path = "../../plugins/cache/store/shared.rs"]
mod shared;
#[path = "../../plugins/cache/store/tenant.rs"]
mod tenant;

pub(super) use shared::{SharedStore, TenantInfo};
pub(super) use tenant::Tenant;
