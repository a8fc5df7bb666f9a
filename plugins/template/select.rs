//! Selects the stanza that answers a query, without checking those that cannot match.
//!
//! Stanzas are tried in the order of the Corefile. Zone and type select the candidates in advance;
//! their expressions are matched together.

use std::collections::HashMap;

use exchange::Query;
use regex::bytes::{RegexSet, RegexSetBuilder};
use wire::{Class, Name, Rtype, SuffixMap, Zoned, name};

use super::config::Stanza;
use super::text::NameText;

/// The number of expressions from which one automaton is faster than single matches.
const MIN_SET: usize = 4;

/// The zones of all stanzas, and the candidate stanzas of each zone.
pub(super) struct Areas(SuffixMap<Area>);

/// The candidates for names whose longest zone is this one.
struct Area {
    zone: Name,
    /// The candidates for each type that a stanza names.
    by_type: Vec<(Rtype, Option<Selection>)>,
    /// The candidates for all other types.
    other: Option<Selection>,
    /// The candidates for queries of type ANY.
    any: Option<Selection>,
}

impl Zoned for Area {
    fn zone_name(&self) -> &Name {
        &self.zone
    }
}

/// Candidate stanzas, in order; at least one.
pub(super) struct Selection {
    candidates: Vec<Candidate>,
    /// The automaton of all their expressions, unless there are few.
    set: Option<RegexSet>,
    /// Whether all of them let all names fall through that they do not match.
    passes: bool,
}

#[derive(Clone, Copy)]
struct Candidate {
    stanza: usize,
    /// The index of the longest matching zone of the stanza.
    zone: usize,
    /// The index of its first expression in the set.
    pattern: usize,
}

/// The stanza that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) stanza: usize,
    /// The index of its zone that contains the name.
    pub(super) zone: usize,
    /// The index of its expression that matches.
    pub(super) pattern: usize,
}

/// The decision about a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// No stanza is a candidate, or all let the query pass.
    Next,
    /// This stanza answers.
    Found(Found),
    /// A candidate stanza does not match and does not let the query pass.
    Refused,
}

impl Areas {
    pub(super) fn new(stanzas: &[Stanza]) -> Self {
        let mut zones: Vec<&Name> = Vec::new();
        zones.extend(stanzas.iter().flat_map(|stanza| &stanza.zones));
        zones.sort_unstable();
        zones.dedup();
        let owners = owners(stanzas);
        let areas = zones.iter().map(|zone| Area::new(zone, &owners, stanzas)).collect();
        Self(SuffixMap::new(areas))
    }

    /// The candidate stanzas; `None` if there are none.
    #[inline]
    pub(super) fn select(&self, query: &Query) -> Option<&Selection> {
        self.0.find(query)?.0.selection(query.qtype())
    }
}

impl Selection {
    /// Selects the stanza that answers. `holds` evaluates the other conditions of a stanza.
    pub(super) fn pick(
        &self,
        stanzas: &[Stanza],
        query: &Query,
        name: &mut NameText,
        mut holds: impl FnMut(Found, &str) -> Option<bool>,
    ) -> Pick {
        let mut hits = None;
        if let Some(set) = &self.set {
            let name = name.of(query).as_bytes();
            if self.passes && !set.is_match(name) {
                return Pick::Next;
            }
            hits = Some(set.matches(name));
        }
        let qclass = query.qclass();
        for candidate in &self.candidates {
            let stanza = &stanzas[candidate.stanza];
            if stanza.class != qclass && stanza.class != Class::ANY && qclass != Class::ANY {
                continue;
            }
            let pattern =
                stanza.patterns.iter().enumerate().position(|(index, pattern)| match &hits {
                    Some(hits) => hits.matched(candidate.pattern + index),
                    None => pattern.is_all() || pattern.is_match(name.of(query)),
                });
            let mut refused = false;
            if let Some(pattern) = pattern {
                let found = Found { stanza: candidate.stanza, zone: candidate.zone, pattern };
                match holds(found, name.of(query)) {
                    Some(true) => return Pick::Found(found),
                    Some(false) => {}
                    None => refused = true,
                }
            }
            if refused || !stanza.fallthrough.allows(query) {
                return Pick::Refused;
            }
        }
        Pick::Next
    }
}

/// The stanzas of each zone.
type Owners<'s> = HashMap<&'s [u8], Vec<Candidate>>;

fn owners(stanzas: &[Stanza]) -> Owners<'_> {
    let mut owners = Owners::new();
    for (stanza, what) in stanzas.iter().enumerate() {
        for (zone, name) in what.zones.iter().enumerate() {
            let candidate = Candidate { stanza, zone, pattern: 0 };
            owners.entry(name.as_wire()).or_default().push(candidate);
        }
    }
    owners
}

impl Area {
    fn new(zone: &Name, owners: &Owners<'_>, stanzas: &[Stanza]) -> Self {
        // From the zone up to the root, so that the longest zone of a stanza comes first.
        let wire = zone.as_wire();
        let starts = name::label_starts(wire).map(|(at, _)| at).chain([wire.len() - 1]);
        let mut fitting: Vec<Candidate> =
            starts.filter_map(|at| owners.get(&wire[at..])).flatten().copied().collect();
        fitting.sort_by_key(|candidate| candidate.stanza);
        fitting.dedup_by_key(|candidate| candidate.stanza);
        let select = |fits: &dyn Fn(Rtype) -> bool| {
            let fits = fitting.iter().filter(|candidate| fits(stanzas[candidate.stanza].qtype));
            Selection::new(fits.copied().collect(), stanzas)
        };
        let mut types: Vec<Rtype> =
            fitting.iter().map(|candidate| stanzas[candidate.stanza].qtype).collect();
        types.retain(|qtype| *qtype != Rtype::ANY);
        types.sort_unstable();
        types.dedup();
        let by_type = types
            .into_iter()
            .map(|wanted| (wanted, select(&|qtype| qtype == wanted || qtype == Rtype::ANY)));
        Self {
            zone: zone.to_lower(),
            by_type: by_type.collect(),
            other: select(&|qtype| qtype == Rtype::ANY),
            any: select(&|_| true),
        }
    }

    fn selection(&self, qtype: Rtype) -> Option<&Selection> {
        if qtype == Rtype::ANY {
            return self.any.as_ref();
        }
        match self.by_type.binary_search_by_key(&qtype, |(wanted, _)| *wanted) {
            Ok(at) => self.by_type[at].1.as_ref(),
            Err(_) => self.other.as_ref(),
        }
    }
}

impl Selection {
    fn new(mut candidates: Vec<Candidate>, stanzas: &[Stanza]) -> Option<Self> {
        if candidates.is_empty() {
            return None;
        }
        let mut patterns = Vec::new();
        for candidate in &mut candidates {
            candidate.pattern = patterns.len();
            patterns.extend(stanzas[candidate.stanza].patterns.iter().map(|it| it.as_str()));
        }
        // If one expression needs Unicode, all are matched one by one.
        let compile = || {
            let mut builder = RegexSetBuilder::new(&patterns);
            builder.unicode(false).build().ok()
        };
        let set = if patterns.len() < MIN_SET { None } else { compile() };
        let passes =
            candidates.iter().all(|candidate| stanzas[candidate.stanza].falls_through_always);
        Some(Self { candidates, set, passes })
    }
}
