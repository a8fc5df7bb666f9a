//! Catalog zones (RFC 9432): the members that a zone lists.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use wire::{Name, Rtype, name};
use zone::Zone;

/// The members of a catalog zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    /// The member zones, by name in lower case.
    pub(super) members: BTreeMap<Name, Entry>,
}

/// A member as its catalog lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The label of its node in lower case. Another one means another zone of the same name.
    pub(super) id: Box<[u8]>,
    /// The catalog that may take the member over (the property `coo`).
    pub(super) coo: Option<Name>,
}

/// Why a zone is no catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The property `version` is missing, is there twice, or is not the one that this server knows.
    Version(&'static str),
    /// A node has several PTR records.
    Node(Name),
    /// A member is listed twice.
    Twice(Name),
    /// There are more members than the bound.
    TooMany(usize),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(why) => write!(f, "its `version` property {why} (RFC 9432 section 4.2.1)"),
            Self::Node(owner) => {
                write!(f, "`{owner}` has several PTR records (RFC 9432 section 4.1)")
            }
            Self::Twice(member) => {
                write!(f, "it lists the member `{member}` twice (RFC 9432 section 4.1)")
            }
            Self::TooMany(most) => {
                write!(f, "it lists more than {most} members; raise `max_members` if it should")
            }
        }
    }
}

impl Catalog {
    /// Reads a zone. Properties that this server does not know mean nothing.
    ///
    /// # Errors
    /// It is no catalog, or a broken one.
    pub(super) fn read(zone: &Zone, most: usize) -> Result<Self, Broken> {
        let depth = name::label_count(zone.apex().as_wire());
        let mut versions = 0;
        let mut known_version = false;
        let mut nodes: HashMap<Box<[u8]>, Name> = HashMap::new();
        let mut owners: HashMap<Box<[u8]>, Option<Name>> = HashMap::new();
        let mut records = zone.records();
        while let Some(record) = records.next_record() {
            let count = name::label_count(record.owner).saturating_sub(depth);
            if count == 0 || count > 3 {
                continue;
            }
            let labels: Vec<Box<[u8]>> =
                name::labels(record.owner).take(count).map(|l| l.to_ascii_lowercase().into()).collect();
            let labels: Vec<&[u8]> = labels.iter().map(|label| &**label).collect();
            match (&labels[..], record.rtype) {
                ([b"version"], Rtype::TXT) => {
                    versions += 1;
                    known_version = record.rdata == b"\x012";
                }
                ([id, b"zones"], Rtype::PTR) => {
                    let Ok(member) = Name::from_wire(record.rdata) else { continue };
                    if nodes.insert((*id).into(), member.to_lower()).is_some() {
                        let owner = Name::from_wire(record.owner);
                        return Err(Broken::Node(owner.unwrap_or_else(|_| Name::root())));
                    }
                    if nodes.len() > most {
                        return Err(Broken::TooMany(most));
                    }
                }
                ([b"coo", id, b"zones"], Rtype::PTR) => {
                    let target = Name::from_wire(record.rdata).ok().map(|name| name.to_lower());
                    // RFC 9432 section 4.3.1: a property with several records is not processed.
                    let known = owners.entry((*id).into());
                    known.and_modify(|owner| *owner = None).or_insert(target);
                }
                _ => {}
            }
        }
        match (versions, known_version) {
            (0, _) => return Err(Broken::Version("is missing")),
            (1, true) => {}
            (1, false) => return Err(Broken::Version("is not `2`")),
            _ => return Err(Broken::Version("has several records")),
        }
        let mut members = BTreeMap::new();
        for (id, member) in nodes {
            let coo = owners.get(&id).cloned().flatten();
            if members.insert(member.clone(), Entry { id, coo }).is_some() {
                return Err(Broken::Twice(member));
            }
        }
        Ok(Self { members })
    }
}

/// A catalog zone of the configuration and what it lists.
pub(super) struct Listed<'a> {
    pub(super) name: &'a Name,
    /// `None`: it has no version yet, or none any more. Its members stay.
    pub(super) catalog: Option<&'a Catalog>,
    /// Members are in these zones; without any, in all.
    pub(super) within: &'a [Name],
}

impl Listed<'_> {
    fn allows(&self, member: &Name) -> bool {
        self.within.is_empty() || self.within.iter().any(|zone| member.is_under(zone))
    }

    fn entry(&self, member: &Name) -> Option<&Entry> {
        self.catalog?.members.get(member).filter(|_| self.allows(member))
    }
}

/// The catalog that a member belongs to, and the label of its node there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Belongs {
    pub(super) catalog: Name,
    pub(super) id: Box<[u8]>,
}

/// What becomes of the members.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// All members that there are now.
    pub(super) members: BTreeMap<Name, Belongs>,
    /// Those among them that begin without a version: they are new, or other zones of the same name.
    pub(super) fresh: HashSet<Name>,
    /// Members that are not served, each with the catalog that lists it: there is such a zone already.
    pub(super) clashes: Vec<(Name, Name)>,
    /// Catalogs with the number of members that the configuration does not allow.
    pub(super) rejected: Vec<(Name, usize)>,
}

/// Finds what becomes of the members `now`, by what the catalogs list. `fixed`: the zones of the configuration,
/// which no catalog replaces.
pub(super) fn plan(
    now: &BTreeMap<Name, Belongs>,
    catalogs: &[Listed<'_>],
    fixed: &HashSet<Name>,
) -> Plan {
    let mut plan = Plan::default();
    let by_name = |name: &Name| catalogs.iter().find(|one| one.name == name);
    for (member, belongs) in now {
        // A catalog without a version says nothing about its members.
        if by_name(&belongs.catalog).is_some_and(|one| one.catalog.is_none()) {
            plan.members.insert(member.clone(), belongs.clone());
        }
    }
    for one in catalogs {
        let Some(catalog) = one.catalog else { continue };
        let mut rejected = 0;
        for (member, entry) in &catalog.members {
            if !one.allows(member) {
                rejected += 1;
                continue;
            }
            let before = now.get(member);
            let owner = before.and_then(|belongs| by_name(&belongs.catalog));
            let owned = owner.and_then(|owner| owner.entry(member));
            let is_ours = owner.is_some_and(|owner| owner.name == one.name);
            let is_waiting = owner.is_some_and(|owner| owner.catalog.is_none());
            // RFC 9432 section 4.3.1: the catalog that has the member names the one that takes it over.
            let taken = |entry: &Entry| {
                let next = entry.coo.as_ref().and_then(by_name)?;
                (next.name != one.name).then(|| next.entry(member)).flatten()
            };
            let clash = fixed.contains(member)
                || plan.members.contains_key(member)
                || is_waiting
                || !is_ours && owned.is_some_and(|owned| owned.coo.as_ref() != Some(one.name));
            if is_ours && owned.is_some_and(|owned| taken(owned).is_some()) {
                continue;
            }
            if clash {
                plan.clashes.push((member.clone(), one.name.clone()));
                continue;
            }
            let same = |id: &[u8]| id == &*entry.id;
            let continues = owned.is_some_and(|owned| same(&owned.id))
                && before.is_some_and(|before| same(&before.id));
            if !continues {
                plan.fresh.insert(member.clone());
            }
            let belongs = Belongs { catalog: one.name.clone(), id: entry.id.clone() };
            plan.members.insert(member.clone(), belongs);
        }
        if rejected > 0 {
            plan.rejected.push((one.name.clone(), rejected));
        }
    }
    plan
}
