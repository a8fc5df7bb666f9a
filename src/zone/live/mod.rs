//! Zones that serve and change: the current version, what led to it, and who is told.

mod history;
mod serving;
mod set;
mod status;

pub use serving::{Listener, Live, PREFETCH_STAGES};
pub use set::LiveSet;
pub use status::Status;
