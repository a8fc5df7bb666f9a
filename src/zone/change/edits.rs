//! Changes, name by name.

use wire::{Class, Name, name};

use super::changes::{Changes, Refused};
use crate::RecordRef;
use crate::store::node::Node;
use crate::store::{Scratch, Zone, expand, same_rdata};

/// The changes of one name.
pub(super) struct Edit<'c> {
    /// Lower-case labels before the apex.
    pub(super) name: Box<[u8]>,
    removed: Vec<RecordRef<'c>>,
    added: Vec<RecordRef<'c>>,
}

/// The changes of each name, every name once.
///
/// # Errors
/// A record that comes is of another class than IN, or is outside of the zone.
pub(super) fn by_name<'c>(zone: &Zone, changes: &'c Changes) -> Result<Vec<Edit<'c>>, Refused> {
    let apex = zone.apex().as_wire();
    let mut all = Vec::with_capacity(changes.removed().len() + changes.added().len());
    for (is_new, list) in [(false, changes.removed()), (true, changes.added())] {
        for record in list.iter() {
            let owner = record.owner;
            if !name::is_under(owner, apex) {
                let why = format!("`{}` is not in zone `{}`", name::Text(owner), zone.apex());
                return Err(Refused::Foreign(why));
            }
            if record.class != Class::IN {
                let (shown, rtype) = (name::Text(owner), record.rtype);
                let why = format!("the {rtype} record of `{shown}` is not of class IN");
                return Err(Refused::Foreign(why));
            }
            let own = owner[..owner.len() - apex.len()].to_ascii_lowercase();
            all.push((own.into_boxed_slice(), is_new, record));
        }
    }
    // Stable: records of a name stay in the order of the changes.
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let mut edits: Vec<Edit<'c>> = Vec::new();
    for (name, is_new, record) in all {
        match edits.last_mut() {
            Some(last) if last.name == name => last.push(is_new, record),
            _ => {
                let mut edit = Edit { name, removed: Vec::new(), added: Vec::new() };
                edit.push(is_new, record);
                edits.push(edit);
            }
        }
    }
    Ok(edits)
}

impl<'c> Edit<'c> {
    fn push(&mut self, is_new: bool, record: RecordRef<'c>) {
        if is_new { self.added.push(record) } else { self.removed.push(record) }
    }

    /// Puts the records that the name has afterwards into `scratch`. `before` is its node, if it has one.
    ///
    /// # Errors
    /// A record that goes is not there.
    pub(super) fn merge(
        &self,
        zone: &Zone,
        before: Option<Node<'_>>,
        scratch: &mut Scratch,
    ) -> Result<(), Refused> {
        let mut left: Vec<&RecordRef<'_>> = self.removed.iter().collect();
        let mut rdata = Vec::new();
        for set in before.into_iter().flat_map(Node::sets) {
            for record in set.records() {
                rdata.clear();
                expand(set, record, zone.apex().as_wire(), &mut rdata);
                let goes = |gone: &&RecordRef<'_>| {
                    gone.rtype == set.rtype && same_rdata(set.rtype, gone.rdata, &rdata)
                };
                match left.iter().position(goes) {
                    Some(at) => {
                        left.swap_remove(at);
                    }
                    None => scratch.push(set.rtype, Class::IN, record.ttl, &rdata),
                }
            }
        }
        if let Some(missing) = left.first() {
            scratch.clear();
            let owner = Name::from_wire(missing.owner).unwrap_or_else(|_| zone.apex().clone());
            return Err(Refused::Missing { owner, rtype: missing.rtype });
        }
        for record in &self.added {
            if !scratch.set_ttl(record.rtype, record.rdata, record.ttl) {
                scratch.push(record.rtype, Class::IN, record.ttl, record.rdata);
            }
        }
        Ok(())
    }
}
