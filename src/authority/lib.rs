//! Authority: everything that answers from zones in memory answers here.
//!
//! A plugin makes zones and keeps them current. An [`Authority`] over these zones is then its link in the
//! chain: it looks names up, follows aliases out of a zone, passes on what `fallthrough` allows, refuses what
//! a zone does not answer, and fails queries of a zone that has no version. What only the plugin can do, it
//! does as the [`Keeper`] of its zones. The room also knows all zones of the server, for metrics and for the
//! operator.
//!
//! It must never know: files, configuration syntax, sockets, any plugin by name.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

mod folds;
mod follower;
mod list;
mod metrics;
mod roster;
mod serve;
mod zones;

pub use list::serve_list;
pub use roster::{Roster, Shown, now};
pub use serve::{Authority, Keeper, NoPrimary, Options, Outside, TakesMessages};
pub use zones::{Changing, Fixed, Zones};
