//! From a batch to the next versions of the zones.
//!
//! The plan looks at each name that the batch changes: what is said of it is the zone's records there, or
//! the entry of a disputed name, and what owners add and take back. What is answered of it, compared with
//! the zone, are the changes. A plan that builds the zones anew does the same for all names, from what all
//! owners say. Nothing changes before the plan is complete and within the limits.
mod groups;
mod plan;
mod publish;
mod steps;

pub(crate) use steps::commit;
