//! The order of records: which records move, and by which rule. It knows neither files nor clocks.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;

use corefile::Cidr;
use wire::reply::Item;
use wire::{Reply, Rtype, Section, hash};

use super::row::{Row, Run};
use super::weights::WeightsFile;

/// The rules of one directive.
pub(super) struct Order {
    /// Whether one address moves to the top by weight, instead of a shuffle of all.
    pub(super) weights: Option<Arc<WeightsFile>>,
    /// Addresses in these ranges come first.
    pub(super) prefer: Vec<Cidr>,
}

/// How a reply can be rearranged.
pub(super) enum Rearrangement {
    /// By swapping the values of equally long records in place. Has the addresses of each section.
    InPlace([Option<Run>; 3]),
    /// Only by rewriting the reply.
    Rewrite,
}

/// The groups of a section in their order. Aliases come first, because some stub resolvers (glibc) read
/// the records in one pass.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Alias,
    Rest,
    Address,
    Exchange,
}

impl Group {
    const fn of(rtype: Rtype) -> Self {
        match rtype {
            Rtype::CNAME => Self::Alias,
            Rtype::A | Rtype::AAAA => Self::Address,
            Rtype::MX => Self::Exchange,
            _ => Self::Rest,
        }
    }
}

impl Order {
    /// Determines how the reply can be rearranged.
    #[inline]
    pub(super) fn rearrangement(&self, reply: &Reply) -> Rearrangement {
        let message = reply.bytes();
        let mut runs: [Option<Run>; 3] = [None; 3];
        let mut highest = [Group::Alias; 3];
        let mut exchanges = [0u16; 3];
        for record in reply.records() {
            let Ok(record) = record else { break };
            let at = record.section as usize;
            // Signatures stay behind the records that they cover.
            if record.rtype == Rtype::RRSIG || !self.concerns(record.section) {
                continue;
            }
            let group = Group::of(record.rtype);
            if group < highest[at] {
                return Rearrangement::Rewrite;
            }
            highest[at] = group;
            match group {
                Group::Exchange => {
                    exchanges[at] += 1;
                    if exchanges[at] > 1 && self.weights.is_none() {
                        return Rearrangement::Rewrite;
                    }
                }
                Group::Address => match &mut runs[at] {
                    None => runs[at] = Some(Run::new(&record)),
                    Some(run) if run.goes_on_with(message, &record) => run.count += 1,
                    Some(_) => return Rearrangement::Rewrite,
                },
                Group::Alias | Group::Rest => {}
            }
        }
        Rearrangement::InPlace(runs)
    }

    /// Whether records of this section are moved.
    fn concerns(&self, section: Section) -> bool {
        self.weights.is_none() || section != Section::Authority
    }

    /// Sorts each section by groups.
    pub(super) fn sort(&self, items: &mut [Item]) {
        // An unstable sort does not allocate. The offset as second key makes it stable.
        items.sort_unstable_by_key(|item| {
            let group =
                if self.concerns(item.section) { Group::of(item.rtype) } else { Group::Rest };
            (item.section, group, item.start)
        });
    }

    /// Orders the addresses of a section by the policy.
    pub(super) fn arrange(&self, row: &mut impl Row, section: Section, random: &mut Random) {
        if !self.concerns(section) {
            return;
        }
        if self.weights.is_none() {
            shuffle(row, random);
        }
        let mut first_group = row.len();
        if !self.prefer.is_empty() && section != Section::Authority {
            first_group = self.bring_preferred_forward(row);
        }
        if let Some(source) = &self.weights {
            let weights = source.weights();
            let top = pick(first_group, random, |at| u64::from(row.weight(at, &weights)));
            if top > 0 {
                row.swap(0, top);
            }
        }
    }

    /// Moves addresses to the front, range by range. Returns the number of addresses in the first range
    /// that has any, or the number of all if no range has.
    fn bring_preferred_forward(&self, row: &mut impl Row) -> usize {
        let (mut front, mut first) = (0, 0);
        for range in &self.prefer {
            let rest = front..row.len();
            for at in rest {
                if row.address(at).is_some_and(|address| range.contains(address)) {
                    row.swap(front, at);
                    front += 1;
                }
            }
            if first == 0 {
                first = front;
            }
        }
        if first == 0 { row.len() } else { first }
    }
}

/// The range of addresses in a sorted section, if there are several.
pub(super) fn addresses(items: &[Item]) -> Option<Range<usize>> {
    several(items, Group::Address)
}

/// The range of MX records in a sorted section, if there are several.
pub(super) fn exchanges(items: &[Item]) -> Option<Range<usize>> {
    several(items, Group::Exchange)
}

fn several(items: &[Item], group: Group) -> Option<Range<usize>> {
    let start = items.iter().position(|item| Group::of(item.rtype) == group)?;
    let len = items[start..].iter().take_while(|item| Group::of(item.rtype) == group).count();
    (len > 1).then_some(start..start + len)
}

/// A Fisher-Yates shuffle: all orders are equally likely.
pub(super) fn shuffle(row: &mut impl Row, random: &mut Random) {
    let len = row.len();
    for at in 0..len.saturating_sub(1) {
        let other = at + random.below((len - at) as u64) as usize;
        if other != at {
            row.swap(at, other);
        }
    }
}

/// The index of one of `count` items, each with a probability in proportion to its weight.
fn pick(count: usize, random: &mut Random, weight: impl Fn(usize) -> u64) -> usize {
    let sum = (0..count).map(&weight).sum();
    let mut left = random.below(sum);
    for at in 0..count {
        let weight = weight(at);
        if left < weight {
            return at;
        }
        left -= weight;
    }
    0
}

/// A fast random number generator, good enough to spread load.
pub(super) struct Random(u64);

/// The golden ratio in 64 bits: an odd increment, so that the sequence visits every number.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

thread_local! {
    static SEED: Cell<u64> = Cell::new(RandomState::new().hash_one("loadbalance"));
}

impl Random {
    /// A sequence of its own for one reply.
    pub(super) fn new() -> Self {
        let seed = SEED.get().wrapping_add(STEP);
        SEED.set(seed);
        Self(hash::mix(seed, STEP))
    }

    /// A number below `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        ((u128::from(hash::mix(self.0, !STEP)) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_evenly() {
        let mut counts = [0u32; 5];
        for _ in 0..2000 {
            let mut random = Random::new();
            for _ in 0..5 {
                counts[random.below(5) as usize] += 1;
            }
        }
        assert!(counts.iter().all(|count| (1700..2300).contains(count)), "{counts:?}");
        assert_eq!(Random::new().below(0), 0);
    }

    #[test]
    fn picks_follow_the_weights() {
        let weights = [3, 1, 2];
        let mut counts = [0u32; 3];
        for _ in 0..6000 {
            counts[pick(3, &mut Random::new(), |at| weights[at])] += 1;
        }
        for (count, weight) in counts.iter().zip(weights) {
            assert!(count.abs_diff(weight as u32 * 1000) < 250, "{counts:?}");
        }
    }
}
