//! Where names lie in a zone: cuts, DNAMEs, wildcards, empty non-terminals (RFC 1034 section 4.3.2).

use wire::name::{self, MAX_NAME};
use wire::{Name, Rtype};

use crate::listing::{ListedName, Listing};

/// A zone for the checks.
pub(super) struct Tree<'a> {
    pub(super) listing: &'a Listing,
    pub(super) apex: &'a Name,
}

/// Where a name is.
pub(super) enum Whereabouts<'a> {
    /// Not in the zone.
    Outside,
    /// At or below a delegation.
    Delegated,
    /// Below a DNAME record.
    Renamed,
    /// It has records, or a wildcard has them for it.
    Here(ListedName<'a>),
    /// It has no records, but names below it have.
    Empty,
    /// It does not exist.
    Missing,
}

impl<'a> Tree<'a> {
    /// Whether the name is that of the zone.
    pub(super) fn is_apex(&self, owner: &[u8]) -> bool {
        name::eq(owner, self.apex.as_wire())
    }

    /// Looks a name up as a server would.
    pub(super) fn locate(&self, owner: &[u8]) -> Whereabouts<'a> {
        let apex = self.apex.as_wire();
        if !name::is_under(owner, apex) {
            return Whereabouts::Outside;
        }
        // From the name next to the apex down to the name itself.
        let mut starts = [0u8; 128];
        let mut count = 0;
        for (at, _) in name::label_starts(&owner[..owner.len() - apex.len()]) {
            starts[count] = at as u8;
            count += 1;
        }
        let mut encloser = apex;
        for &start in starts[..count].iter().rev() {
            let ancestor = &owner[usize::from(start)..];
            let Some(found) = self.listing.name(ancestor) else {
                if self.listing.has_name(ancestor) {
                    encloser = ancestor;
                    continue;
                }
                return self.wildcard(encloser);
            };
            if found.has(Rtype::NS) {
                return Whereabouts::Delegated;
            }
            if start > 0 && found.has(Rtype::DNAME) {
                return Whereabouts::Renamed;
            }
            encloser = ancestor;
        }
        match self.listing.name(owner) {
            Some(found) => Whereabouts::Here(found),
            None => Whereabouts::Empty,
        }
    }

    fn wildcard(&self, encloser: &[u8]) -> Whereabouts<'a> {
        let mut owner = Vec::with_capacity(MAX_NAME + 2);
        owner.extend_from_slice(b"\x01*");
        owner.extend_from_slice(encloser);
        match self.listing.name(&owner) {
            Some(found) => Whereabouts::Here(found),
            None => Whereabouts::Missing,
        }
    }

    /// Whether the name has addresses in the text, glue included.
    pub(super) fn has_address(&self, owner: &[u8]) -> bool {
        self.listing.name(owner).is_some_and(has_address)
    }
}

/// Whether one of the records is an address.
pub(super) fn has_address(name: ListedName<'_>) -> bool {
    name.has(Rtype::A) || name.has(Rtype::AAAA)
}

/// Follows names in canonical order, and knows for each whether it lies below a cut or a DNAME.
#[derive(Default)]
pub(super) struct Descent<'a> {
    cut: Option<&'a [u8]>,
    dname: Option<&'a [u8]>,
}

/// What a name of a zone is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role<'a> {
    /// Authoritative data.
    Own,
    /// A delegation.
    Cut,
    /// Below the delegation of this name.
    BelowCut(&'a [u8]),
    /// Below the DNAME record of this name.
    BelowDname(&'a [u8]),
}

impl<'a> Descent<'a> {
    /// The role of the next name.
    pub(super) fn role(&mut self, name: ListedName<'a>, is_apex: bool) -> Role<'a> {
        let owner = name.owner();
        let below = |above: Option<&'a [u8]>| {
            above.filter(|above| owner.len() > above.len() && name::is_under(owner, above))
        };
        if let Some(cut) = below(self.cut) {
            return Role::BelowCut(cut);
        }
        if let Some(dname) = below(self.dname) {
            return Role::BelowDname(dname);
        }
        if name.has(Rtype::DNAME) {
            self.dname = Some(owner);
        }
        if name.has(Rtype::NS) && !is_apex {
            self.cut = Some(owner);
            return Role::Cut;
        }
        Role::Own
    }
}
