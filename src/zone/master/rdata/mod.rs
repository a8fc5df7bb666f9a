//! RDATA between its presentation form and wire form.
//!
//! One table, the schema, has the fields of each type. `fields` reads them and `present` writes them; `rare`
//! has the types whose fields depend on each other, and `svcb` the parameters of SVCB and HTTPS.

pub(super) mod base;
pub(super) mod fields;
pub(super) mod present;
pub(super) mod rare;
pub(super) mod schema;
pub(super) mod svcb;
