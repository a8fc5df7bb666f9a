//! The next version of a zone.

use wire::Name;

use super::changes::{Changes, Refused};
use crate::store::{Builder, Zone, same_rdata};

impl Zone {
    /// The version that follows by `changes`. This one stays as it is.
    ///
    /// # Errors
    /// A record that goes is missing, one that comes is not of this zone, or the result is no zone.
    pub fn apply(&self, changes: &Changes) -> Result<Self, Refused> {
        let mut removed: Vec<_> = changes.removed().iter().map(|record| (record, false)).collect();
        let mut builder = Builder::new(self.apex(), self.memory() as u64);
        let mut records = self.records();
        while let Some(record) = records.next_record() {
            let gone = removed.iter_mut().find(|(other, used)| {
                !used
                    && other.rtype == record.rtype
                    && wire::name::eq(other.owner, record.owner)
                    && same_rdata(record.rtype, other.rdata, record.rdata)
            });
            match gone {
                Some(found) => found.1 = true,
                None => builder.add(record).map_err(Refused::Foreign)?,
            }
        }
        if let Some((record, _)) = removed.iter().find(|(_, used)| !used) {
            let owner = Name::from_wire(record.owner).unwrap_or_else(|_| Name::root());
            return Err(Refused::Missing { owner, rtype: record.rtype });
        }
        for record in changes.added().iter() {
            builder.add(record).map_err(Refused::Foreign)?;
        }
        builder.finish().map_err(Refused::Unfit)
    }
}
