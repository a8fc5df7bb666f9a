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
    /// The groups of the member (the property `group`).
    pub(super) groups: Vec<Box<[u8]>>,
}

/// Groups of a member at most. Further ones mean nothing.
const MAX_GROUPS: usize = 16;

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
            Self::Version(why) => {
                write!(f, "its `version` property {why} (RFC 9432 section 4.2.1)")
            }
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
        let mut groups: HashMap<Box<[u8]>, Vec<Box<[u8]>>> = HashMap::new();
        let mut records = zone.records();
        while let Some(record) = records.next_record() {
            let count = name::label_count(record.owner).saturating_sub(depth);
            if count == 0 || count > 3 {
                continue;
            }
            let labels: Vec<Box<[u8]>> = name::labels(record.owner)
                .take(count)
                .map(|l| l.to_ascii_lowercase().into())
                .collect();
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
                // RFC 9432 section 4.3.2: each TXT record has the name of a group.
                ([b"group", id, b"zones"], Rtype::TXT) => {
                    let of_member = groups.entry((*id).into()).or_default();
                    if of_member.len() < MAX_GROUPS {
                        of_member.push(text(record.rdata));
                    }
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
            let groups = groups.remove(&id).unwrap_or_default();
            if members.insert(member.clone(), Entry { id, coo, groups }).is_some() {
                return Err(Broken::Twice(member));
            }
        }
        Ok(Self { members })
    }
}

/// The strings of a TXT record as one.
fn text(mut rdata: &[u8]) -> Box<[u8]> {
    let mut all = Vec::with_capacity(rdata.len());
    while let Some((&length, rest)) = rdata.split_first() {
        let (string, rest) = rest.split_at(usize::from(length).min(rest.len()));
        all.extend_from_slice(string);
        rdata = rest;
    }
    all.into()
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

/// The catalog that a member belongs to, the label of its node there, and its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Belongs {
    pub(super) catalog: Name,
    pub(super) id: Box<[u8]>,
    pub(super) groups: Vec<Box<[u8]>>,
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
            let (id, groups) = (entry.id.clone(), entry.groups.clone());
            let belongs = Belongs { catalog: one.name.clone(), id, groups };
            plan.members.insert(member.clone(), belongs);
        }
        if rejected > 0 {
            plan.rejected.push((one.name.clone(), rejected));
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zone::{Builder, master};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn read(records: &str, most: usize) -> Result<Catalog, Broken> {
        let origin = name("c.test.");
        let text =
            format!("$TTL 60\n@ SOA invalid. invalid. 1 60 60 60 60\n@ NS invalid.\n{records}");
        let mut builder = Builder::new(&origin, 0);
        let add = &mut |record: zone::RecordRef<'_>| builder.add(record);
        master::parse_text(&text, &master::Options::new(&origin), add).unwrap();
        Catalog::read(&builder.finish().unwrap(), most)
    }

    #[test]
    fn only_whole_catalogs_are_read() {
        let cases = [
            ("", "is missing"),
            ("version TXT 1", "is not `2`"),
            ("version TXT 2 2", "is not `2`"),
            ("version TXT 2\nversion TXT 3", "several records"),
            ("version TXT 2\na.zones PTR x.\na.zones PTR y.", "`a.zones.c.test.` has several"),
            ("version TXT 2\na.zones PTR x.\nb.zones PTR X.", "the member `x.` twice"),
            ("version TXT 2\na.zones PTR x.\nb.zones PTR y.\nd.zones PTR z.", "more than 2"),
        ];
        for (records, why) in cases {
            let broken = read(records, 2).expect_err(records).to_string();
            assert!(broken.contains(why), "{records}: {broken}");
        }
        let records = "Version TXT 2\nA.Zones PTR X.\ngroup.a.zones TXT g\nx.ext TXT y\n\
             a.b.zones PTR z.\ncoo.a.zones PTR Other.\nb.zones PTR y.\ncoo.b.zones PTR o.\n\
             coo.b.zones PTR p.\n";
        let entry = |id: &[u8], coo: Option<&str>, groups: &[&[u8]]| {
            let groups = groups.iter().map(|group| (*group).into()).collect();
            Entry { id: id.into(), coo: coo.map(name), groups }
        };
        let members = [
            (name("x."), entry(b"a", Some("other."), &[b"g"])),
            (name("y."), entry(b"b", None, &[])),
        ];
        assert_eq!(read(records, 2), Ok(Catalog { members: members.into() }));
    }

    proptest! {
        #[test]
        fn what_is_listed_is_read(
            entries in proptest::collection::btree_map(
                "[a-z]{1,3}", ("[a-z0-9]{1,8}", proptest::option::of("[a-z]{1,3}")), 0..20,
            ),
        ) {
            let mut expected = BTreeMap::new();
            let mut seen = HashSet::new();
            let mut records = String::from("version TXT 2\n");
            for (member, (id, coo)) in entries {
                if !seen.insert(id.clone()) {
                    continue;
                }
                records += &format!("{id}.zones PTR {member}.\n");
                if let Some(coo) = &coo {
                    records += &format!("coo.{id}.zones PTR {coo}.\n");
                }
                let coo = coo.map(|coo| name(&format!("{coo}.")));
                let entry = Entry { id: id.into_bytes().into(), coo, groups: Vec::new() };
                expected.insert(name(&format!("{member}.")), entry);
            }
            prop_assert_eq!(read(&records, 20), Ok(Catalog { members: expected }));
        }
    }

    /// `ID MEMBER [COO]`, one a line.
    fn catalog(lines: &str) -> Catalog {
        let entry = |line: &str| {
            let mut words = line.split(' ');
            let id = words.next().unwrap().as_bytes().into();
            let member = name(words.next().unwrap());
            (member, Entry { id, coo: words.next().map(name), groups: Vec::new() })
        };
        Catalog { members: lines.lines().map(entry).collect() }
    }

    /// Members after the catalogs `a.` and `b.`; `?` is one without a version. The text has `MEMBER
    /// CATALOG/ID`, with a star for those that begin anew.
    fn planned(now: &str, a: &str, b: &str, within: &[Name]) -> (String, Plan) {
        let mut before = BTreeMap::new();
        for line in now.lines() {
            let (member, owner) = line.split_once(' ').unwrap();
            let (catalog, id) = owner.split_once('/').unwrap();
            let id = id.as_bytes().into();
            let belongs = Belongs { catalog: name(catalog), id, groups: Vec::new() };
            before.insert(name(member), belongs);
        }
        let (first, second) = (name("a."), name("b."));
        let read = [a, b].map(|lines| (lines != "?").then(|| catalog(lines)));
        let listed = [
            Listed { name: &first, catalog: read[0].as_ref(), within },
            Listed { name: &second, catalog: read[1].as_ref(), within: &[] },
        ];
        let plan = plan(&before, &listed, &[name("fixed.")].into());
        let lines = plan.members.iter().map(|(member, belongs)| {
            let star = if plan.fresh.contains(member) { "*" } else { "" };
            let id = String::from_utf8_lossy(&belongs.id);
            format!("{star}{member} {}/{id}", belongs.catalog)
        });
        (lines.collect::<Vec<_>>().join("\n"), plan)
    }

    #[test]
    fn members_belong_to_one_catalog() {
        let all = &[][..];
        let cases = [
            // Now, the catalogs, and what follows.
            ("", "1 x.\n2 y.", "", "*x. a./1\n*y. a./2"),
            ("x. a./1", "1 x.", "", "x. a./1"),
            ("x. a./1", "2 x.", "", "*x. a./2"),
            ("x. a./1", "", "", ""),
            ("x. a./1", "?", "", "x. a./1"),
            ("x. gone./1", "1 x.", "", "*x. a./1"),
            // The one that has it keeps it; a catalog without a version may still list it.
            ("x. b./1", "1 x.", "1 x.", "x. b./1"),
            ("x. b./1", "1 x.", "?", "x. b./1"),
            ("", "1 x.", "2 x.", "*x. a./1"),
            // Unless it names the other one.
            ("x. b./1", "1 x.", "1 x. a.", "x. a./1"),
            ("x. b./1", "2 x.", "1 x. a.", "*x. a./2"),
            ("x. a./1", "1 x. b.", "1 x.", "x. b./1"),
            ("x. a./1", "1 x. b.", "", "x. a./1"),
            ("x. a./1", "1 x. b.", "?", "x. a./1"),
            ("x. a./1", "1 x. a.", "1 x.", "x. a./1"),
            ("x. a./1", "", "1 x.", "*x. b./1"),
            // The configuration comes first.
            ("", "1 fixed.", "", ""),
        ];
        for (now, a, b, expected) in cases {
            assert_eq!(planned(now, a, b, all).0, expected, "{now:?} {a:?} {b:?}");
        }
        let (_, plan) = planned("", "1 x.", "2 x.", all);
        assert_eq!(plan.clashes, [(name("x."), name("b."))]);
        let (lines, plan) = planned("", "1 x.\n2 w.ok.\n3 ok.", "", &[name("ok.")]);
        assert_eq!(lines, "*ok. a./3\n*w.ok. a./2");
        assert_eq!(plan.rejected, [(name("a."), 1)]);
    }
}
