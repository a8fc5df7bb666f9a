//! The rules of a block, with an index of those that a query may match. The others cost the query
//! nothing.
//!
//! Full names are found by hash, parts of names by one automaton over all parts, and regular
//! expressions by another. Only the candidates are checked one by one.

use aho_corasick::AhoCorasick;
use exchange::Query;
use regex::bytes::RegexSet;
use wire::{Name, hash};

use super::config::{Field, Match, Rule};
use super::pattern;
use super::text::{self, END, START};

/// The most candidates for one name. With more, all rules are checked.
const MOST: usize = 32;

/// The rules, in order.
pub(super) struct Rules {
    rules: Vec<Rule>,
    /// The rules for exact names, by the hash of the name.
    exact: Box<[(u64, u32)]>,
    /// The automaton of parts of names, and the rule of each part.
    parts: Option<(AhoCorasick, Box<[u32]>)>,
    /// The automaton of regular expressions, and the rules that have them.
    regexes: Option<(RegexSet, Box<[u32]>)>,
    /// The rules without a condition on the name.
    others: Box<[u32]>,
}

/// The candidates of a query, in ascending order.
pub(super) struct Candidates {
    list: [u32; MOST],
    len: usize,
    /// The list is full: every rule is a candidate.
    all: bool,
}

impl Rules {
    /// An index of these rules.
    ///
    /// # Errors
    /// The rules are too many or too large for an index.
    pub(super) fn new(rules: Vec<Rule>) -> Result<Self, String> {
        let mut exact = Vec::new();
        let (mut parts, mut parts_of) = (Vec::new(), Vec::new());
        let (mut regexes, mut regexes_of) = (Vec::new(), Vec::new());
        let mut others = Vec::new();
        for (number, rule) in (0u32..).zip(&rules) {
            let matches = match &rule.field {
                Field::Name(name) => &name.matches,
                Field::Ttl { matches, .. } | Field::Rcode { matches, .. } => matches,
                _ => {
                    others.push(number);
                    continue;
                }
            };
            let mark =
                |start: &[u8], text: &str, end: &[u8]| [start, text.as_bytes(), end].concat();
            let part = match matches {
                Match::Exact(text) => {
                    // A text that is no name never matches.
                    if let Ok(name) = Name::from_text(text) {
                        exact.push((hash::name(name.as_wire()), number));
                    }
                    continue;
                }
                Match::Regex(pattern) => {
                    regexes.push(pattern.as_str());
                    regexes_of.push(number);
                    continue;
                }
                Match::Prefix(text) => mark(&[START], text, &[]),
                Match::Suffix(text) => mark(&[], text, &[END]),
                Match::Substring(text) => mark(&[], text, &[]),
            };
            parts.push(part);
            parts_of.push(number);
        }
        exact.sort_unstable();
        let parts = match parts.is_empty() {
            true => None,
            false => {
                let automaton = AhoCorasick::new(&parts).map_err(|error| error.to_string())?;
                Some((automaton, parts_of.into()))
            }
        };
        let regexes = match regexes.is_empty() {
            true => None,
            false => Some((pattern::compile_set(&regexes)?, regexes_of.into())),
        };
        Ok(Self { exact: exact.into(), parts, regexes, others: others.into(), rules })
    }

    /// A rule by its number.
    pub(super) fn get(&self, number: u32) -> Option<&Rule> {
        self.rules.get(number as usize)
    }

    /// The candidates for the query in its current form.
    #[inline]
    pub(super) fn candidates(&self, query: &Query) -> Candidates {
        let mut found = Candidates { list: [0; MOST], len: 0, all: false };
        let hash = query.suffix_hash(0);
        let first = self.exact.partition_point(|&(known, _)| known < hash);
        let same = self.exact[first..].iter().take_while(|&&(known, _)| known == hash);
        found.extend(same.map(|&(_, number)| number));
        if self.parts.is_some() || self.regexes.is_some() {
            text::with(query.name(), |marked| {
                if let Some((automaton, numbers)) = &self.parts {
                    let hits = automaton.find_overlapping_iter(marked);
                    found.extend(hits.map(|hit| numbers[hit.pattern().as_usize()]));
                }
                if let Some((set, numbers)) = &self.regexes
                    && set.is_match(text::unmarked(marked))
                {
                    found.extend(numbers.iter().copied());
                }
            });
        }
        found.extend(self.others.iter().copied());
        found.list[..found.len].sort_unstable();
        found
    }

    /// The first candidate at or after rule `at`.
    #[inline]
    pub(super) fn next(&self, candidates: &Candidates, at: u32) -> Option<u32> {
        if candidates.all {
            return Some(at).filter(|&at| (at as usize) < self.rules.len());
        }
        candidates.list[..candidates.len].iter().copied().find(|&number| number >= at)
    }
}

impl Candidates {
    fn extend(&mut self, numbers: impl Iterator<Item = u32>) {
        for number in numbers {
            match self.list.get_mut(self.len) {
                Some(place) => *place = number,
                None => {
                    self.all = true;
                    return;
                }
            }
            self.len += 1;
        }
    }
}
