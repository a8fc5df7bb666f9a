//! Changes, name by name.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

use wire::{Class, Name, Rtype, name};

use super::changes::{Changes, Refused};
use crate::RecordRef;
use crate::store::node::Node;
use crate::store::{Scratch, Zone, expand, folded};

/// The changes of one name.
pub(super) struct Edit<'c> {
    /// Lower-case labels before the apex.
    pub(super) name: Box<[u8]>,
    removed: Vec<RecordRef<'c>>,
    added: Vec<RecordRef<'c>>,
}

/// What tells the records of a name apart: type and RDATA.
type Key<'r> = (Rtype, Cow<'r, [u8]>);

fn key(rtype: Rtype, rdata: &[u8]) -> Key<'_> {
    (rtype, folded(rtype, rdata))
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
        let mut removed: HashMap<Key<'_>, Cell<usize>> = HashMap::with_capacity(self.removed.len());
        for record in &self.removed {
            *removed.entry(key(record.rtype, record.rdata)).or_default().get_mut() += 1;
        }
        let take = |rtype: Rtype, rdata: &[u8]| {
            let count = removed.get(&key(rtype, rdata)).filter(|count| count.get() > 0);
            count.inspect(|count| count.set(count.get() - 1)).is_some()
        };
        let mut rdata = Vec::new();
        for set in before.into_iter().flat_map(Node::sets) {
            for record in set.records() {
                rdata.clear();
                expand(set, record, zone.apex().as_wire(), &mut rdata);
                if !take(set.rtype, &rdata) {
                    scratch.push(set.rtype, Class::IN, record.ttl, &rdata);
                }
            }
        }
        if let Some(missing) = self.removed.iter().find(|gone| take(gone.rtype, gone.rdata)) {
            scratch.clear();
            let owner = Name::from_wire(missing.owner).unwrap_or_else(|_| zone.apex().clone());
            return Err(Refused::Missing { owner, rtype: missing.rtype });
        }
        scratch.put_all(&self.added);
        Ok(())
    }
}
