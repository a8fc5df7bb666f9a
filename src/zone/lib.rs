//! Zones: master files, the store, lookup and denial of existence.
//!
//! A zone is loaded from records (`master` reads them from text) into one flat store that answers
//! by hash. A change makes the next version as an overlay over it (`change`, `patch`); `live` holds the
//! version that serves. Lookup is the algorithm of RFC 1034 section 4.3.2 with DNAME (RFC 6672), wildcards
//! (RFC 4592), empty non-terminals (RFC 8020) and the proofs of NSEC and NSEC3 (RFC 4035, 5155).
//!
//! It must never know: sockets, plugins, configuration. Files are opened by the caller; time is an
//! argument.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

mod at;
mod change;
pub mod check;
mod denial;
pub mod digest;
pub mod listing;
pub mod live;
mod locate;
pub mod lookup;
mod lookup_name;
pub mod master;
mod patch;
pub mod record;
mod records;
pub mod store;
pub mod text;
pub mod transfer;
mod walk;
mod write;

pub use change::{Changes, RecordList, Refused};
pub use listing::{Listed, Lister, Listing};
pub use live::{Live, LiveSet};
pub use locate::locate;
pub use lookup::Outcome;
pub use record::{RecordRef, is_newer};
pub use records::{Records, Rrset, Soa};
pub use store::{Builder, Conflict, PrefetchHints, Unfit, Zone};
