//! The next version of a zone: an overlay for few changes, a flat version for many.

use std::collections::HashMap;
use std::sync::Arc;

use super::changes::{Changes, Refused};
use super::draft::Draft;
use super::edits::{self, Edit};
use crate::store::{Builder, Scratch, Zone};

/// An overlay of more names than this part of the flat version is due to be folded.
const PART: usize = 16;
/// An overlay of fewer names is not worth folding.
const FEW: usize = 64;
/// From this part on changes make a flat version at once.
const MANY: usize = 4;

impl Zone {
    /// The version that follows by `changes`. This one stays as it is.
    ///
    /// The cost is that of the names that change, unless these are a large part of the zone, or the zone
    /// begins or ends to be signed: then all of it is copied.
    ///
    /// # Errors
    /// A record that goes is missing, one that comes is not of this zone, or the result is no zone.
    pub fn apply(self: &Arc<Self>, changes: &Changes) -> Result<Self, Refused> {
        let edits = edits::by_name(self, changes)?;
        let changed = edits.len() + self.overlay.as_ref().map_or(0, |over| over.names.len());
        if changed > FEW + self.flat().names() / MANY {
            return self.copy(edits);
        }
        let mut draft = Draft::over(self);
        for edit in &edits {
            draft.edit(edit)?;
        }
        match draft.finish()? {
            Some(next) => Ok(next),
            None => self.copy(edits),
        }
    }

    /// The same records as a flat version.
    pub fn fold(&self) -> Result<Self, Refused> {
        self.copy(Vec::new())
    }

    /// Whether so many names differ from the flat version below that a new one is worth its cost.
    pub fn fold_due(&self) -> bool {
        self.overlay.as_ref().is_some_and(|overlay| {
            overlay.names.len() > FEW + overlay.base.names() / PART
                || overlay.names.memory() > (FEW << 10) + overlay.base.memory() / PART
        })
    }

    /// A flat version with these changes.
    fn copy(&self, edits: Vec<Edit<'_>>) -> Result<Self, Refused> {
        let mut builder = Builder::like(self);
        let mut scratch = Scratch::default();
        let mut left: HashMap<&[u8], &Edit<'_>> =
            edits.iter().map(|edit| (&*edit.name, edit)).collect();
        let mut result = Ok(());
        self.each_node(|node| match left.remove(node.name()).filter(|_| result.is_ok()) {
            Some(edit) => {
                result = edit.merge(self, Some(node), &mut scratch);
                builder.add_scratch(node.name(), &mut scratch);
            }
            None => builder.add_node(node),
        });
        result?;
        for edit in edits.iter().filter(|edit| left.contains_key(&*edit.name)) {
            edit.merge(self, None, &mut scratch)?;
            builder.add_scratch(&edit.name, &mut scratch);
        }
        builder.finish().map_err(Refused::Unfit)
    }
}
