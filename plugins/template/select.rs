//! Finds the stanza that answers a query, without looking at those that cannot.
//!
//! Stanzas are tried in the order of the Corefile. What can be known before, is: which of them have
//! a zone that the name is in and a type that fits; their expressions are tried together.

use std::collections::HashMap;

use regex::bytes::{RegexSet, RegexSetBuilder};
use wire::{Class, Name, Query, Rtype, hash, name};

use super::config::Stanza;
use super::text::NameText;

/// From how many expressions on it pays to try them together.
const MIN_SET: usize = 4;

/// The zones of all stanzas, and for each the stanzas in question.
pub(super) struct Areas {
    areas: Vec<Area>,
    /// By the hash of the zone.
    by_hash: HashMap<u64, Vec<u32>>,
    /// Bit `n` is set if a zone has `n` labels: other depths need no look.
    depths: u128,
}

/// The names that are in one zone, and in no longer one.
struct Area {
    zone: Name,
    /// For a type that a stanza names.
    by_type: Vec<(Rtype, Selection)>,
    /// For all other types.
    other: Selection,
    /// For questions for all types.
    any: Selection,
}

/// Stanzas in question, in order.
#[derive(Default)]
struct Selection {
    candidates: Vec<Candidate>,
    /// All their expressions, unless there are few.
    set: Option<RegexSet>,
    /// Whether all of them let every name fall through that they do not match.
    passes: bool,
}

#[derive(Clone, Copy)]
struct Candidate {
    stanza: usize,
    /// Which of the stanza's zones is the longest that fits.
    zone: usize,
    /// Where its expressions start in the set.
    pattern: usize,
}

/// The stanza that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) stanza: usize,
    /// Which of its zones the name is in.
    pub(super) zone: usize,
    /// Which of its expressions matches.
    pub(super) pattern: usize,
}

/// What is to be done with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// No stanza is in question, or all let it pass.
    Next,
    /// This stanza answers.
    Found(Found),
    /// A stanza is in question, does not match and does not let it pass.
    Refused,
}

impl Areas {
    pub(super) fn new(stanzas: &[Stanza]) -> Self {
        let mut zones: Vec<&Name> = Vec::new();
        let mut by_hash: HashMap<u64, Vec<u32>> = HashMap::new();
        let mut depths = 0;
        for zone in stanzas.iter().flat_map(|stanza| &stanza.zones) {
            let wire = zone.as_wire();
            let known = by_hash.entry(hash::name(wire)).or_default();
            if known.iter().all(|&at| zones[at as usize] != zone) {
                known.push(zones.len() as u32);
                zones.push(zone);
                depths |= 1u128 << name::label_count(wire);
            }
        }
        let areas = zones.iter().map(|zone| Area::new(zone, stanzas)).collect();
        Self { areas, by_hash, depths }
    }

    fn find(&self, query: &Query) -> Option<&Area> {
        let labels = query.labels();
        (0..=labels).filter(|label| self.depths >> (labels - label) & 1 == 1).find_map(|label| {
            let known = self.by_hash.get(&query.suffix_hash(label))?;
            let areas = known.iter().map(|&at| &self.areas[at as usize]);
            areas.into_iter().find(|area| area.zone.as_wire() == query.suffix(label))
        })
    }

    /// Which stanza answers. `holds` tells whether what else a stanza asks for is true.
    pub(super) fn pick(
        &self,
        stanzas: &[Stanza],
        query: &Query,
        name: &mut NameText,
        mut holds: impl FnMut(Found, &str) -> Option<bool>,
    ) -> Pick {
        let Some(area) = self.find(query) else { return Pick::Next };
        let selection = area.selection(query.qtype());
        let mut hits = None;
        if let Some(set) = &selection.set {
            let name = name.of(query).as_bytes();
            if selection.passes && !set.is_match(name) {
                return Pick::Next;
            }
            hits = Some(set.matches(name));
        }
        let qclass = query.qclass();
        for candidate in &selection.candidates {
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

impl Area {
    fn new(zone: &Name, stanzas: &[Stanza]) -> Self {
        let fitting: Vec<Candidate> = stanzas
            .iter()
            .enumerate()
            .filter_map(|(stanza, what)| {
                let longest = what
                    .zones
                    .iter()
                    .enumerate()
                    .filter(|(_, known)| zone.is_under(known))
                    .max_by_key(|(_, known)| name::label_count(known.as_wire()));
                longest.map(|(zone, _)| Candidate { stanza, zone, pattern: 0 })
            })
            .collect();
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
            zone: zone.clone(),
            by_type: by_type.collect(),
            other: select(&|qtype| qtype == Rtype::ANY),
            any: select(&|_| true),
        }
    }

    fn selection(&self, qtype: Rtype) -> &Selection {
        if qtype == Rtype::ANY {
            return &self.any;
        }
        match self.by_type.binary_search_by_key(&qtype, |(wanted, _)| *wanted) {
            Ok(at) => &self.by_type[at].1,
            Err(_) => &self.other,
        }
    }
}

impl Selection {
    fn new(mut candidates: Vec<Candidate>, stanzas: &[Stanza]) -> Self {
        let mut patterns = Vec::new();
        for candidate in &mut candidates {
            candidate.pattern = patterns.len();
            patterns.extend(stanzas[candidate.stanza].patterns.iter().map(|it| it.as_str()));
        }
        // An expression that needs Unicode is tried alone, and so are those with it.
        let compile = || {
            let mut builder = RegexSetBuilder::new(&patterns);
            builder.unicode(false).build().ok()
        };
        let set = if patterns.len() < MIN_SET { None } else { compile() };
        let passes =
            candidates.iter().all(|candidate| stanzas[candidate.stanza].falls_through_always);
        Self { candidates, set, passes }
    }
}
