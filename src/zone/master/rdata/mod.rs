//! RDATA between its presentation form and wire form.
//!
//! One table, the schema, has the fields of each type. `fields` reads them and `present` writes them; `rare`
//! has the types whose fields depend on each other, `svcb` the parameters of SVCB and HTTPS,
//! which `parameters` reads.

pub(super) mod base;
pub(super) mod fields;
mod parameters;
pub(super) mod present;
pub(super) mod rare;
pub(super) mod schema;
pub(super) mod svcb;
