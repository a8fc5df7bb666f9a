//! The store: all names of a zone in one arena, and a hash table that finds them.
//!
//! The [`Builder`] (`build`, `scratch`, `encode`, `finish`) writes a [`Zone`]; lookup reads its nodes. The layout
//! of a node is described in `node`.

mod apex;
mod build;
mod encode;
mod finish;
mod hints;
pub(crate) mod node;
mod scratch;
mod table;
mod unfit;
mod zone;

pub use build::Builder;
pub use hints::PrefetchHints;
pub use unfit::{Conflict, Unfit};
pub use zone::Zone;

pub(crate) use apex::{ApexSet, Denial, Nsec3Params};
pub(crate) use encode::{expand, folded, full_name, target};
pub(crate) use finish::own_flags;
pub(crate) use node::relative_hash;
pub(crate) use scratch::Scratch;
pub(crate) use unfit::{ConflictSearch, Part, may_stand_beside_cname};
pub(crate) use zone::{Counts, Overlay};
