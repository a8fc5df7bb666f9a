//! Names that a program feeds: zones without a file, whose records come and go with objects elsewhere.
//!
//! A [`Feed`] has one zone or thousands, each with a SOA record and serial numbers of the feed's making
//! ([`Origin`]). **Owners** state records: an object of a cluster, an instance of a service, a key of a
//! store ([`Owner`]). What is answered of a name is the union of what its owners state:
//!
//! - Equal records count once, and stay until the last owner takes them back.
//! - The TTL of a set is the lowest that any of its owners gives (RFC 2181 section 5.2).
//! - A CNAME record beside others is left out (RFC 1034 section 3.6.2). Of CNAME, DNAME and SOA records
//!   that differ, the one with the smallest RDATA is answered. What is left out is reported, and answered
//!   as soon as nothing contradicts it.
//! - Records outside the zones, malformed ones, and types that only a signer makes are left out and
//!   reported.
//!
//! The rules do not ask who came first: the same owners have the same answers after a restart.
//!
//! # Batches
//!
//! ```
//! use feed::{Feed, Limits, Origin};
//! use wire::{Name, NewRecord, Rdata, name};
//!
//! let zone = Name::from_text("svc.example.")?;
//! let feed = Feed::new(vec![Origin::new(&zone, 5)], Limits::default());
//! let instances = feed.source();
//!
//! // Everything there is: what is not in the list goes. Many seconds and pages may lie between.
//! let mut batch = feed.begin();
//! batch.list(instances);
//! let web = name!("web.svc.example.");
//! let address = Rdata::A([192, 0, 2, 1].into());
//! batch.upsert(instances.owner(b"web/1"), [NewRecord::new(web, 5, address)])?;
//! batch.commit(1_790_000_000)?;
//!
//! // One that changes: `upsert` replaces all that the owner said before.
//! let mut batch = feed.begin();
//! batch.remove(instances.owner(b"web/1"))?;
//! let committed = batch.commit(1_790_000_001)?;
//! assert_eq!((committed.added, committed.removed), (0, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A batch becomes visible at once or not at all, zone by zone. Readers take [`zone::Live`] versions from
//! [`Feed::zones`] and no lock. The work of a commit is proportional to the names that it changes and the
//! records that these have. The first batch, and one of more than 16 KiB that changes a quarter of what is
//! said, builds the zones anew. [`Limits`] bound names, records and memory; beyond a bound the batch is refused
//! as a whole. At the limit of memory a feed still takes every batch that states no more than before and adds
//! no octets of records. What is removed makes room again once it is a 64th of the limit.
//!
//! # What it holds
//!
//! The zones hold what is answered; the feed holds what each owner states, packed, and nothing for each
//! name or record. In octets:
//!
//! | | feed | zones |
//! |---|---|---|
//! | an owner | 5, its key, and 11 to 13 in the index | |
//! | a name that an owner states | its first label, and 2 or 3 | 15 to 25, and its labels |
//! | a reverse name, a name with dashes for dots | 5, and 6 or 7 | as others |
//! | an address | 5 (IPv6: 17) | 16 (28), and 10 for each set if the name has more than one record |
//! | a PTR or SRV record whose target the owner states before | 3, 9 | 12, 18, and the target |
//! | an end of names that owners share | about 60, once | |
//! | a name that two owners state equally, with two TTLs or a conflict | about 64, and its records | |
//!
//! So 10,000 services with 150,000 endpoints, each with a name and a reverse name, take 37 octets for each
//! endpoint in the feed, that is 5.6 MB, and 190 in the zones, 28.6 MB. Of these 28.6 MB the targets of PTR
//! records take about 7, the labels of names 6.5, what stands before each RDATA 4.6, and the
//! tables of names 4.2. An owner with one address takes 45 octets in the feed. Nothing is allocated for one owner, name or record. `tests/memory.rs` holds it there.
//!
//! It must never know: sockets, plugins, configuration, where records come from. Time is an argument.

mod batch;
mod commit;
mod disputed;
mod feed;
mod origin;
mod owners;
mod packed;
mod report;
mod union;

pub use batch::Batch;
pub use feed::Feed;
pub use origin::{Origin, Serial};
pub use owners::{MAX_KEY, Owner, Source};
pub use report::{Committed, LeftOut, Limits, MAX_NAMED, MAX_PACKED, MAX_SET, Refused, Usage, Why};
